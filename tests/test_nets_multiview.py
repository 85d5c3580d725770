"""Encoders of colour views: the split against scikit-image, taps, crops, sizes, mistakes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color

from dim_jax import augment, build, contracts
from dim_jax.nets import encoders, microbatches, multiview, pure
from dim_jax.rundir import exported_encoder

RNG = jax.random.key(2)
# The published scaling, of the values that scikit-image gives.
SCALED = {
    "lab": (skimage.color.rgb2lab, (50, 6.025, -6.6895), (50, 92.208, 101.1675)),
    "ycbcr": (skimage.color.rgb2ycbcr, (116.151, 121.08, 132.342), (109.5, 111.855, 111.964)),
}


def images(count: int = 4, side: int = 32) -> jax.Array:
    return jax.random.uniform(jax.random.key(7), (count, side, side, 3))


def seen() -> pure.Net:
    """An encoder whose every tap is what it is shown, so that the split can be looked at."""

    def apply(params, stats, views, *, train, rng=None):
        return {tap: views for tap in ("local", "conv", "fc", "y")}, stats

    return pure.Net(lambda rng, views: ({}, {}), apply)


def made(views=("L", "ab"), space="lab", encoder=None) -> pure.Net:
    encoder = encoder or encoders.dcgan32(width=4, hidden=16, features=6)
    return multiview.colour_views(space=space, views=views, encoder=encoder)


def shown(pixels, views=("L", "ab"), space="lab"):
    """What encoders of these views are shown, as taps."""
    net, nothing = made(views, space, seen()), {view: {} for view in views}
    return jax.jit(functools.partial(net.apply, train=False))(nothing, nothing, pixels)[0]


def started(net: pure.Net):
    return jax.jit(net.init)(RNG, images())


def trained(net: pure.Net):
    return jax.jit(functools.partial(net.apply, train=True))


@pytest.mark.parametrize(
    ("space", "views", "channels"),
    [
        ("lab", ("L", "ab"), ([0], [1, 2])),
        ("lab", ("L", "a", "b"), ([0], [1], [2])),
        ("lab", ("bL", "a"), ([2, 0], [1])),
        ("ycbcr", ("Y", "CbCr"), ([0], [1, 2])),
        ("ycbcr", ("Cr", "Cb", "Y"), ([2], [1], [0])),
    ],
)
def test_views_are_scikit_images_channels_scaled(space, views, channels):
    convert, centre, half_range = SCALED[space]
    pixels = images()
    expected = (convert(np.asarray(pixels, np.float64)) - centre) / half_range
    taps = shown(pixels, views, space)
    for view, of_view in zip(views, channels, strict=True):
        np.testing.assert_allclose(taps[f"y_{view}"], expected[..., of_view], atol=2e-5)
    assert max(np.abs(expected).max(axis=(0, 1, 2))) <= 1.09


def test_the_range_of_all_colours_is_two_in_each_channel():
    """Of a grid of colours: Lab about the middle of its range, YCbCr about the mean of images."""
    ends = dict(
        lab=((-1, -1, -1), (1, 1, 1)), ycbcr=((-0.915, -0.939, -1.039), (1.085, 1.063, 0.962))
    )
    steps = np.linspace(0, 1, 33)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, 33, -1, 3)
    for space in SCALED:
        views = multiview.SPACES[space].channels
        taps = shown(jnp.asarray(cube, jnp.float32), views, space)
        np.testing.assert_allclose(taps["y"].min(axis=(0, 1, 2)), ends[space][0], atol=2e-3)
        np.testing.assert_allclose(taps["y"].max(axis=(0, 1, 2)), ends[space][1], atol=2e-3)


def test_taps_are_those_of_single_encoders_side_by_side():
    net, single = made(), encoders.dcgan32(width=4, hidden=16, features=6)
    params, stats = started(net)
    taps, after = trained(net)(params, stats, images())
    shapes = {tap: rows.shape[1:] for tap, rows in taps.items()}
    assert shapes == dict(local=(8, 8, 16), conv=(4, 4, 32), fc=(32,), y=(12,), y_L=(6,), y_ab=(6,))
    views = shown(images())
    for number, view in enumerate(("L", "ab")):
        alone, alone_stats = trained(single)(params[view], stats[view], views[f"y_{view}"])
        np.testing.assert_allclose(taps[f"y_{view}"], alone["y"], atol=1e-4)
        for tap in ("local", "conv", "fc", "y"):
            width = taps[tap].shape[-1] // 2
            part = taps[tap][..., number * width : (number + 1) * width]
            np.testing.assert_allclose(part, alone[tap], atol=1e-4)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), after[view], alone_stats
        )


def test_a_view_does_not_depend_on_the_other_views_channels():
    """L of an image and of its grey form is (nearly) the same; their a and b are not."""
    net = made()
    params, stats = started(net)
    luminance = skimage.color.rgb2lab(np.asarray(images(), np.float64))
    luminance[..., 1:] = 0
    grey = jnp.asarray(skimage.color.lab2rgb(luminance), jnp.float32)
    apply = jax.jit(functools.partial(net.apply, train=False))
    taps = [apply(params, stats, x)[0] for x in (images(), grey)]
    apart = {view: np.abs(taps[0][view] - taps[1][view]).max() for view in ("y_L", "y_ab")}
    assert apart["y_L"] < 1e-4 < 1e-3 < apart["y_ab"]


def test_encoders_of_views_start_from_different_weights():
    params, _ = started(made(("a", "b", "L")))
    kernels = [params[view]["conv0"]["kernel"] for view in ("a", "b", "L")]
    assert all(kernel.shape == (4, 4, 1, 4) for kernel in kernels)
    assert np.abs(kernels[0] - kernels[1]).min() > 0


def test_channels_of_one_image_show_the_same_crop():
    """Cropped and flipped before the split: what the views show adds up to the changed image.

    Red grows down the image and green across it, so that colours say where a pixel came from.
    """
    change = jax.jit(augment.pipeline(resized_crop=(0.2, 1.0), flip=True))
    ramp = np.linspace(0, 1, 32)
    rows, columns = np.meshgrid(ramp, ramp, indexing="ij")
    places = np.stack([rows, columns, 0 * rows], axis=-1)
    pixels = jnp.asarray(np.repeat(places[None], 8, axis=0), jnp.float32)
    changed = np.asarray(change(jax.random.key(1), pixels))
    assert changed.shape == (8, 32, 32, 3)
    taps = shown(jnp.asarray(changed))
    lab = np.concatenate([taps["y_L"], taps["y_ab"]], axis=-1) * (50, 92.208, 101.1675)
    back = skimage.color.lab2rgb(np.float64(lab + np.array((50, 6.025, -6.6895))))
    np.testing.assert_allclose(back, changed, atol=2e-3)
    # Each image its own crop.
    assert len({tuple(np.round(image[0, 0], 3)) for image in changed}) == 8


def test_microbatches_are_those_of_the_single_encoders():
    """With layer norm no example depends on the others: parts give the same as the whole."""
    net = made(encoder=encoders.dcgan32(width=4, hidden=16, features=6, norm="layer"))
    params, stats = started(net)
    whole, _ = trained(net)(params, stats, images())
    with microbatches.count(2):
        parts, _ = trained(net)(params, stats, images())
    for tap, rows in whole.items():
        np.testing.assert_allclose(parts[tap], rows, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_an_exported_encoder_is_the_same(norm, tmp_path):
    """With and without statistics, all of which are left out of the file where there are none."""
    net = made(encoder=encoders.dcgan32(width=4, hidden=16, features=6, norm=norm))
    params, stats = started(net)
    assert stats.keys() == (set() if norm == "none" else {"L", "ab"})
    exported_encoder.write(tmp_path / "encoder", params, stats, {})
    kept = exported_encoder.read(tmp_path / "encoder")
    evaluated = jax.jit(functools.partial(net.apply, train=False))
    before, after = (evaluated(*both, images())[0] for both in ((params, stats), kept[:2]))
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_the_published_half_width_alexnet():
    """Channels, hidden layers and parameters, counted layer by layer; 6x6 locations."""
    single = encoders.alexnet224(width=48, hidden=2048, features=128)
    net = made(encoder=single)
    pixels = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    params, stats = jax.eval_shape(net.init, RNG, pixels)
    taps, _ = jax.eval_shape(lambda p, s, x: net.apply(p, s, x, train=True), params, stats, pixels)
    assert {tap: rows.shape[1:] for tap, rows in taps.items()} == dict(
        **dict(local=(6, 6, 256), conv=(6, 6, 256), fc=(4096,), y=(256,)),
        **dict(y_L=(128,), y_ab=(128,)),
    )
    for view, channels in (("L", 1), ("ab", 2)):
        kernels = [params[view][f"conv{i}"]["kernel"].shape for i in range(5)]
        assert kernels == [
            *((11, 11, channels, 48), (5, 5, 48, 128), (3, 3, 128, 192)),
            *((3, 3, 192, 192), (3, 3, 192, 128)),
        ]
        assert params[view]["fc0"]["kernel"].shape == (6 * 6 * 128, 2048)
        assert params[view]["fc1"]["kernel"].shape == (2048, 2048)
        assert params[view]["y"]["kernel"].shape == (2048, 128)


def test_it_is_built_by_name_with_an_encoder_inside():
    spec = dict(name="dcgan32", width=4, hidden=16, features=6)
    net = build.make(
        "encoder", dict(name="colour_views", space="lab", views=["L", "ab"], encoder=spec)
    )
    params, _ = jax.eval_shape(net.init, RNG, images())
    assert set(params) == {"L", "ab"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(space="labb"), "unknown colour space 'labb': did you mean 'lab'"),
        (dict(views=("L", "Cb")), "the view 'Cb' does not consist of the channels L, a, b of lab"),
        (dict(views=("L", "aa")), "the view 'aa' does not consist"),
        (dict(views=("L", "ab", "L")), "one of them twice"),
    ],
)
def test_mistakes_are_one_sentence(wrong, message):
    with pytest.raises(contracts.UserError) as error:
        made(**wrong)
    assert message in str(error.value)


def test_images_without_three_channels_are_refused():
    with pytest.raises(contracts.UserError, match=r"\[2, 32, 32, 1\] and an encoder of colour"):
        jax.eval_shape(made().init, RNG, jnp.zeros((2, 32, 32, 1)))
    with pytest.raises(contracts.UserError, match="needs 32x32"):
        jax.eval_shape(made().init, RNG, jnp.zeros((2, 28, 28, 3)))


def test_a_width_that_alexnet_cannot_have():
    with pytest.raises(contracts.UserError, match="multiple of 3"):
        encoders.alexnet224(width=50, hidden=8, features=4)
