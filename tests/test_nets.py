"""Networks: published sizes, layer rules, and both forms of each critic."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from dim_jax import contracts
from dim_jax.nets import encoders, heads, layers, pure

RNG = jax.random.key(0)

# Map sizes and the numbers of parameters of the published encoders.
PUBLISHED = {
    "dcgan32": (32, 3, dict(width=64, hidden=1024, features=64), (8, 8, 128), (4, 4, 256), 4.92e6),
    "dcgan28": (28, 1, dict(width=64, hidden=1024, features=64), (7, 7, 128), (7, 7, 128), None),
    "dcgan64": (64, 3, dict(width=64, hidden=1024, features=64), (8, 8, 256), (4, 4, 512), None),
    "alexnet64": (
        *(64, 3, dict(width=96, hidden=4096, features=64)),
        *((15, 15, 384), (7, 7, 192), 58.4e6),
    ),
}


def size(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", PUBLISHED)
def test_encoder_has_the_published_sizes(name):
    side, channels, arguments, local, conv, parameters = PUBLISHED[name]
    net = getattr(encoders, name)(**arguments)
    images = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)
    params, stats = jax.eval_shape(net.init, RNG, images)
    taps, _ = jax.eval_shape(lambda p, s, x: net.apply(p, s, x, train=False), params, stats, images)
    assert taps["local"].shape[1:] == local
    assert taps["conv"].shape[1:] == conv
    assert taps["fc"].shape[1:] == (arguments["hidden"],)
    assert taps["y"].shape[1:] == (64,)
    if parameters:
        assert size(params) == pytest.approx(parameters, rel=2e-3)


def perturbed(tree):
    """Leaves moved by known numbers: initial scales, biases and statistics hide what they do."""
    leaves, structure = jax.tree.flatten(tree)
    random = np.random.default_rng(9)
    return structure.unflatten([leaf + random.uniform(-0.4, 0.4, leaf.shape) for leaf in leaves])


def by_name(params, stats):
    """linear(name, x) and norm(name, x) in evaluation mode, in float64."""

    def linear(name, x):
        layer = {part: np.asarray(leaf, np.float64) for part, leaf in params[name].items()}
        return x @ layer["kernel"] + layer.get("bias", 0)

    def norm(name, x):
        parts = {**params[name], **stats[name]}
        values = {part: np.asarray(leaf, np.float64) for part, leaf in parts.items()}
        return (x - values["mean"]) / np.sqrt(values["var"] + 1e-5) * values["scale"] + values[
            "bias"
        ]

    return linear, norm


def test_encoder_is_convolutions_norms_relus_and_pooling():
    """In evaluation mode, against SciPy's correlation and loops in float64."""
    blocks = (encoders.Block(3, 3, 1, 1, pool=3), encoders.Block(4, 3, 2, 1))
    net = pure.net(encoders.ConvEncoder(blocks, (6, 5), 2, local=0))
    images = np.random.default_rng(0).normal(size=(2, 9, 9, 2))
    params, stats = map(perturbed, jax.jit(net.init)(RNG, jnp.float32(images)))
    linear, norm = by_name(params, stats)
    taps, _ = jax.jit(partial(net.apply, train=False))(params, stats, jnp.float32(images))

    def convolved(name, x, stride):
        kernel = np.asarray(params[name]["kernel"], np.float64)
        maps = [
            [
                sum(
                    ndimage.correlate(image[..., c], kernel[..., c, k], mode="constant")
                    for c in range(x.shape[-1])
                )
                for k in range(kernel.shape[-1])
            ]
            for image in x
        ]
        return np.moveaxis(np.array(maps), 1, -1)[:, ::stride, ::stride]

    x = np.maximum(norm("conv0_norm", convolved("conv0", images, 1)), 0)
    local = np.array(
        [
            [[image[i : i + 3, j : j + 3].max((0, 1)) for j in (0, 2, 4, 6)] for i in (0, 2, 4, 6)]
            for image in x
        ]
    )
    conv = np.maximum(norm("conv1_norm", convolved("conv1", local, 2)), 0)
    x = conv.reshape(2, -1)
    for name in ("fc0", "fc1"):
        x = np.maximum(norm(f"{name}_norm", linear(name, x)), 0)
    expected = dict(local=local, conv=conv, fc=x, y=linear("y", x))
    assert taps.keys() == expected.keys()
    for name, tap in expected.items():
        np.testing.assert_allclose(taps[name], tap, rtol=1e-4, atol=1e-4, err_msg=name)


def test_wrong_image_size_is_one_sentence():
    net = encoders.dcgan32(width=4, hidden=8, features=4)
    with pytest.raises(contracts.UserError, match=r"28x28.*32x32.*image_size=32"):
        jax.eval_shape(net.init, RNG, jnp.zeros((2, 28, 28, 1)))


def value_and_gradients(form, inputs, kernel):
    """A smooth function of form(inputs, kernel), and both its gradients."""

    def smooth(inputs, kernel):
        return jnp.sum(jnp.sin(form(inputs, kernel)))

    return jax.jit(jax.value_and_grad(smooth, argnums=(0, 1)))(inputs, kernel)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(4, 2, 1), (4, 2, 0), (3, 1, 1), (3, 2, 1), (5, 3, 2), (2, 2, 0), (1, 2, 0)],
)
def test_transposed_convolution_is_that_of_pytorch_and_of_lax(kernel, stride, padding):
    layer = layers.ConvTranspose(3, kernel, stride, padding)
    inputs = jax.random.normal(RNG, (2, 4, 6, 5))
    weights = jax.jit(layer.init)(RNG, inputs)["params"]["kernel"]
    assert weights.shape == (kernel, kernel, 5, 3)

    def ours(x, w):
        return layer.apply({"params": {"kernel": w}}, x)

    def theirs(x, w):
        # lax pads the dilated input and correlates it with the kernel, hence the flip.
        padded = ((kernel - 1 - padding,) * 2,) * 2
        return jax.lax.conv_transpose(
            x, w[::-1, ::-1], (stride, stride), padded, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    full = np.zeros((2, 3 * stride + kernel, 5 * stride + kernel, 3))
    pixels, taps = np.asarray(inputs), np.asarray(weights)
    for i, j, k, m in np.ndindex(4, 6, kernel, kernel):
        full[:, stride * i + k, stride * j + m] += pixels[:, i, j] @ taps[k, m]
    defined = full[:, padding : full.shape[1] - padding, padding : full.shape[2] - padding]
    np.testing.assert_allclose(jax.jit(ours)(inputs, weights), defined, rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        value_and_gradients(ours, inputs, weights),
        value_and_gradients(theirs, inputs, weights),
    )


@pytest.mark.parametrize(
    ("shape", "start"),
    [((28, 28, 1), (4, 4)), ((32, 32, 3), (4, 4)), ((64, 64, 3), (8, 8)), ((12, 40, 1), (2, 5))],
)
def test_decoder_starts_from_an_eighth(shape, start):
    net = heads.decoder(base=8, widths=(6, 5, 4), shape=shape)
    features = jax.ShapeDtypeStruct((3, 2, 7), jnp.float32)
    params, stats = jax.eval_shape(net.init, RNG, features)
    assert params["linear0"]["kernel"].shape == (14, 8 * np.prod(start))
    images, _ = jax.eval_shape(partial(net.apply, train=True), params, stats, features)
    assert images.shape == (3, *shape)


def test_decoder_cuts_the_centre_and_stays_within_one():
    """A decoder for 28x28 has the parameters of one for 32x32, and gives its inner part."""
    features = 10 * jax.random.normal(RNG, (3, 7))
    images = []
    for side in (28, 32):
        net = heads.decoder(base=8, widths=(6, 5, 4), shape=(side, side, 1))
        params, stats = jax.jit(net.init)(RNG, features)
        params["image"]["kernel"] *= 10
        images.append(jax.jit(partial(net.apply, train=True))(params, stats, features)[0])
    np.testing.assert_array_equal(images[0], images[1][:, 2:30, 2:30])
    assert 0.5 < np.abs(images[1]).max() <= 1


def test_decoder_has_the_published_size():
    net = heads.decoder(base=512, widths=(256, 128, 64), shape=(32, 32, 3))
    params, _ = jax.eval_shape(net.init, RNG, jax.ShapeDtypeStruct((2, 64), jnp.float32))
    convolutions = 16 * (512 * 256 + 256 * 128 + 128 * 64) + 9 * 64 * 3
    norms = 2 * (512 * 16 + 256 + 128 + 64)
    assert size(params) == 64 * 512 * 16 + convolutions + norms


def test_initialisation_is_that_of_the_originals():
    linear = layers.Linear(4096)
    params = jax.jit(linear.init)(RNG, jnp.zeros((1, 100)))["params"]
    for leaf in (params["kernel"], params["bias"]):
        assert np.abs(leaf).max() == pytest.approx(0.1, rel=0.01)
        assert np.std(leaf) == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    kernel = jax.jit(layers.Conv(512, 4).init)(RNG, jnp.zeros((1, 8, 8, 4)))["params"]["kernel"]
    assert np.abs(kernel).max() == pytest.approx(1 / 8, rel=0.01)  # fan-in 4 * 4 * 4
    # PyTorch counts the output channels of a transposed convolution as its fan-in.
    transposed = jax.jit(layers.ConvTranspose(4, 4).init)
    wide = transposed(RNG, jnp.zeros((1, 8, 8, 512)))["params"]["kernel"]
    assert np.abs(wide).max() == pytest.approx(1 / 8, rel=0.01)
    shortcut = layers.noisy_identity(RNG, (64, 256))
    np.testing.assert_array_equal(np.diag(shortcut), 1)
    assert np.abs(shortcut - np.eye(64, 256)).max() <= 0.01
    # Fewer outputs than inputs: the default of a linear map, which drops none of them.
    narrow = np.asarray(layers.noisy_identity(RNG, (256, 64)))
    assert np.abs(narrow).max() == pytest.approx(1 / 16, rel=0.01)
    assert np.std(narrow) == pytest.approx(1 / 16 / np.sqrt(3), rel=0.02)
    assert np.std(narrow[64:]) == pytest.approx(np.std(narrow[:64]), rel=0.05)


def test_batch_norm_averages_like_the_originals():
    """PyTorch's momentum 0.1: running = 0.9 * running + 0.1 * batch."""
    net = encoders.dcgan32(width=4, hidden=8, features=4)
    images = jax.random.normal(RNG, (8, 32, 32, 1))
    params, stats = jax.jit(net.init)(RNG, images)
    _, after = jax.jit(partial(net.apply, train=True))(params, stats, images)
    raw = jax.jit(layers.Conv(4, 4, 2, 1).apply)({"params": params["conv0"]}, images)
    expected = 0.1 * np.asarray(raw, np.float64).mean((0, 1, 2))
    np.testing.assert_allclose(after["conv0_norm"]["mean"], expected, rtol=1e-4, atol=1e-6)


def test_classifier_drops_out_only_in_training():
    head = heads.classifier(hidden=32, dropout=0.5, classes=3)
    features = jax.random.normal(RNG, (16, 2, 2, 4))
    params, stats = jax.jit(head.init)(RNG, features)
    apply = jax.jit(head.apply, static_argnames="train")
    still, moved = (
        [apply(params, stats, features, train=train, rng=jax.random.key(i))[0] for i in (1, 2)]
        for train in (False, True)
    )
    np.testing.assert_array_equal(*still)
    assert np.abs(moved[0] - moved[1]).max() > 1e-3
    assert still[0].shape == (16, 3)


@pytest.mark.parametrize("name", ["discriminator", "coordinates", "classifier", "mlp_classifier"])
def test_heads_are_their_layers_one_after_the_other(name):
    """In evaluation mode, in float64."""
    net = {
        "discriminator": heads.discriminator(widths=(6, 5)),
        "coordinates": heads.coordinates(widths=(6, 5))(4),
        "classifier": heads.classifier(hidden=6, dropout=0.5, classes=4),
        "mlp_classifier": heads.mlp_classifier(hidden=6, dropout=0.5, classes=4),
    }[name]
    x = np.random.default_rng(1).normal(size=(7, 3))
    params, stats = map(perturbed, jax.jit(net.init)(RNG, jnp.float32(x)))
    outputs, _ = jax.jit(partial(net.apply, train=False))(params, stats, jnp.float32(x))
    linear, norm = by_name(params, stats)
    for layer in sorted(part for part in params if part.startswith("linear")):
        x = linear(layer, x)
        if stats:
            x = norm({"coordinates": f"norm{layer[-1]}"}.get(name, "norm"), x)
        x = np.maximum(x, 0)
    x = linear("score", x)[:, 0] if name == "discriminator" else linear("logits", x)
    np.testing.assert_allclose(outputs, x, rtol=1e-4, atol=1e-5)


def test_the_classifier_drops_out_below_its_norm():
    """Of units that are all 1, half of them dropped and the others doubled, the variance is 1."""
    head = heads.classifier(hidden=2000, dropout=0.5, classes=3)
    params, stats = jax.jit(head.init)(RNG, jnp.zeros((200, 4)))
    params["linear0"] = dict(kernel=jnp.zeros((4, 2000)), bias=jnp.ones(2000))
    apply = jax.jit(partial(head.apply, train=True))
    _, after = apply(params, stats, jnp.zeros((200, 4)), rng=RNG)
    assert (np.mean(after["norm"]["var"]) - 0.9) / 0.1 == pytest.approx(1, abs=0.02)
    assert np.mean(after["norm"]["mean"]) / 0.1 == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_are_the_sobel_derivatives_of_the_grey_image(channels):
    images = np.random.default_rng(0).uniform(-1, 1, (2, 9, 7, channels)).astype(np.float32)
    found = jax.jit(layers.gradients)(jnp.asarray(images))
    assert found.shape == (2, 9, 7, 2)
    for image, derivatives in zip(images.astype(np.float64), found, strict=True):
        grey = image.mean(axis=-1)
        for tap, axis in ((0, 1), (1, 0)):
            expected = ndimage.sobel(grey, axis=axis, mode="constant")
            np.testing.assert_allclose(derivatives[..., tap], expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["dcgan28", "dcgan32", "dcgan64", "alexnet64"])
def test_encoders_on_gradients_have_the_same_taps_and_no_parameters_for_them(name):
    images = jnp.zeros((2, int(name[-2:]), int(name[-2:]), 3))
    shapes = {}
    for inputs in ("colour", "gradients"):
        net = getattr(encoders, name)(width=4, hidden=8, features=4, inputs=inputs)
        params, stats = jax.eval_shape(net.init, jax.random.key(0), images)
        taps, _ = jax.eval_shape(
            lambda params, stats, net=net: net.apply(params, stats, images, train=False),
            *(params, stats),
        )
        assert params["conv0"]["kernel"].shape[2] == (3 if inputs == "colour" else 2)
        shapes[inputs] = (params.keys(), {tap: x.shape for tap, x in taps.items()})
    assert shapes["colour"] == shapes["gradients"]
    with pytest.raises(contracts.UserError, match="did you mean 'gradients'"):
        getattr(encoders, name)(width=4, hidden=8, features=4, inputs="gradient")


def test_joint_discriminator_is_a_convolutional_network_and_an_mlp():
    """Against loops in float64; several codes of an image are scored one by one."""
    net = heads.joint_discriminator(width=3, features=5, widths=(4,))
    random = np.random.default_rng(0)
    images, codes = random.normal(size=(2, 8, 8, 1)), random.normal(size=(2, 3, 2))
    params, stats = jax.jit(net.init)(RNG, jnp.float32(images), jnp.float32(codes[:, 0]))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # convolutions start without bias
    assert stats == {} and sorted(params) == [
        *("conv0", "conv0_bias", "image", "linear0", "score"),
    ]

    def linear(name, x):
        layer = {part: np.asarray(leaf, np.float64) for part, leaf in params[name].items()}
        return x @ layer["kernel"] + layer["bias"]

    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel = np.asarray(params["conv0"]["kernel"], np.float64)
    places = [(row, column) for row in range(0, 8, 2) for column in range(0, 8, 2)]
    seen = np.stack([padded[:, row : row + 4, column : column + 4] for row, column in places], 1)
    maps = np.einsum("nlijc,ijcd->nld", seen, kernel) + np.asarray(params["conv0_bias"])
    encoded = np.maximum(linear("image", np.maximum(maps, 0).reshape(2, -1)), 0)
    sides = np.concatenate([np.repeat(encoded[:, None], 3, axis=1), codes], axis=-1)
    expected = linear("score", np.maximum(linear("linear0", sides), 0))[..., 0]
    for some in (codes, codes[:, 1]):
        scores, _ = jax.jit(partial(net.apply, train=True))(
            params, {}, jnp.float32(images), jnp.float32(some)
        )
        wanted = expected if some is codes else expected[:, 1]
        assert scores.shape == wanted.shape
        np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-6)
