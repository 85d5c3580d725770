"""Exemplar-CNN's encoders: against loops, and the two ways of running them against each other."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts
from dim_jax.nets import layers, pooling

SPEC = dict(name="exemplar", widths=(3, 4, 5), hidden=6, dropout=0.5, side=8)
IMAGES = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)


def made(images=IMAGES, **changes):
    """(its taps, jitted: (params, images, train=False, rng=None) -> taps; initial params)"""
    net = build.make("encoder", SPEC | changes)
    params, stats = jax.jit(net.init)(jax.random.key(0), jnp.asarray(images))
    assert stats == {}

    @functools.partial(jax.jit, static_argnames="train")
    def apply(params, images, train=False, rng=None):
        return net.apply(params, {}, images, train=train, rng=rng)[0]

    return apply, params


@pytest.fixture(scope="module")
def net():
    return made()


def layer(x, kernel, bias, padding):
    """Convolution by loops in float64."""
    x, size = np.pad(x.astype(np.float64), ((padding, padding),) * 2 + ((0, 0),)), len(kernel)
    rows, columns = (side - size + 1 for side in x.shape[:2])
    found = np.empty((rows, columns, kernel.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            window = x[row : row + size, column : column + size]
            found[row, column] = np.tensordot(window, np.asarray(kernel, np.float64), 3)
    return found + np.asarray(bias)


def pooled(x):
    rows, columns, channels = x.shape
    return x.reshape(rows // 2, 2, columns // 2, 2, channels).max(axis=(1, 3))


def maps(params, image):
    """Of three convolutions, the first two pooled, and the hidden units before their ReLU."""
    x, found = image, []
    for number in (1, 2, 3):
        part = params[f"conv{number}"]
        x = np.maximum(layer(x, part["kernel"], part["bias"], 2), 0)
        x = pooled(x) if number < 3 else x
        found.append(x)
    return [*found, layer(x, params["fc"]["kernel"], params["fc"]["bias"], 0)]


def test_taps_are_those_of_loops(net):
    apply, params = net
    taps = apply(params, IMAGES)
    for index, image in enumerate(IMAGES):
        *_, conv, fc = maps(params, image)
        np.testing.assert_allclose(taps["conv"][index], conv, atol=1e-5)
        np.testing.assert_allclose(taps["fc"][index], fc[0, 0], atol=1e-5)
        np.testing.assert_allclose(taps["y"][index], np.maximum(fc[0, 0], 0), atol=1e-5)


def test_pooled_taps_are_the_largest_of_quadrants_of_the_enlarged_image(net):
    apply, params = net
    taps = apply(params, IMAGES)
    names = ("pooled_conv1", "pooled_conv2", "pooled_conv3", "pooled_fc")
    # OpenCV's bilinear enlarging by 2 has the same half-pixel centres and edges.
    large = cv2.resize(IMAGES[1], (16, 16), interpolation=cv2.INTER_LINEAR)
    row = []
    for name, x in zip(names, maps(params, large), strict=True):
        side = len(x)  # 8, 4, 4 and 3: of 3 rows the middle one is in both halves
        half = (side + 1) // 2
        starts = (0, side - half)
        wanted = [x[i : i + half, j : j + half].max(axis=(0, 1)) for i in starts for j in starts]
        wanted = np.concatenate(wanted)
        wanted = np.maximum(wanted, 0) if name == "pooled_fc" else wanted
        np.testing.assert_allclose(taps[name][1], wanted, atol=1e-5)
        row.append(wanted)
    np.testing.assert_allclose(taps["pooled"][1], np.concatenate(row), atol=1e-5)


def test_a_larger_image_is_not_enlarged_and_its_middle_is_the_patch(net):
    apply, params = net
    large = np.random.default_rng(1).normal(size=(1, 16, 20, 3)).astype(np.float32)
    taps, patch = apply(params, large), apply(params, large[:, 4:12, 6:14])
    for name in ("conv", "fc", "y"):
        np.testing.assert_allclose(taps[name], patch[name], atol=1e-6)
    first = maps(params, large[0])[0]  # 8x10
    wanted = [first[i : i + 4, j : j + 5].max(axis=(0, 1)) for i in (0, 4) for j in (0, 5)]
    np.testing.assert_allclose(taps["pooled_conv1"][0], np.concatenate(wanted), atol=1e-5)


def test_the_hidden_layer_is_the_same_by_product_and_by_convolution():
    """Its map on a larger last map holds what each 8x8 part of that gives as a vector."""
    net = layers.Conv(6, 2, use_bias=True)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 5))
    params = jax.jit(net.init)(jax.random.key(1), x)
    whole = jax.jit(net.apply)(params, x)
    for row in range(3):
        for column in range(3):
            part = x[:, row : row + 2, column : column + 2].reshape(1, -1)
            kernel = params["params"]["kernel"].reshape(-1, 6)
            np.testing.assert_allclose(
                whole[:, row, column], part @ kernel + params["params"]["bias"], atol=1e-5
            )


@pytest.mark.parametrize(
    "widths, hidden", [((64, 64), 128), ((64, 128, 256), 512), ((92, 256, 512), 1024)]
)
def test_published_sizes(widths, hidden):
    net = build.make("encoder", SPEC | dict(widths=widths, hidden=hidden, side=32))
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    params, _ = jax.eval_shape(net.init, jax.random.key(0), images)
    inputs = (3, *widths)
    expected = sum(25 * a * b + b for a, b in zip(inputs, widths, strict=False))
    expected += 8 * 8 * widths[-1] * hidden + hidden
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected
    taps = jax.eval_shape(lambda p, x: net.apply(p, {}, x, train=False)[0], params, images)
    assert taps["conv"].shape == (2, 8, 8, widths[-1])
    assert taps["fc"].shape == taps["y"].shape == (2, hidden)
    assert taps["pooled"].shape == (2, 4 * (sum(widths) + hidden))


def test_what_a_place_sees():
    """One hidden unit sees the whole patch; a place of the last map nearly as much."""
    apply, params = made(np.zeros((1, 32, 32, 3), np.float32), side=32)
    image = jax.random.normal(jax.random.key(0), (1, 32, 32, 3))

    @jax.jit
    def rows_seen(image):
        """Whether the hidden layer, and the place (4, 4) of the last map, see each row."""
        taps, pull_back = jax.vjp(lambda x: apply(params, x, train=True, rng=KEY), image)
        zeros = jax.tree.map(jnp.zeros_like, taps)
        place = zeros["conv"].at[0, 4, 4].set(taps["conv"][0, 4, 4])
        return [
            jnp.any(pull_back({**zeros, **of_tap})[0] != 0, axis=(0, 2, 3))
            for of_tap in ({"fc": jnp.ones_like(taps["fc"])}, {"conv": place})
        ]

    of_hidden, of_place = (np.flatnonzero(rows) for rows in rows_seen(image))
    assert of_hidden[-1] - of_hidden[0] + 1 == 32
    # The convolutions see 5 + 2 * 4 + 4 * 4 pixels and the pools 1 + 2; of a pool's places the
    # gradient takes one only.
    assert 5 < of_place[-1] - of_place[0] + 1 <= 32


KEY = jax.random.key(7)


def test_dropout_is_of_hidden_units_in_training_only(net):
    apply, params = net
    quiet = apply(params, IMAGES)
    first = apply(params, IMAGES, train=True, rng=jax.random.key(0))
    assert "pooled" not in first
    np.testing.assert_allclose(first["fc"], quiet["fc"], atol=1e-6)
    ratio = np.asarray(first["y"])[np.asarray(quiet["y"]) > 0]
    ratio /= np.asarray(quiet["y"])[np.asarray(quiet["y"]) > 0]
    assert np.all((ratio == 0) | np.isclose(ratio, 2.0, atol=1e-4))


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(widths=(4,)), "at least two"),
        (dict(hidden=0), "encoder.hidden is 0; set it to 1"),
        (dict(side=30), "multiple of 4"),
        (dict(dropout=1.0), "dropout"),
    ],
)
def test_impossible_sizes(changes, message):
    with pytest.raises(contracts.UserError, match=message):
        build.make("encoder", SPEC | changes)


def test_small_images():
    with pytest.raises(contracts.UserError, match="needs 12x12 or more"):
        made(side=12)


def test_pooling_by_two_is_the_general_one_and_its_gradient():
    x = jax.random.normal(jax.random.key(0), (2, 7, 6, 3))

    def loop(x):
        windows = jnp.stack([x[:, i:6:2, j:6:2] for i in (0, 1) for j in (0, 1)])
        return windows.max(axis=0)

    @functools.partial(jax.jit, static_argnums=0)
    def value_and_gradient(pool, x):
        value, pull_back = jax.vjp(pool, x)
        return value, pull_back(jnp.cos(value))

    value, gradient = value_and_gradient(lambda x: pooling.max_pool(x, 2, 2), x)
    expected, expected_gradient = value_and_gradient(loop, x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)
