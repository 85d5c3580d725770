"""RandAugment's changes against Pillow; which are drawn, by frequency."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from dim_jax import augment, contracts
from dim_jax.augment import policy, warps

LEVEL = 1 / 255
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3), np.uint8)
IMAGES[1] //= 3  # a narrow range
IMAGES[2, :, :, 0] = 77  # a channel of one value
IMAGES[3, :15] = 200  # few values
UNITS = jnp.asarray(IMAGES.astype(np.float32) / 255)


def changed(name: str, strength: float) -> np.ndarray:
    chosen = jnp.full(len(IMAGES), policy.CHANGES.index(name))
    return np.asarray(jax.jit(policy.change)(UNITS, chosen, jnp.full(len(IMAGES), strength)))


def by_pillow(function) -> np.ndarray:
    return np.stack([np.asarray(function(Image.fromarray(x))) for x in IMAGES]) / 255


def test_identity():
    np.testing.assert_array_equal(changed("identity", 1.0), UNITS)


@pytest.mark.parametrize("strength", [-1.0, -0.3, 0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_mixtures(name, kind, strength):
    factor = 1 + 0.9 * strength
    expected = by_pillow(lambda image: kind(image).enhance(factor))
    rounding = (1 + abs(1 - factor)) * LEVEL
    np.testing.assert_allclose(changed(name, strength), expected, atol=rounding + 1e-6)


def test_smoothing():
    expected = by_pillow(lambda image: image.filter(ImageFilter.SMOOTH))
    np.testing.assert_allclose(policy.smooth(UNITS), expected, atol=0.51 * LEVEL)


@pytest.mark.parametrize(
    ("name", "strength", "function"),
    [
        ("posterise", 1.0, lambda image: ImageOps.posterize(image, 4)),
        ("posterise", 0.5, lambda image: ImageOps.posterize(image, 6)),
        ("solarise", 0.3, lambda image: ImageOps.solarize(image, 255 * 0.7)),
        ("solarise", 1.0, lambda image: ImageOps.solarize(image, 0)),
        ("equalise", 0.3, ImageOps.equalize),
    ],
)
def test_tables(name, strength, function):
    np.testing.assert_allclose(changed(name, strength), by_pillow(function), atol=1e-6)


def test_autocontrast():
    """Pillow rounds its slope and offset first, so that a value may be one lower."""
    found = changed("autocontrast", 0.3)
    np.testing.assert_allclose(found, by_pillow(ImageOps.autocontrast), atol=1.01 * LEVEL)
    assert found[1].min() == 0 and found[1].max() == 1
    np.testing.assert_allclose(found[2, :, :, 0], 77 / 255, atol=1e-6)


@pytest.mark.parametrize("strength", [-1.0, 0.4, 1.0])
@pytest.mark.parametrize("name", policy.WARPS)
def test_warps(name, strength):
    height, width = IMAGES.shape[1:3]
    angle = np.deg2rad(30 * strength)
    matrix = {
        "shear_x": [[1, 0.3 * strength, 0], [0, 1, 0]],
        "shear_y": [[1, 0, 0], [0.3 * strength, 1, 0]],
        "translate_x": [[1, 0, 150 / 331 * width * strength], [0, 1, 0]],
        "translate_y": [[1, 0, 0], [0, 1, 150 / 331 * height * strength]],
        "rotate": [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]],
    }[name]
    matrix = np.array(matrix)
    centre = np.array([width / 2, height / 2])
    offset = matrix[:, 2] + centre - matrix[:, :2] @ centre
    rows = np.concatenate([matrix[:, :2], offset[:, None]], axis=1)

    def transform(image):
        options = dict(resample=Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))
        return image.transform(image.size, Image.Transform.AFFINE, rows.ravel(), **options)

    found, expected = changed(name, strength), by_pillow(transform)
    apart = np.abs(found - expected).max(axis=-1)
    # Points on the very edge of the image may be inside or outside by rounding.
    assert (apart > 1.01 * LEVEL).mean() < 0.01


def test_one_turn_is_the_one_that_it_says():
    """A quarter turn counter-clockwise of the point above the centre is that on its left."""
    image = jnp.zeros((1, 5, 5, 1)).at[0, 0, 2].set(1.0)
    quarter = jnp.array([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    turned = warps.warp(image, quarter, fill=policy.FILL)[0, :, :, 0]
    assert np.unravel_index(np.argmax(turned), turned.shape) == (2, 0)


def test_every_change_is_drawn_as_often():
    """Of 14 of full strength on one image, by how many results are of each."""
    images = jnp.tile(UNITS[:1, :12, :12], (4000, 1, 1, 1))
    change = jax.jit(functools.partial(augment.randaugment, changes=1, magnitude=30))
    found = change(jax.random.key(0), images)
    same = np.asarray((found == images).all(axis=(1, 2, 3)))
    # The identity, and what no change has an effect on: 1/14 or a little more.
    assert 0.055 < same.mean() < 0.09
    kinds = len(np.unique(np.asarray(found).reshape(4000, -1), axis=0))
    # 4 tables, 5 warps and 4 mixtures of both signs, and the identity; random images are full-range
    assert 18 <= kinds <= 23


def test_magnitude_zero_and_ranges():
    change = jax.jit(functools.partial(augment.randaugment, changes=3, magnitude=30))
    found = change(jax.random.key(1), UNITS)
    assert found.min() >= 0 and found.max() <= 1 and found.shape == UNITS.shape


@pytest.mark.parametrize("value", [(0, 9), (1.5, 9), (2, 31), (2, -1), (2,), (1, 2, 3)])
def test_impossible_policies(value):
    with pytest.raises(contracts.UserError, match=r"augment.randaugment is .*; set it to the"):
        augment.pipeline(randaugment=value)


def test_images_without_colours():
    change = augment.pipeline(randaugment=(2, 9))
    with pytest.raises(contracts.UserError, match="randaugment changes the colours"):
        change(jax.random.key(0), UNITS[..., :1])
