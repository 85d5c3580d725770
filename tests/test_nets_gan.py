"""Generators and critics: against plain convolutions in float64, with second derivatives."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dim_jax import build, contracts
from dim_jax.bounds import divergences

WIDTH = 4
SIDES = [32, pytest.param(64, marks=pytest.mark.slow)]


def drawn(net, inputs):
    """Random parameters of the sizes of the initial ones, with biases and scales too, and stats."""
    params, stats = jax.eval_shape(net.init, jax.random.key(0), inputs)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        x = rng.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return (x + (path[-1].key in ("scale", "var"))).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, (params, stats))


def count(net, inputs):
    params, _ = jax.eval_shape(net.init, jax.random.key(0), inputs)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def conv(x, part):
    numbers = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, part["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
    return x + part.get("bias", 0)


def dense(x, part):
    return x @ part["kernel"] + part["bias"]


def pool(x):
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def repeat(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def normed(x, part, axes):
    if part is None:
        return x
    mean, deviation = x.mean(axes, keepdims=True), jnp.sqrt(x.var(axes, keepdims=True) + 1e-5)
    return (x - mean) / deviation * part["scale"] + part["bias"]


def plain_critic(params, images):
    """The scores f[n] as the released code writes them: mean pooling after the convolutions."""
    x, relu = images, jax.nn.relu
    if "conv" in params:
        x = conv(x, params["conv"])
    for name in sorted(name for name in params if name.startswith("block")):
        block, inputs = params[name], x
        if name != "block0" or "conv" in params:
            x = relu(normed(x, block.get("norm1"), (1, 2, 3)))
        x = relu(normed(conv(x, block["conv1"]), block.get("norm2"), (1, 2, 3)))
        x = conv(x, block["conv2"])
        down = "shortcut" in block
        x = pool(x) + pool(dense(inputs, block["shortcut"])) if down else x + inputs
    x = x.reshape(len(x), -1) if "conv" in params else relu(x).mean((1, 2))
    return dense(x, params["y"])[:, 0]


def plain_generator(params, codes):
    """In training mode: upsampling before the convolutions, as the released code writes them."""
    x = dense(codes, params["linear"])
    x, axes = x.reshape(len(x), 4, 4, -1), (0, 1, 2)
    for name in sorted(name for name in params if name.startswith("block")):
        block, inputs = params[name], x
        x = conv(repeat(jax.nn.relu(normed(x, block["norm1"], axes))), block["conv1"])
        x = conv(jax.nn.relu(normed(x, block["norm2"], axes)), block["conv2"])
        x += dense(repeat(inputs), block["shortcut"])
    return jnp.tanh(conv(jax.nn.relu(normed(x, params["norm"], axes)), params["image"]))


def in_float64(function, *inputs):
    with jax.enable_x64(True):
        inputs = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), inputs)
        return jax.tree.map(np.asarray, jax.jit(function)(*inputs))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_scores_and_second_derivatives_of_the_critic_are_those_of_plain_convolutions(side, norm):
    net = build.make("encoder", dict(name="resnet_critic", width=WIDTH, norm=norm))
    images = np.random.default_rng(0).uniform(-1, 1, (3, side, side, 1)).astype(np.float32)
    params, stats = drawn(net, images)
    assert stats == {}

    def critic(params, images):
        return net.apply(params, {}, images, train=True)[0]["y"][:, 0]

    def both(critic, params, images):
        def penalty(params):
            return divergences.gradient_penalty(functools.partial(critic, params), images)

        return critic(params, images), *jax.value_and_grad(penalty)(params)

    def plain_both(params, images):
        def penalty(params):
            slopes = jax.grad(lambda x: plain_critic(params, x).sum())(images)
            return jnp.square(slopes).sum((1, 2, 3)).mean()

        return plain_critic(params, images), *jax.value_and_grad(penalty)(params)

    scores, penalty, gradients = jax.jit(functools.partial(both, critic))(params, images)
    wanted = in_float64(plain_both, params, images)
    np.testing.assert_allclose(scores, wanted[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(penalty, wanted[1], rtol=1e-4)
    assert all(part["conv2"]["kernel"].any() for name, part in wanted[2].items() if "block" in name)
    for found, right in zip(jax.tree.leaves(gradients), jax.tree.leaves(wanted[2]), strict=True):
        assert right.dtype == np.float64
        np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-4 * np.abs(right).max())


@pytest.mark.parametrize("side", SIDES)
def test_images_of_the_generator_are_those_of_plain_convolutions(side):
    spec = dict(name="resnet_generator", width=WIDTH, shape=(side, side, 2))
    net = build.make("generator", spec)
    codes = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    params, stats = drawn(net, codes)
    images, after = jax.jit(functools.partial(net.apply, train=True))(params, stats, codes)
    assert images.shape == (4, side, side, 2) and np.abs(images).max() <= 1
    np.testing.assert_allclose(images, in_float64(plain_generator, params, codes), atol=1e-4)
    assert jax.tree.structure(after) == jax.tree.structure(stats)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_taps_of_the_critic_do_not_depend_on_other_images(norm):
    net = build.make("encoder", dict(name="resnet_critic", width=WIDTH, norm=norm))
    images = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 1)).astype(np.float32)
    params, _ = drawn(net, images)
    apply = jax.jit(lambda images: net.apply(params, {}, images, train=True)[0])
    taps, others = apply(images), apply(np.stack([images[0], -images[1], 3 * images[2]]))
    shapes = {tap: x.shape[1:] for tap, x in taps.items()}
    assert shapes == {"conv": (8, 8, WIDTH), "fc": (WIDTH,), "y": (1,)}
    for tap, values in taps.items():
        np.testing.assert_allclose(values[0], others[tap][0], rtol=1e-5, atol=1e-6)
        assert not np.allclose(values[1], others[tap][1])


def test_numbers_of_parameters_are_those_of_the_published_networks():
    image, code = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 128))
    w, three = 128, 9 * 128 * 128 + 128  # a 3x3 convolution and its bias

    def made(role, **spec):
        return count(build.make(role, spec), code if role == "generator" else image)

    first = (9 * 3 * w + w) + three + (3 * w + w)
    critic = first + (2 * three + w * w + w) + 2 * (2 * three) + (w + 1)
    assert made("encoder", name="resnet_critic", width=w, norm="none") == critic == 1053825
    norms = 3 * 2 * 2 * w
    assert made("encoder", name="resnet_critic", width=w, norm="layer") == critic + norms
    up = 2 * w + (three - w) + 2 * w + three + (w * w + w)
    generator = (w * 16 * w + 16 * w) + 3 * up + 2 * w + (9 * w * 3 + 3)
    spec = dict(name="resnet_generator", width=w, shape=(32, 32, 3))
    assert made("generator", **spec) == generator

    image = jnp.zeros((1, 64, 64, 3))
    maps = [512, 512, 256, 128, 64]
    generator = 128 * 16 * 512 + 16 * 512 + 2 * 64 + (9 * 64 * 3 + 3)
    for a, b in itertools.pairwise(maps):
        generator += (2 * a + 9 * a * b) + (2 * b + 9 * b * b + b) + (a * b + b)
    spec = dict(name="resnet_generator", width=64, shape=(64, 64, 3))
    assert made("generator", **spec) == generator
    maps = [64, 128, 256, 512, 512]
    critic = (9 * 3 * 64 + 64) + (8192 + 1)
    for a, b in itertools.pairwise(maps):
        critic += (2 * a + 9 * a * a) + (2 * a + 9 * a * b + b) + (a * b + b)
    assert made("encoder", name="resnet_critic", width=64, norm="layer") == critic


def test_initial_weights_have_the_variances_of_the_released_code():
    net = build.make("encoder", dict(name="resnet_critic", width=64, norm="layer"))
    params, _ = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))

    def check(part, fans, numerator):
        kernel, limit = np.asarray(part["kernel"]), np.sqrt(3 * numerator / fans)
        np.testing.assert_allclose(kernel.var(), numerator / fans, rtol=0.15)
        assert 0.98 * limit < np.abs(kernel).max() <= limit * (1 + 1e-6)
        assert not np.any(part.get("bias", 0))

    check(params["block0"]["conv1"], 9 * (3 + 64), 4)
    check(params["block2"]["conv2"], 9 * (64 + 64), 4)
    check(params["block1"]["shortcut"], 64 + 64, 2)


def test_networks_of_points():
    critic = build.make("encoder", dict(name="mlp", widths=(6, 5)))
    points = np.random.default_rng(0).normal(size=(4, 1, 1, 2)).astype(np.float32)
    params, stats = critic.init(jax.random.key(0), points)
    assert stats == {} and count(critic, points) == (2 * 6 + 6) + (6 * 5 + 5) + (5 + 1)
    taps, _ = critic.apply(params, stats, points, train=True)
    shapes = {tap: x.shape for tap, x in taps.items() if tap != "local"}
    assert shapes == {"conv": points.shape, "fc": (4, 5), "y": (4, 1)}

    spec = dict(name="mlp_generator", widths=(6, 5), shape=(1, 1, 2))
    generator = build.make("generator", spec)
    codes = 100 * points.reshape(4, 2)
    params, stats = generator.init(jax.random.key(0), codes)
    assert stats == {} and count(generator, codes) == (2 * 6 + 6) + (6 * 5 + 5) + (5 * 2 + 2)
    made, _ = generator.apply(params, stats, codes, train=True)
    assert made.shape == (4, 1, 1, 2) and np.abs(made).max() > 1


def test_other_sizes_of_images_are_refused():
    spec = dict(name="resnet_generator", width=WIDTH, shape=(28, 28, 1))
    with pytest.raises(
        contracts.UserError, match=r"32x32 or 64x64, not 28x28; set data.image_size"
    ):
        build.make("generator", spec)
    critic = build.make("encoder", dict(name="resnet_critic", width=WIDTH, norm="none"))
    with pytest.raises(contracts.UserError, match=r"images are 28x28 .* set data.image_size=32"):
        critic.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    with pytest.raises(contracts.UserError, match="norm is 'batch'; set it to 'none' or 'layer'"):
        build.make("encoder", dict(name="resnet_critic", width=WIDTH, norm="batch"))


def test_networks_are_under_their_roles_alone():
    encoders, generators = build.names("encoder"), build.names("generator")
    assert {"resnet_critic", "mlp"} <= set(encoders)
    assert {"resnet_generator", "mlp_generator", "decoder"} <= set(generators)
    assert not {"resnet_generator", "mlp_generator"} & set(encoders)
    assert not {"resnet_critic", "mlp"} & set(generators)
