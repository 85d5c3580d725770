"""Strided-crop encoders: the geometry of the crops, what a cell sees, sizes and dropout."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts
from dim_jax.nets import crops, folded

RNG = jax.random.key(0)

SMALL = {
    "folded_alexnet32": dict(width=6, hidden=8, features=4, dropout=0.5),
    "folded_alexnet64": dict(width=6, hidden=8, features=4, dropout=0.5),
    "folded_resnet32": dict(width=4, blocks=(2, 1, 2), hidden=8, features=4),
    "folded_resnet64": dict(width=4, blocks=(1, 2, 1), hidden=8, features=4),
    "folded_multi_alexnet32": dict(width=6, features=5),
    "folded_multi_alexnet64": dict(width=6, features=5),
    "folded_multi_resnet32": dict(width=4, blocks=(1, 1, 1), features=5),
    "folded_multi_resnet64": dict(width=4, blocks=(1, 1, 1), features=5),
}
ALEXNET = dict(width=96, hidden=4096, features=64, dropout=0.1)
RESNET = dict(width=64, hidden=1024, features=64)
# Systems sheet 1.3: channels of the map, size of fc and of y, sides of the globals.
PUBLISHED = [
    ("folded_alexnet64", ALEXNET, 192, 4096, 64, None),
    ("folded_resnet32", dict(blocks=(2, 2, 2), **RESNET), 1024, 1024, 64, None),
    ("folded_resnet32", dict(blocks=(3, 6, 3), **RESNET), 1024, 1024, 64, None),
    ("folded_multi_alexnet64", dict(width=96, features=192), 192, 4800, 4800, 5),
    ("folded_multi_resnet32", dict(width=64, blocks=(3, 6, 3), features=192), 1024, 4800, 4800, 5),
]


def side_of(name: str) -> int:
    return int(name[-2:])


def filled(shapes):
    """Weights for the shapes of a network, without compiling its initialisation."""
    numbers = np.random.default_rng(0)

    def fill(path, leaf):
        kind = path[-1].key
        if kind in ("mean", "bias"):
            return jnp.zeros(leaf.shape)
        if kind in ("var", "scale"):
            return jnp.ones(leaf.shape)
        spread = 1 / np.sqrt(np.prod(leaf.shape[:-1]))
        return jnp.asarray(numbers.normal(0, spread, leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


@functools.cache
def small(name: str):
    """A small network: apply(params, stats, images, train, rng) jitted, params and statistics."""
    net = build.make("encoder", dict(name=name, **SMALL[name]))
    images = jax.ShapeDtypeStruct((1, side_of(name), side_of(name), 3), jnp.float32)
    params, stats = filled(jax.eval_shape(net.init, RNG, images))
    return jax.jit(net.apply, static_argnames="train"), params, stats


def net_and_shapes(name, arguments):
    net = build.make("encoder", dict(name=name, **arguments))
    images = jax.ShapeDtypeStruct((2, side_of(name), side_of(name), 3), jnp.float32)
    params, stats = jax.eval_shape(net.init, RNG, images)
    taps = jax.eval_shape(lambda p, s, x: net.apply(p, s, x, train=False)[0], params, stats, images)
    return params, {tap: features.shape[1:] for tap, features in taps.items()}


@pytest.mark.parametrize("side", [32, 64])
def test_unfold_cuts_the_crops_that_a_loop_cuts(side):
    images = np.random.default_rng(0).normal(size=(3, side, side, 2)).astype(np.float32)
    crop, stride = side // 4, side // 8
    expected = [
        image[stride * r : stride * r + crop, stride * s : stride * s + crop]
        for image in images
        for r in range(7)
        for s in range(7)
    ]
    np.testing.assert_array_equal(crops.unfold(jnp.asarray(images)), np.stack(expected))


def test_fold_puts_the_code_of_a_crop_where_the_crop_was():
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 2)).astype(np.float32)
    maps = crops.fold(crops.unfold(jnp.asarray(images)).mean((1, 2), keepdims=True))
    assert maps.shape == (3, 7, 7, 2)
    for n, r, s in np.ndindex(3, 7, 7):
        crop = images[n, 4 * r : 4 * r + 8, 4 * s : 4 * s + 8]
        np.testing.assert_allclose(maps[n, r, s], crop.mean((0, 1)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 32, 64, 3), (2, 28, 28, 3)])
def test_unfold_refuses_what_has_no_such_crops(shape):
    with pytest.raises(contracts.UserError, match=f"{shape[1]}x{shape[2]} pixels.*multiple of 8"):
        crops.unfold(jnp.zeros(shape))


@pytest.mark.parametrize("shape", [(98, 2, 2, 3), (50, 1, 1, 3)])
def test_fold_refuses_what_is_not_one_code_per_crop(shape):
    with pytest.raises(ValueError, match=r"n \* 49, 1, 1, d"):
        crops.fold(jnp.zeros(shape))


@pytest.mark.parametrize("name", [name for name in SMALL if "multi" not in name])
def test_a_cell_sees_its_crop_and_nothing_else(name):
    side = side_of(name)
    apply, params, stats = small(name)
    images = jax.random.normal(RNG, (4, side, side, 3))

    @jax.jit
    def gradient(images, row, column):
        def cell(images):
            local = apply(params, stats, images, train=False)[0]["local"]
            return jnp.sum(jnp.sin(local[:, row, column]))

        return jnp.abs(jax.grad(cell)(images)).sum((0, 3))

    for row, column in ((0, 0), (2, 5), (6, 6)):
        seen = np.asarray(gradient(images, row, column)) > 0
        inside = np.zeros_like(seen)
        top, left = row * side // 8, column * side // 8
        inside[top : top + side // 4, left : left + side // 4] = True
        assert not seen[~inside].any()
        # A maximum passes one of its pixels on, but some from every row and column.
        np.testing.assert_array_equal(seen.any(1), inside.any(1))
        np.testing.assert_array_equal(seen.any(0), inside.any(0))


@pytest.mark.parametrize("name", ["folded_multi_resnet32", "folded_multi_alexnet64"])
def test_a_global_sees_three_by_three_crops(name):
    side = side_of(name)
    apply, params, stats = small(name)
    images = jax.random.normal(RNG, (4, side, side, 3))

    def one(images):
        found = apply(params, stats, images, train=False)[0]["globals"]
        return jnp.sum(jnp.sin(found[:, 1, 4]))

    seen = np.asarray(jnp.abs(jax.jit(jax.grad(one))(images)).sum((0, 3))) > 0
    stride = side // 8
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    np.testing.assert_array_equal(rows, np.arange(stride, 5 * stride))
    np.testing.assert_array_equal(columns, np.arange(4 * stride, 8 * stride))


@pytest.mark.parametrize(("name", "arguments", "channels", "fc", "y", "globals_side"), PUBLISHED)
def test_taps_at_the_published_sizes(name, arguments, channels, fc, y, globals_side):
    _, taps = net_and_shapes(name, arguments)
    expected = {"local": (7, 7, channels), "conv": (7, 7, channels), "fc": (fc,), "y": (y,)}
    if globals_side:
        expected["globals"] = (globals_side, globals_side, 192)
    assert taps == expected


@pytest.mark.parametrize("name", SMALL)
def test_every_encoder_has_the_probed_taps_and_y_is_all_globals(name):
    side = side_of(name)
    apply, params, stats = small(name)
    images = jax.random.normal(RNG, (4, side, side, 3))
    evaluated = functools.partial(apply, train=False)
    taps, _ = jax.eval_shape(evaluated, params, stats, images)
    assert set(contracts.PROBED_TAPS) <= taps.keys()
    assert ("globals" in taps) == ("multi" in name)
    if "globals" in taps:
        taps, _ = evaluated(params, stats, images)
        np.testing.assert_array_equal(taps["y"], taps["globals"].reshape(4, -1))


def normed(kernel: int, features: int) -> int:
    """A kernel of so many numbers, and batch norm's scale and shift."""
    return kernel + 2 * features


def bottleneck(before: int, width: int, shortcut: bool) -> int:
    after = 4 * width
    main = (
        normed(before * width, width)
        + normed(9 * width * width, width)
        + normed(width * after, after)
    )
    return main + (normed(before * after, after) if shortcut else 0)


@pytest.mark.parametrize(("blocks", "layers"), [((2, 2, 2), 19), ((3, 6, 3), 37)])
def test_parameters_of_the_published_resnets(blocks, layers):
    params, _ = net_and_shapes("folded_resnet32", dict(blocks=blocks, **RESNET))
    count = normed(27 * 64, 64)
    before = 64
    for width, repeats in zip((64, 128, 256), blocks, strict=True):
        count += bottleneck(before, width, True)
        count += (repeats - 1) * bottleneck(4 * width, width, False)
        before = 4 * width
    count += normed(7 * 7 * 1024 * 1024, 1024) + 1024 * 64 + 64
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    kernels = [leaf for leaf in jax.tree.leaves(params["body"]) if leaf.ndim == 4]
    assert len(kernels) - 3 == layers  # three shortcuts are not counted as layers


def test_parameters_of_the_published_alexnet():
    params, _ = net_and_shapes("folded_alexnet64", ALEXNET)
    widths = (3, 96, 192, 384, 384, 192)
    count = sum(normed(9 * a * b, b) for a, b in itertools.pairwise(widths))
    count += normed(9 * 192 * 384, 384) + normed(3 * 3 * 384 * 4096, 4096) + 4096 * 64 + 64
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize("name", SMALL)
def test_wrong_image_size_is_one_sentence(name):
    side = side_of(name)
    net = build.make("encoder", dict(name=name, **SMALL[name]))
    with pytest.raises(contracts.UserError, match=f"48x48.*'{name}' needs {side}x{side}"):
        jax.eval_shape(net.init, RNG, jnp.zeros((2, 48, 48, 3)))


def test_dropout_needs_training_and_follows_its_key():
    apply, params, stats = small("folded_alexnet32")
    images = jax.random.normal(RNG, (4, 32, 32, 3))

    def y(key, train):
        return apply(params, stats, images, train=train, rng=jax.random.key(key))[0]["y"]

    np.testing.assert_array_equal(y(1, True), y(1, True))
    assert np.abs(y(1, True) - y(2, True)).max() > 1e-3
    np.testing.assert_array_equal(y(1, False), y(2, False))
    still, _ = apply(params, stats, images, train=False)
    np.testing.assert_array_equal(y(1, False), still["y"])


def test_dropout_of_the_summary_takes_whole_channels():
    head = folded._Single(summary=50, hidden=40, features=4, dropout=0.3, norm="batch")
    maps = jax.random.normal(RNG, (8, 7, 7, 6))
    variables = filled(jax.eval_shape(functools.partial(head.init, train=False), RNG, maps))

    @jax.jit
    def dropped(variables, maps, key):
        _, found = head.apply(
            variables,
            maps,
            train=True,
            rngs={"dropout": key},
            mutable=["intermediates", "batch_stats"],
            capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
        )
        return found["intermediates"]

    found = dropped(variables, maps, jax.random.key(1))
    channels = np.asarray(found["Dropout_0"]["__call__"][0]) == 0
    assert channels.shape == (8, 3, 3, 50)
    np.testing.assert_array_equal(channels.any((1, 2)), channels.all((1, 2)))
    # 400 channels and 320 hidden units: five standard deviations are below 0.13.
    assert channels.mean() == pytest.approx(0.3, abs=0.13)
    hidden = np.asarray(found["Dropout_1"]["__call__"][0]) == 0
    assert hidden.mean() == pytest.approx(0.3, abs=0.13)


def test_a_supervised_run_draws_dropout_too():
    method = build.make(
        "method",
        dict(
            name="supervised",
            encoder=dict(name="folded_alexnet32", width=2, hidden=8, features=4, dropout=0.5),
            classifier=dict(name="classifier", hidden=4, dropout=0.0, classes=3),
            tap="fc",
        ),
    )
    images = jax.random.normal(RNG, (1, 4, 32, 32, 3))
    batch = dict(images=images, labels=jnp.arange(4) % 3, index=jnp.arange(4))
    params, state = filled(jax.eval_shape(method.init, RNG, batch))
    loss = jax.jit(method.loss)
    losses = [
        float(loss(params, state, batch, jax.random.key(i), 0).losses["encoder"]) for i in range(2)
    ]
    assert losses[0] != losses[1]


def test_batch_norm_is_over_the_crops_of_all_images():
    """The stem's running mean moves by a tenth of the mean over all crops, not over one image's."""
    apply, params, stats = small("folded_resnet32")
    images = jax.random.normal(RNG, (4, 32, 32, 3)) + jnp.arange(4.0)[:, None, None, None]
    _, after = apply(params, stats, images, train=True)
    kernel = np.asarray(params["body"]["stem"]["kernel"], np.float64)
    padded = np.pad(np.asarray(crops.unfold(images), np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    sums = np.zeros(kernel.shape[-1])
    for row, column in np.ndindex(4, 4):
        patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        sums += np.einsum("nijc,ijcd->d", patch, kernel)
    mean = sums / (len(padded) * 16)
    np.testing.assert_allclose(after["body"]["stem_norm"]["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)


class Loops:
    """Layers of a module's variables in evaluation mode, in float64."""

    def __init__(self, variables):
        self.of = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)

    def norm(self, name, x):
        layer = {**self.of["params"][name], **self.of["batch_stats"][name]}
        standard = (x - layer["mean"]) / np.sqrt(layer["var"] + 1e-5)
        return standard * layer["scale"] + layer["bias"]

    def conv(self, name, x, stride, padding):
        kernel = self.of["params"][name]["kernel"]
        x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
        x = np.einsum("nhwcij,ijcd->nhwd", windows[:, ::stride, ::stride], kernel)
        return self.norm(f"{name}_norm", x)

    def linear(self, name, x):
        layer = self.of["params"][name]
        return x.reshape(len(x), -1) @ layer["kernel"] + layer.get("bias", 0)


def evaluated(module, x):
    """Outputs in evaluation mode, with every scale, bias and statistic moved from its start."""
    variables = filled(jax.eval_shape(functools.partial(module.init, train=False), RNG, x))
    numbers = np.random.default_rng(3)
    variables = jax.tree.map(
        lambda leaf: leaf + jnp.asarray(numbers.uniform(-0.3, 0.3, leaf.shape), jnp.float32),
        variables,
    )
    outputs = jax.jit(functools.partial(module.apply, train=False))(variables, jnp.float32(x))
    return outputs, Loops(variables)


@pytest.mark.parametrize(("channels", "stride"), [(12, 1), (12, 2), (5, 1)])
def test_bottlenecks_are_three_convolutions_beside_a_shortcut(channels, stride):
    x = np.random.default_rng(0).normal(size=(2, 4, 4, channels))
    outputs, loops = evaluated(folded._Bottleneck(3, stride, "batch"), x)
    inner = np.maximum(loops.conv("conv0", x, 1, 0), 0)
    inner = np.maximum(loops.conv("conv1", inner, stride, 1), 0)
    beside = x if (channels, stride) == (12, 1) else loops.conv("shortcut", x, stride, 0)
    expected = np.maximum(loops.conv("conv2", inner, 1, 0) + beside, 0)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def test_crops_of_alexnet_are_five_convolutions_with_pooling():
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 2))
    outputs, loops = evaluated(folded._AlexNet(2, (1, 4), "batch"), x)
    for index in range(5):
        x = np.maximum(loops.conv(f"conv{index}", x, 1, 1), 0)
        if index in (1, 4):
            windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
            x = windows[:, ::2, ::2].max((-2, -1))
    assert outputs.shape == (3, 1, 1, 4)
    np.testing.assert_allclose(outputs, x, rtol=1e-4, atol=1e-4)


def test_layers_above_the_map():
    x = np.random.default_rng(0).normal(size=(2, 7, 7, 3))
    outputs, loops = evaluated(folded._Single(5, 6, 4, 0.5, "batch"), x)
    summary = np.maximum(loops.conv("summary", x, 2, 0), 0)
    fc = np.maximum(loops.norm("fc_norm", loops.linear("fc", summary)), 0)
    for name, tap in dict(fc=fc, y=loops.linear("y", fc)).items():
        np.testing.assert_allclose(outputs[name], tap, rtol=1e-4, atol=1e-4)
    outputs, loops = evaluated(folded._Multiple(4, "batch"), x)
    below = np.maximum(loops.conv("block", x, 1, 0), 0)
    above = np.maximum(loops.conv("globals", below, 1, 0), 0)
    expected = dict(fc=below.reshape(2, -1), globals=above, y=above.reshape(2, -1))
    for name, tap in expected.items():
        np.testing.assert_allclose(outputs[name], tap, rtol=1e-4, atol=1e-4)
