"""Context networks: what a context sees, the units against NumPy, and the encoders with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts
from dim_jax.augment import patches
from dim_jax.nets import contexts, products, pure, turns

SIDE, DEPTH = 7, 5
CONV = dict(name="masked_conv", width=3, depth=1)
NETWORKS = {
    "row_gru": contexts.row_gru(width=6),
    "row_gru_of_the_same_width": contexts.row_gru(width=None),
    "masked_conv": contexts.masked_conv(width=6, depth=4),
    "masked_conv_of_the_same_width": contexts.masked_conv(width=None, depth=2),
}
WIDTHS = {name: DEPTH if name.endswith("same_width") else 6 for name in NETWORKS}


@functools.cache
def network(name: str):
    """(apply(params, maps) jitted, params, maps f[2,7,7,5])."""
    net = pure.net(NETWORKS[name])
    maps = jax.random.normal(jax.random.key(1), (2, SIDE, SIDE, DEPTH))
    params, stats = jax.jit(net.init)(jax.random.key(0), maps)
    assert stats == {}
    return jax.jit(lambda p, x: net.apply(p, {}, x, train=True)[0]), params, maps


@functools.cache
def gradients(name: str) -> np.ndarray:
    """|d context(r, c) / d local feature(i, j)|, summed over features, [r, c, i, j]."""
    apply, params, maps = network(name)
    slopes = jax.jit(jax.jacrev(lambda x: apply(params, x[None])[0]))(maps[0])
    return np.abs(np.asarray(slopes)).sum((2, 5))


def seen(name: str, row: int, column: int) -> np.ndarray:
    """The places that a context may see, and must."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    if name.startswith("row_gru"):
        return (rows <= row) & (columns <= column)
    depth = NETWORKS[name].depth
    # A layer reaches one row up and one column to each side.
    return (rows <= row) & (rows >= row - depth) & (np.abs(columns - column) <= depth)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_context_sees_its_rows_and_none_below(name):
    found = gradients(name)
    for row, column in np.ndindex(SIDE, SIDE):
        assert np.all(found[row, column, row + 1 :] == 0)
        np.testing.assert_array_equal(found[row, column] > 0, seen(name, row, column))


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_below_do_not_change_a_bit_of_a_context(name):
    apply, params, maps = network(name)
    for row in (0, 3, 5):
        changed = maps.at[:, row + 1 :].set(1e3)
        before, after = apply(params, maps), apply(params, changed)
        assert before.shape == (2, SIDE, SIDE, WIDTHS[name])
        np.testing.assert_array_equal(before[:, : row + 1], after[:, : row + 1])
        assert np.all(np.abs(before[:, row + 1] - after[:, row + 1]).max(-1) > 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(params, x, state):
    """One step of PyTorch's GRU cell, float64, of one input vector."""
    of_input = x @ params["of_input"]["kernel"] + params["of_input"]["bias"]
    of_state = state @ params["of_state"]["kernel"] + params["of_state"]["bias"]
    width = len(state)
    reset = sigmoid(of_input[:width] + of_state[:width])
    update = sigmoid(of_input[width : 2 * width] + of_state[width : 2 * width])
    new = np.tanh(of_input[2 * width :] + reset * of_state[2 * width :])
    return (1 - update) * new + update * state


@pytest.mark.parametrize("name", ["row_gru", "row_gru_of_the_same_width"])
def test_row_gru_is_two_units_place_by_place(name):
    apply, params, maps = network(name)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    width = WIDTHS[name]
    for image, contexts_of_image in zip(np.float64(maps), apply(params, maps), strict=True):
        above = np.zeros((SIDE, width))
        for row in range(SIDE):
            left = np.zeros(width)
            for column in range(SIDE):
                local = image[row, column]
                above[column] = gru(
                    exact["down_columns"], np.concatenate([local, left]), above[column]
                )
                left = gru(exact["along_rows"], local, left)
                np.testing.assert_allclose(
                    contexts_of_image[row, column], above[column], rtol=1e-4, atol=1e-5
                )


@pytest.mark.parametrize("name", ["masked_conv", "masked_conv_of_the_same_width"])
def test_masked_conv_is_a_loop_over_the_places_it_sees(name):
    apply, params, maps = network(name)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x = np.float64(maps)
    for index in range(NETWORKS[name].depth):
        layer = exact[f"layer{index}"]
        sums = np.zeros((*x.shape[:3], layer["bias"].size)) + layer["bias"]
        for row, column in np.ndindex(SIDE, SIDE):
            for up, side in np.ndindex(2, 3):
                i, j = row + up - 1, column + side - 1
                if i >= 0 and 0 <= j < SIDE:
                    sums[:, row, column] += x[:, i, j] @ layer["kernel"][up, side]
        value, gate = np.split(sums, 2, axis=-1)
        gated = np.tanh(value) * sigmoid(gate)
        x = gated + x if gated.shape == x.shape else gated
    expected = x @ exact["output"]["kernel"] + exact["output"]["bias"]
    np.testing.assert_allclose(apply(params, maps), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["row_gru", "masked_conv"])
def test_bfloat16_rounds_the_products(name):
    apply, params, maps = network(name)
    rounded = jax.jit(products.computed_in(lambda p, x: apply.__wrapped__(p, x), "bfloat16"))
    apart = np.abs(apply(params, maps) - rounded(params, maps))
    assert 0 < apart.max() < 0.05


def encoder(body: str, context: dict, norm: str = "none"):
    blocks = dict(blocks=(1, 1, 1)) if body.startswith("resnet") else {}
    spec = dict(name=f"folded_context_{body}", width=3, norm=norm, context=context, **blocks)
    return build.make("encoder", spec)


GRU = dict(name="row_gru", width=4)


def weights(net, images):
    """Weights for a network, without compiling its initialisation."""
    numbers = np.random.default_rng(0)
    shapes, stats = jax.eval_shape(net.init, jax.random.key(0), images)
    params = jax.tree.map(lambda x: np.float32(numbers.normal(0, 0.4, x.shape)), shapes)
    return params, jax.tree.map(lambda x: np.ones(x.shape, np.float32), stats)


@pytest.mark.parametrize("body", ["alexnet32", "alexnet64", "resnet32", "resnet64"])
def test_encoders_have_the_maps_and_their_means(body):
    side = int(body[-2:])
    net = encoder(body, GRU)
    images = jax.random.normal(jax.random.key(0), (2, side, side, 3))
    params, stats = weights(net, images)

    def taps_of(images):
        return net.apply(params, stats, images, train=False)[0]

    depth = 6 if body.startswith("alexnet") else 48
    shapes = {tap: x.shape[1:] for tap, x in jax.eval_shape(taps_of, images).items()}
    maps = dict(local=(7, 7, depth), conv=(7, 7, depth), context=(7, 7, 4))
    assert shapes == {**maps, "fc": (depth,), "y": (4,)}
    if body == "alexnet32":
        taps = jax.jit(taps_of)(images)
        np.testing.assert_allclose(taps["fc"], np.mean(taps["local"], (1, 2)), rtol=1e-5)
        np.testing.assert_allclose(taps["y"], np.mean(taps["context"], (1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("norm", "leaks"), [("none", False), ("layer", False), ("batch", True)])
def test_a_context_sees_no_pixel_below_its_crops_without_batch_norm(norm, leaks):
    """Crops of row r end at pixel 4 r + 8; batch norm shows the rest through its statistics."""
    net = encoder("alexnet32", dict(name="masked_conv", width=4, depth=2), norm)
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    params, stats = weights(net, images)

    @jax.jit
    def slopes(params, images):
        def contexts_of_row(images):
            return jnp.sum(
                jnp.sin(net.apply(params, stats, images, train=True)[0]["context"][:, 2])
            )

        return jax.grad(contexts_of_row)(images)

    found = np.abs(slopes(params, images)).sum((0, 2, 3))
    assert np.all(found[:16] > 0)
    assert (found[16:].max() > 0) == leaks


def test_mistakes():
    with pytest.raises(contracts.UserError, match=r"unknown context 'gru': .*row_gru"):
        encoder("alexnet32", dict(name="gru", width=3))
    with pytest.raises(contracts.UserError, match=r"context\.width is 0; set it to 1 or a larger"):
        encoder("alexnet32", dict(name="row_gru", width=0))
    with pytest.raises(contracts.UserError, match=r"context\.depth is 0; set it to 1 or a larger"):
        encoder("alexnet32", dict(name="masked_conv", width=None, depth=0))
    with pytest.raises(contracts.UserError, match="the context 'masked_conv' needs depth"):
        encoder("alexnet32", dict(name="masked_conv", width=None))


@functools.cache
def in_directions():
    """(apply jitted, params, maps) of contexts of all four directions."""
    one = contexts.masked_conv(width=4, depth=2)
    net = pure.net(contexts.in_directions(context=one, directions=turns.DIRECTIONS))
    maps = jax.random.normal(jax.random.key(1), (2, 5, 5, 3))
    params, stats = jax.jit(net.init)(jax.random.key(0), maps)
    assert stats == {} and params.keys() == set(turns.DIRECTIONS)
    return jax.jit(lambda p, x: net.apply(p, {}, x, train=True)[0]), params, maps


@pytest.mark.parametrize("direction", turns.DIRECTIONS)
def test_a_context_does_not_see_what_lies_in_its_direction(direction):
    apply, params, maps = in_directions()
    before = apply(params, maps)[direction]
    assert before.shape == (2, 5, 5, 4)
    for row, column in [(2, 2), (1, 3)]:
        ahead = {
            "down": np.s_[:, row + 1 :],
            "up": np.s_[:, :row],
            "right": np.s_[:, :, column + 1 :],
            "left": np.s_[:, :, :column],
        }[direction]
        beside = {"down": np.s_[:, row], "up": np.s_[:, row]}.get(direction, np.s_[:, :, column])
        for places, same in ((ahead, True), (beside, False)):
            after = apply(params, jnp.asarray(maps).at[places].add(10.0))[direction]
            equal = np.array_equal(before[:, row, column], after[:, row, column])
            assert equal == same


def test_each_direction_is_the_network_on_turned_maps():
    apply, params, maps = in_directions()
    found = apply(params, maps)
    one = pure.net(contexts.masked_conv(width=4, depth=2))
    down = jax.jit(lambda p, x: one.apply(p, {}, x, train=True)[0])
    flips = {"down": (), "up": (1,), "right": (), "left": (2,)}
    for direction in turns.DIRECTIONS:
        x = np.flip(maps, flips[direction])
        across = direction in ("right", "left")
        x = np.transpose(x, (0, 2, 1, 3)) if across else x
        context = np.asarray(down(params[direction], x))
        context = np.transpose(context, (0, 2, 1, 3)) if across else context
        context = np.flip(context, flips[direction])
        np.testing.assert_allclose(found[direction], context, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (("down", "forward"), "unknown direction 'forward'"),
        ((), r"directions is \(\); give at least one"),
        (("up", "up"), "each once"),
    ],
)
def test_directions_that_are_none(directions, message):
    with pytest.raises(contracts.UserError, match=message):
        contexts.in_directions(context=NETWORKS["row_gru"], directions=directions)


def test_directions_of_directions_are_refused():
    both = contexts.in_directions(context=NETWORKS["row_gru"], directions=("up", "down"))
    with pytest.raises(contracts.UserError, match="is 'in_directions' itself"):
        contexts.in_directions(context=both, directions=("up",))


@pytest.mark.parametrize("eighths", [2, 3])
def test_a_mosaic_of_unchanged_patches_is_the_image(eighths):
    context = dict(name="in_directions", directions=("down", "left"), context=dict(CONV))
    spec = dict(name="folded_context_alexnet32", width=2, norm="layer", eighths=eighths)
    net = build.make("encoder", {**spec, "context": context})
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    mosaics = patches.lay(patches.cut(images, eighths), 9 - eighths)
    params, stats = jax.jit(net.init)(jax.random.key(0), mosaics)
    apply = jax.jit(lambda x: net.apply(params, stats, x, train=True)[0])
    of_images, of_mosaics = apply(images), apply(mosaics)
    count = 9 - eighths
    assert of_images["local"].shape == (2, count, count, 4)
    assert of_images["context_left"].shape == (2, count, count, 3)
    assert of_images["y"].shape == (2, 6)
    for name, value in of_images.items():
        np.testing.assert_allclose(of_mosaics[name], value, rtol=1e-5, atol=1e-6)
    other = 5 - eighths
    wrong = patches.lay(patches.cut(images, other), 9 - other)
    message = f"augment.patches is {other} and the crops .* span {eighths} eighths"
    with pytest.raises(contracts.UserError, match=message):
        net.init(jax.random.key(0), wrong)
