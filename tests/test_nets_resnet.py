"""ResNets: published sizes, and outputs, statistics and gradients of plain convolutions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dim_jax import build, contracts
from dim_jax.nets import microbatches, resnet

RNG = jax.random.key(0)


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def taps_of(net, images):
    params, stats = jax.eval_shape(net.init, RNG, images)
    taps, _ = jax.eval_shape(functools.partial(net.apply, train=True), params, stats, images)
    return params, {tap: x.shape[1:] for tap, x in taps.items()}


@pytest.mark.parametrize(
    ("name", "parameters", "factor"), [("resnet18", 11_689_512, 1), ("resnet50", 25_557_032, 4)]
)
def test_sizes_are_the_published_ones(name, parameters, factor):
    net = build.make("encoder", dict(name=name, features=1000))
    params, taps = taps_of(net, jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32))
    assert count(params) == parameters
    channels = 512 * factor
    assert taps == dict(
        local=(14, 14, channels // 2), conv=(7, 7, channels), fc=(channels,), y=(1000,)
    )
    small = build.make("encoder", dict(name=name, width=16, stem="cifar"))
    params, taps = taps_of(small, jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32))
    channels //= 4
    fc = (channels,)
    assert taps == dict(local=(8, 8, channels // 2), conv=(4, 4, channels), fc=fc, y=fc)
    assert "y" not in params


@pytest.mark.parametrize(
    ("size", "stem", "local", "conv"),
    [
        ((32, 32), "imagenet", (2, 2), (1, 1)),
        ((96, 128), "imagenet", (6, 8), (3, 4)),
        ((97, 65), "imagenet", (7, 5), (4, 3)),
        ((9, 28), "cifar", (3, 7), (2, 4)),
    ],
)
def test_maps_of_other_sizes_are_those_of_pytorch(size, stem, local, conv):
    """Every halving rounds up: padding 1 for windows of 3, 3 for 7."""
    _, taps = taps_of(resnet.resnet18(width=2, stem=stem), jnp.zeros((2, *size, 1)))
    assert (taps["local"][:2], taps["conv"][:2]) == (local, conv)


def convolved(x, part, stride):
    kernel = part["kernel"]
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]
    padding = len(kernel) // 2
    numbers = ("NHWC", "HWIO", "NHWC")
    edges = [(padding, padding)] * 2
    return lax.conv_general_dilated(x, kernel, (stride,) * 2, edges, dimension_numbers=numbers)


def normed(x, part, stats):
    """In training mode, with the running averages."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    after = {"mean": 0.9 * stats["mean"] + 0.1 * mean, "var": 0.9 * stats["var"] + 0.1 * variance}
    return (x - mean) / jnp.sqrt(variance + 1e-5) * part["scale"] + part["bias"], after


def plain(params, stats, images, stem, bottleneck):
    """The taps and running averages, as torchvision writes them."""
    after: dict = {}

    def layer(path, x, stride):
        part, old, new = params, stats, after
        for key in path:
            part, old, new = part[key], old[key], new.setdefault(key, {})
        x, new["norm"] = normed(convolved(x, part["conv"], stride), part["norm"], old["norm"])
        return x

    x = jax.nn.relu(layer(["stem"], images, 2 if stem == "imagenet" else 1))
    if stem == "imagenet":
        window, edges = ((1, 3, 3, 1), (1, 2, 2, 1)), [(0, 0), (1, 1), (1, 1), (0, 0)]
        x = lax.reduce_window(x, -jnp.inf, lax.max, *window, edges)
    local = None
    for place in sorted(name for name in params if name.startswith("stage")):
        stage, index = map(int, place.removeprefix("stage").split("_"))
        stride = 2 if stage and not index else 1
        local = x if stage == 3 and not index else local
        names = sorted(name for name in params[place] if name.startswith("conv"))
        inner = x
        for name in names:
            step = stride if name == f"conv{int(bottleneck)}" else 1
            inner = layer([place, name], inner, step)
            inner = inner if name == names[-1] else jax.nn.relu(inner)
        if "shortcut" in params[place]:
            x = layer([place, "shortcut"], x, stride)
        x = jax.nn.relu(inner + x)
    fc = x.mean((1, 2))
    y = fc @ params["y"]["kernel"] + params["y"]["bias"] if "y" in params else fc
    return dict(local=local, conv=x, fc=fc, y=y), after


def drawn(net, images):
    """Random parameters of about the initial sizes, with biases and scales too, and stats."""
    shapes = jax.eval_shape(net.init, RNG, images)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        x = rng.normal(size=leaf.shape) * np.sqrt(1 / np.prod(leaf.shape[:-1]))
        return (x / 2 + 1 if path[-1].key in ("scale", "var") else x).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.parametrize(
    ("blocks", "bottleneck", "stem", "size", "features"),
    [
        ((1, 1, 1, 1), False, "cifar", (17, 16), None),
        ((2, 1, 1, 1), True, "imagenet", (40, 33), 5),
    ],
)
def test_taps_statistics_and_gradients_are_those_of_plain_convolutions(
    blocks, bottleneck, stem, size, features
):
    module = resnet._ResNet(blocks, bottleneck, 4, features, stem, 2, "batch", False)
    net = resnet._encoder("resnet", module)
    images = np.random.default_rng(0).normal(size=(6, *size, 2)).astype(np.float32)
    params, stats = drawn(net, images)
    taps, _ = jax.eval_shape(functools.partial(net.apply, train=True), params, stats, images)
    rng = np.random.default_rng(2)
    weights = {tap: rng.normal(size=x.shape) / x.size**0.5 for tap, x in taps.items()}

    def run(apply, params, stats, images, weights):
        def loss(params):
            taps, after = apply(params, stats, images)
            return sum(jnp.sum(weights[tap] * x) for tap, x in taps.items()), (taps, after)

        return jax.grad(loss, has_aux=True)(params)

    arguments = (params, stats, images, weights)
    found = jax.jit(functools.partial(run, functools.partial(net.apply, train=True)))(*arguments)
    theirs = functools.partial(plain, stem=stem, bottleneck=bottleneck)
    with jax.enable_x64(True):
        arguments = jax.tree.map(np.float64, arguments)
        expected = jax.device_get(jax.jit(functools.partial(run, theirs))(*arguments))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    values = zip(jax.tree.leaves(found), jax.tree_util.tree_leaves_with_path(expected), strict=True)
    for value, (path, right) in values:
        assert right.dtype == np.float64
        distance = np.linalg.norm(value - right) / max(np.linalg.norm(right), 1e-3)
        assert distance < 1e-3, (jax.tree_util.keystr(path), distance)


@pytest.fixture(scope="module")
def small():
    """A ResNet-18 with zero scales, its inputs, and its taps and averages in training mode."""
    spec = dict(name="resnet18", width=2, features=3, stem="cifar", zero_init=True)
    net = build.make("encoder", spec)
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype(np.float32)
    params, stats = jax.jit(net.init)(RNG, images)
    return net, params, stats, images


def test_initial_weights_are_those_of_torchvision(small):
    _, params, _, _ = small
    for name, block in params.items():
        if name.startswith("stage"):
            assert not block["conv1"]["norm"]["scale"].any()
            assert block["conv0"]["norm"]["scale"].all()
    net = resnet.resnet18(width=32)
    kernel = jax.jit(net.init)(RNG, jnp.zeros((2, 32, 32, 3)))[0]["stage2_1"]["conv0"]["conv"]
    kernel = np.asarray(kernel["kernel"])
    deviation = np.sqrt(2 / (9 * kernel.shape[-1]))
    np.testing.assert_allclose(kernel.std(), deviation, rtol=0.02)
    assert np.abs(kernel).max() > 3.5 * deviation  # not truncated


def test_microbatches_divide_the_batch(small):
    net, params, stats, images = small
    with microbatches.count(3), pytest.raises(contracts.UserError, match="8 examples, which 3 mic"):
        jax.eval_shape(functools.partial(net.apply, train=True), params, stats, images)


@pytest.mark.parametrize(
    ("arguments", "size", "message"),
    [
        (dict(), 28, "28x28 pixels .* stem='imagenet' needs 32x32 or more; .* or use stem='cifar'"),
        (dict(stem="cifar"), 7, r"'resnet18' with stem='cifar' needs 8x8 or more; set data.*=8 or"),
        (dict(local=4), 32, "local=4 and the encoder 'resnet18' has 4 stages; use 0 to 3"),
        (dict(stem="mnist"), 32, "stem is 'mnist'; set it to 'imagenet' or 'cifar'"),
        (dict(features=0), 32, "features is 0; set it to 1 or a larger integer, or to None"),
        (
            dict(norm="none", zero_init=True),
            32,
            "norm='none' has no scales .*; set zero_init=False",
        ),
        (dict(norm="bach"), 32, "unknown norm 'bach': did you mean 'batch'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, size, message):
    with pytest.raises(contracts.UserError, match=message):
        net = build.make("encoder", dict(name="resnet18", width=2) | arguments)
        jax.eval_shape(net.init, RNG, jnp.zeros((2, size, size, 3)))
