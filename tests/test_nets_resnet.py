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


@pytest.mark.parametrize(
    ("size", "stem", "local", "conv"),
    [
        ((97, 32), "imagenet", (7, 2), (4, 1)),
        ((32, 9), "cifar", (8, 3), (4, 2)),
    ],
)
def test_maps_of_other_sizes_are_those_of_pytorch(size, stem, local, conv):
    """Every halving rounds up: padding 1 for windows of 3, 3 for 7."""
    images = jax.ShapeDtypeStruct((2, *size, 1), jnp.float32)
    params, taps = taps_of(made((1, 1, 1, 1), False, stem), images)
    assert "y" not in params
    assert taps == dict(local=(*local, 16), conv=(*conv, 32), fc=(32,), y=(32,))


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


def made(blocks, bottleneck, stem, features=None):
    """A network with other numbers of blocks."""
    module = resnet._ResNet(blocks, bottleneck, 4, features, stem, 2, "batch", False)
    return resnet._encoder("resnet", module)


CASES = {
    "cifar": (made((2, 1, 1, 1), False, "cifar"), (17, 16)),
    "imagenet": (made((1, 1, 1, 1), True, "imagenet", features=5), (40, 33)),
}


def arguments_of(case):
    """params, stats, images, and weights of the taps."""
    net, size = CASES[case]
    images = np.random.default_rng(0).normal(size=(6, *size, 2)).astype(np.float32)
    params, stats = drawn(net, images)
    taps, _ = jax.eval_shape(functools.partial(net.apply, train=True), params, stats, images)
    rng = np.random.default_rng(2)
    return params, stats, images, {tap: rng.normal(size=x.shape) for tap, x in taps.items()}


def check(function, case):
    """Compares function(apply, params, stats, images, weights) of the network and of `plain`."""
    arguments = arguments_of(case)
    ours = functools.partial(CASES[case][0].apply, train=True)
    found = jax.jit(functools.partial(function, ours))(*arguments)
    theirs = functools.partial(plain, stem=case, bottleneck=case == "imagenet")
    with jax.enable_x64(True):
        arguments = jax.tree.map(np.float64, arguments)
        expected = jax.device_get(jax.jit(functools.partial(function, theirs))(*arguments))
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    values = zip(jax.tree.leaves(found), jax.tree_util.tree_leaves_with_path(expected), strict=True)
    for value, (path, right) in values:
        assert right.dtype == np.float64
        distance = np.linalg.norm(value - right) / max(np.linalg.norm(right), 1e-3)
        assert distance < 1e-3, (jax.tree_util.keystr(path), distance)


@pytest.mark.parametrize("case", CASES)
def test_taps_and_statistics_are_those_of_plain_convolutions(case):
    check(lambda apply, params, stats, images, _: apply(params, stats, images), case)


@pytest.mark.slow
def test_gradients_are_those_of_plain_convolutions():
    def gradients(apply, params, stats, images, weights):
        def loss(params):
            taps, _ = apply(params, stats, images)
            return sum(jnp.sum(weights[tap] * x) for tap, x in taps.items())

        return jax.grad(loss)(params)

    check(gradients, "imagenet")


def test_initial_weights_are_those_of_torchvision():
    block = resnet._Block(((8, 3, 1), (64, 3, 1)), "batch", True)
    init = jax.jit(functools.partial(block.init, train=False))
    params = init(RNG, jnp.zeros((1, 1, 1, 8)))["params"]
    scales = [params[name]["norm"]["scale"] for name in ("conv0", "conv1", "shortcut")]
    assert [scale.any() for scale in scales] == [True, False, True]
    kernel, deviation = np.asarray(params["conv1"]["conv"]["kernel"]), np.sqrt(2 / (9 * 64))
    np.testing.assert_allclose(kernel.std(), deviation, rtol=0.03)
    assert np.abs(kernel).max() > 3 * deviation  # not truncated


def test_microbatches_divide_the_batch():
    net, images = CASES["cifar"][0], jnp.zeros((8, 8, 8, 1))
    params, stats = jax.eval_shape(net.init, RNG, images)
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
