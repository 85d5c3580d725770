"""AMDIM's networks: parameters, sizes, what each location sees, how they start, mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build, contracts
from dim_jax.nets import amdim, heads, pooling, pure

RNG = jax.random.key(0)
SIDES = (32, 64, 128)
# (side, ndf, n_rkhs, n_depth): millions of parameters without and with the embedding nets.
PUBLISHED = {
    "CIFAR small": (32, 128, 1024, 10, None, 32),
    "CIFAR large": (32, 256, 2048, 10, None, 128),
    "ImageNet small": (128, 192, 1536, 8, 194, 208),
    "ImageNet large": (128, 320, 2560, 10, 626, 666),
}


def encoder(side: int, ndf: int = 4, n_rkhs: int = 32, n_depth: int = 2, norm: str = "none"):
    made = getattr(amdim, f"amdim{side}")
    return made(ndf=ndf, n_rkhs=n_rkhs, n_depth=n_depth, norm=norm)


def size(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def count(side: int, ndf: int, n_rkhs: int, depth: int) -> int:
    """The parameters of an encoder, layer by layer."""

    def layer(n_in, n_out, window):
        return window**2 * n_in * n_out + n_out**2

    def block(n_in, n_out, window):
        return layer(n_in, n_out, window) + (depth - 1) * layer(n_out, n_out, 1)

    if side == 32:
        total = 27 * ndf + ndf + layer(ndf, ndf, 1) + block(ndf, 2 * ndf, 4)
        total += block(2 * ndf, 4 * ndf, 2)
    else:
        stem = {64: 27 * ndf + ndf, 128: 75 * ndf + ndf + 9 * ndf**2 + ndf}[side]
        total = stem + block(ndf, 2 * ndf, 4) + block(2 * ndf, 4 * ndf, 4)
        total += block(4 * ndf, 8 * ndf, 2)
    wide = ndf * (4 if side == 32 else 8)
    return total + 2 * block(wide, wide, 3) + layer(wide, n_rkhs, 3) + 2 * n_rkhs


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_of_parameters(name):
    side, ndf, n_rkhs, depth, alone, whole = PUBLISHED[name]
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    params, _ = jax.eval_shape(encoder(side, ndf, n_rkhs, depth).init, RNG, images)
    assert size(params) == count(side, ndf, n_rkhs, depth)
    wide = ndf * (4 if side == 32 else 8)
    rows = jax.ShapeDtypeStruct((2, 7, 7, wide), jnp.float32)
    head, _ = jax.eval_shape(heads.embedding(norm="none")(n_rkhs).init, RNG, rows)
    assert size(head) == 2 * wide * n_rkhs + n_rkhs**2 + n_rkhs + 2 * n_rkhs
    assert round((size(params) + 2 * size(head)) / 1e6) == whole
    assert alone is None or round(size(params) / 1e6) == alone


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("side", SIDES)
def test_sizes_of_the_maps(side, norm):
    net = encoder(side, norm=norm)
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    params, stats = jax.eval_shape(net.init, RNG, images)
    assert set(stats) >= {"y_norm"} and ("block7_norm" in stats) == (norm == "batch")
    taps, _ = jax.eval_shape(lambda *x: net.apply(*x, train=False), params, stats, images)
    wide = 16 if side == 32 else 32
    shapes = {name: tap.shape[1:] for name, tap in taps.items()}
    assert shapes == dict(local=(7, 7, wide), conv=(7, 7, wide), fc=(5, 5, wide), y=(32,))


@pytest.mark.parametrize(
    ("side", "fields"), [(32, (8, 16, 32)), (64, (16, 32, 64)), (128, (35, 67, 131))]
)
def test_what_a_location_sees(side, fields):
    """The gradient of a location reaches its square of the image and nothing else."""
    net = encoder(side, n_depth=1)
    images = jax.random.uniform(RNG, (1, side, side, 3))
    # Positive weights of positive pixels: no ReLU stops a gradient.
    params, stats = jax.tree.map(
        lambda leaf: jnp.ones(leaf.shape), jax.eval_shape(net.init, RNG, images)
    )

    def middles(params, images):
        taps, _ = net.apply(params, stats, images, train=False)
        return jnp.stack([taps["local"][0, 3, 3].sum(), taps["fc"][0, 2, 2].sum(), taps["y"].sum()])

    gradients = jax.jit(jax.jacrev(middles, argnums=1))(params, images)
    for tap, gradient, field in zip(("local", "fc", "y"), gradients, fields, strict=True):
        seen = np.abs(gradient[0]).max(axis=-1) > 0
        for axis in (0, 1):
            (places,) = np.nonzero(seen.any(axis=axis))
            assert places[-1] - places[0] + 1 == min(field, side), tap


def test_untrained_maps_of_128_pixels_are_pooled_features_of_the_mirrored_image():
    """In NumPy: the two convolutions of the stem, then pooling; the other channels are 0."""
    net = encoder(128, n_depth=1)
    params, stats = jax.jit(net.init)(RNG, jnp.zeros((1, 128, 128, 3)))
    images = jax.random.normal(RNG, (1, 128, 128, 3))
    represent = jax.jit(lambda *trees: net.apply(*trees, train=False)[0])
    found = represent(params, stats, images)["local"]
    mirrored = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    kernel, bias = (np.asarray(params["stem0"][key], np.float64) for key in ("kernel", "bias"))
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, (5, 5), axis=(1, 2))[:, ::2, ::2]
    x = np.maximum(np.einsum("nhwcij,ijcd->nhwd", windows, kernel) + bias, 0)
    kernel, bias = (np.asarray(params["stem"][key], np.float64) for key in ("kernel", "bias"))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    x = np.maximum(np.einsum("nhwcij,ijcd->nhwd", windows, kernel) + bias, 0)
    for window, stride in ((4, 2), (4, 2), (2, 2)):  # untrained, the blocks pool and no more
        x = pooled(x, window, stride)
    np.testing.assert_allclose(found[..., :4], x, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[..., 4:], 0)


def pooled(x: np.ndarray, window: int, stride: int) -> np.ndarray:
    views = np.lib.stride_tricks.sliding_window_view(x, (window, window), axis=(1, 2))
    return views[:, ::stride, ::stride].mean(axis=(-2, -1))


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 1), (2, 2), (4, 2), (6, 2)])
@pytest.mark.parametrize("shape", [(2, 9, 9, 3), (1, 12, 7, 2)])
def test_average_pooling(shape, window, stride):
    x = np.random.default_rng(0).normal(size=shape)
    found = jax.jit(lambda x: pooling.average_pool(x, window, stride))(np.float32(x))
    np.testing.assert_allclose(found, pooled(x, window, stride), atol=1e-6)


def test_average_pooling_where_the_stride_does_not_divide():
    with pytest.raises(ValueError, match="window 3 and stride 2"):
        pooling.average_pool(jnp.zeros((1, 8, 8, 1)), 3, 2)


@pytest.mark.parametrize(("window", "stride", "features"), [(1, 1, 3), (4, 2, 5)])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_layer_is_two_convolutions_beside_the_pooled_input(window, stride, features, norm):
    """In evaluation mode, in float64, with every parameter moved from its start."""
    layer, random = amdim._Layer(features, window, stride, norm), np.random.default_rng(0)
    x = random.normal(size=(2, 8, 8, 3))
    variables = jax.jit(lambda x: layer.init(RNG, x, train=False))(jnp.float32(x))
    variables = jax.tree.map(
        lambda leaf: leaf + random.uniform(-0.4, 0.4, leaf.shape).astype(np.float32), variables
    )
    outputs = jax.jit(lambda *trees: layer.apply(*trees, train=False))(variables, jnp.float32(x))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    windows = np.lib.stride_tricks.sliding_window_view(x, (window, window), axis=(1, 2))
    kernel = params["conv"]["kernel"].reshape(window, window, 3, features)
    hidden = np.einsum("nhwcij,ijcd->nhwd", windows[:, ::stride, ::stride], kernel)
    if norm == "batch":
        moments, scaling = variables["batch_stats"]["conv_norm"], params["conv_norm"]
        hidden = (hidden - np.float64(moments["mean"])) / np.sqrt(np.float64(moments["var"]) + 1e-5)
        hidden = hidden * scaling["scale"] + scaling["bias"]
    expected = np.maximum(hidden, 0) @ params["out"]["kernel"]
    expected[..., :3] += pooled(x, window, stride)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


def kernels_of_first_convolutions(tree) -> list:
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [leaf for path, leaf in paths if "'conv'" in jax.tree_util.keystr(path)]


def test_first_convolutions_move_after_the_first_update_only():
    """The second convolution of a layer starts at 0, and stops all gradient to the first."""
    net = encoder(32)
    images = jax.random.normal(RNG, (8, 32, 32, 3))
    params, stats = jax.jit(net.init)(RNG, images)
    target = jax.random.normal(jax.random.key(1), (8, 32))

    @jax.jit
    def gradient(params):
        def loss(params):
            taps, _ = net.apply(params, stats, images, train=True)
            return jnp.mean((taps["y"] - target) ** 2)

        return jax.grad(loss)(params)

    before = gradient(params)
    assert len(kernels_of_first_convolutions(before)) == 1 + 4 * 2 + 1
    assert not any(leaf.any() for leaf in kernels_of_first_convolutions(before))
    params = jax.tree.map(lambda x, g: x - 0.1 * g, params, before)
    after = gradient(params)
    assert all(leaf.any() for leaf in kernels_of_first_convolutions(after))


@pytest.mark.parametrize("train", [False, True])
def test_jit_equals_eager_at_the_start(train):
    """With parameters as arguments; closed over, all-zero kernels once met an error of XLA."""
    net = encoder(32, n_depth=1)
    images = jax.random.normal(RNG, (4, 32, 32, 3))
    params, stats = jax.jit(net.init)(RNG, images)
    eager, _ = net.apply(params, stats, images, train=train)
    compiled, _ = jax.jit(lambda *x: net.apply(*x, train=train))(params, stats, images)
    for name, tap in eager.items():
        assert np.isfinite(tap).all()
        np.testing.assert_allclose(tap, compiled[name], rtol=1e-4, atol=1e-5)


def test_an_embedding_starts_as_a_noisy_copy_in_batch_norm():
    net = heads.embedding(norm="none")(24)
    x = np.random.default_rng(0).normal(size=(6, 5, 5, 16)).astype(np.float32)
    params, stats = jax.jit(net.init)(RNG, x)
    apply = jax.jit(lambda params: net.apply(params, stats, x, train=True)[0])
    kernel = np.asarray(params["shortcut"]["kernel"], np.float64)
    np.testing.assert_array_equal(np.diagonal(kernel), 1)
    assert np.abs(kernel - np.eye(16, 24)).max() <= 0.01
    rows = x.astype(np.float64) @ kernel + np.asarray(params["linear1"]["bias"], np.float64)
    wanted = (rows - rows.mean((0, 1, 2))) / np.sqrt(rows.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(apply(params), wanted, rtol=2e-3, atol=2e-4)
    # Two layers beside it, once they are not 0.
    params["linear1"]["kernel"] = jax.random.normal(RNG, (24, 24))
    hidden = np.maximum(x @ np.asarray(params["linear0"]["kernel"], np.float64), 0)
    rows += hidden @ np.asarray(params["linear1"]["kernel"], np.float64)
    wanted = (rows - rows.mean((0, 1, 2))) / np.sqrt(rows.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(apply(params), wanted, rtol=2e-3, atol=2e-4)
    _, stats = jax.eval_shape(heads.embedding(norm="batch")(24).init, RNG, x)
    assert set(stats) == {"norm", "norm0"}


def test_the_classifier_drops_inputs_and_hidden_units():
    net = heads.mlp_classifier(hidden=64, dropout=0.5, classes=3)
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    params, stats = jax.jit(net.init)(RNG, x)
    assert size(params) == 5 * 64 + 2 * 64 + 64 * 3 + 3
    apply = jax.jit(net.apply, static_argnames="train")
    still = [apply(params, stats, x, train=False, rng=jax.random.key(i))[0] for i in (0, 1)]
    np.testing.assert_array_equal(*still)
    hidden = np.maximum(x.astype(np.float64) @ params["linear0"]["kernel"] / np.sqrt(1 + 1e-5), 0)
    wanted = hidden @ params["logits"]["kernel"] + params["logits"]["bias"]
    np.testing.assert_allclose(still[0], wanted, rtol=1e-4, atol=1e-5)
    drawn = [apply(params, stats, x, train=True, rng=jax.random.key(i))[0] for i in (0, 1)]
    assert (np.asarray(drawn[0]) != np.asarray(drawn[1])).all()


def test_the_stem_has_a_bias_and_other_convolutions_none():
    params, _ = jax.jit(encoder(128, n_depth=1).init)(RNG, jnp.zeros((1, 128, 128, 3)))
    assert params["stem"]["bias"].shape == params["stem0"]["bias"].shape == (4,)
    assert 0 < np.abs(params["stem0"]["bias"]).max() <= 1 / np.sqrt(75)
    assert set(params["block7"]["layer0"]["conv"]) == {"kernel"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(n_rkhs=15), r"n_rkhs=15 .* 16 channels with ndf=4; set n_rkhs to 16 or more, or ndf"),
        (dict(norm="layer"), "unknown norm 'layer'"),
        (dict(ndf=0), "encoder.ndf is 0; set it to 1 or a larger integer"),
        (dict(n_depth=0), "encoder.n_depth is 0; set it to 1 or a larger integer"),
        (dict(n_deep=3), "unknown argument of the encoder 'amdim32' 'n_deep'"),
    ],
)
def test_mistakes(change, message):
    spec = dict(name="amdim32", ndf=4, n_rkhs=32, n_depth=2, norm="none")
    with pytest.raises(contracts.UserError, match=message):
        build.make("encoder", spec | change)


@pytest.mark.parametrize("side", SIDES)
def test_images_of_another_size(side):
    with pytest.raises(contracts.UserError, match=f"needs {side}x{side}; set data.image_size"):
        jax.eval_shape(encoder(side).init, RNG, jnp.zeros((1, 48, 48, 3)))


def test_maps_of_64_and_128_pixels_are_twice_as_wide():
    with pytest.raises(contracts.UserError, match=r"amdim64' have 32 channels .* set n_rkhs to 32"):
        encoder(64, n_rkhs=31)
    assert isinstance(encoder(64), pure.Net)
    with pytest.raises(contracts.UserError, match="unknown norm 'layer'"):
        heads.embedding(norm="layer")
