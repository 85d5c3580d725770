"""Colours against Pillow, scikit-image, colorsys and OpenCV; rates by frequency."""

import colorsys
import functools
import itertools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
from PIL import Image, ImageEnhance, ImageOps

from dim_jax import augment
from dim_jax.augment import colour

LEVEL = 1 / 255


def pixels(count: int = 6, side: int = 16) -> np.ndarray:
    """Random colours as u8, with greys, primaries, black and white among them."""
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    images[:, 0, :8] = list(itertools.product((0, 255), repeat=3))
    images[:, 1] = np.arange(0, 16 * side, 16)[:side, None]
    return images


def units(images: np.ndarray) -> jax.Array:
    return jnp.asarray(images.astype(np.float32) / 255)


FACTORS = np.array([0.0, 0.3, 0.8, 1.0, 1.4, 1.9], np.float32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (augment.brightness, ImageEnhance.Brightness),
        (augment.contrast, ImageEnhance.Contrast),
        (augment.saturation, ImageEnhance.Color),
    ],
)
def test_factors_are_pillows(ours, theirs):
    """But for the rounding to 8 bits of its luma, of its mean luma, and of its result."""
    images = pixels()
    found = jax.jit(ours)(units(images), jnp.asarray(FACTORS))
    for image, factor, changed in zip(images, FACTORS, found, strict=True):
        expected = np.asarray(theirs(Image.fromarray(image)).enhance(float(factor))) / 255
        rounding = (1 + abs(1 - factor)) * LEVEL
        np.testing.assert_allclose(changed, expected, atol=rounding + 1e-6)
    np.testing.assert_allclose(found[3], units(images)[3], atol=1e-6)
    assert found.min() >= 0 and found.max() <= 1


def test_grey_is_pillows_luma():
    images = pixels()
    for image, found in zip(images, augment.grey(units(images))[..., 0], strict=True):
        expected = np.asarray(Image.fromarray(image).convert("L")) / 255
        np.testing.assert_allclose(found, expected, atol=0.51 * LEVEL)


def test_hue_is_that_of_hsv():
    """Of scikit-image in float64 for all pixels, and of colorsys for some."""
    images, shifts = units(pixels()), np.array([-0.5, -0.2, 0.0, 0.1, 0.37, 0.5], np.float32)
    found = np.asarray(jax.jit(augment.shift_hue)(images, jnp.asarray(shifts)))
    for image, shift, moved in zip(np.asarray(images, np.float64), shifts, found, strict=True):
        hsv = skimage.color.rgb2hsv(image)
        hsv[..., 0] = (hsv[..., 0] + float(shift)) % 1
        np.testing.assert_allclose(moved, skimage.color.hsv2rgb(hsv), atol=5e-6)
        for (r, g, b), pixel in zip(image[0], moved[0], strict=True):
            h, s, v = colorsys.rgb_to_hsv(r, g, b)
            expected = colorsys.hsv_to_rgb((h + float(shift)) % 1, s, v)
            np.testing.assert_allclose(pixel, expected, atol=5e-6)
    np.testing.assert_allclose(found[2], images[2], atol=1e-6)


def test_all_orders_are_the_changes_one_after_the_other():
    orders = np.array(list(itertools.permutations(range(4))))
    images = units(pixels(len(orders), 8))
    low, high = np.array([0.4, 0.4, 0.2, -0.5]), np.array([1.9, 1.9, 1.8, 0.5])
    factors = np.random.default_rng(1).uniform(low, high, (24, 4)).astype(np.float32)
    found = jax.jit(colour.in_order)(images, jnp.asarray(factors), jnp.asarray(orders))
    changes = [
        jax.jit(change)
        for change in (augment.brightness, augment.contrast, augment.saturation, augment.shift_hue)
    ]
    expected = []
    for image, order, factor in zip(images, orders, factors, strict=True):
        image = image[None]
        for change in order:
            image = changes[change](image, factor[change, None])
        expected.append(image[0])
    np.testing.assert_allclose(found, np.array(expected), atol=5e-6)
    assert found.min() >= 0 and found.max() <= 1
    assert len({np.asarray(image).round(3).tobytes() for image in found}) == 24


def test_one_program_of_all_changes_is_the_operations_one_by_one():
    """For many pixels: ties of channels must not depend on what the compiler rounds how often."""
    images = units(np.random.default_rng(0).integers(0, 256, (2048, 12, 12, 3), np.uint8))
    keys = jax.random.split(jax.random.key(1))
    low, high = jnp.array([0.2, 0.2, 0.2, -0.5]), jnp.array([1.8, 1.8, 1.8, 0.5])
    factors = jax.random.uniform(keys[0], (2048, 4), minval=low, maxval=high)
    orders = jnp.argsort(jax.random.uniform(keys[1], (2048, 4)), axis=1)
    fused = jax.jit(colour.in_order)(images, factors, orders)
    with jax.disable_jit():
        plain = colour.in_order(images, factors, orders)
    np.testing.assert_allclose(fused, plain, atol=1e-5)


def test_jitter_draws_factors_in_their_ranges_and_orders_evenly(monkeypatch):
    drawn = {}

    def spy(images, factors, orders, *, hue):
        drawn.update(factors=np.asarray(factors), orders=np.asarray(orders), hue=hue)
        return images

    monkeypatch.setattr(colour, "in_order", spy)
    images = jnp.zeros((4800, 1, 1, 3))
    augment.jitter(jax.random.key(0), images, strengths=(0.4, 1.5, 0.0, 0.2))
    low, high = [0.6, 0.0, 1.0, -0.2], [1.4, 2.5, 1.0, 0.2]
    factors = drawn["factors"]
    assert (factors >= np.float32(low)).all() and (factors <= np.float32(high)).all()
    np.testing.assert_allclose(factors.min(axis=0), low, atol=0.01)
    np.testing.assert_allclose(factors.max(axis=0), high, atol=0.01)
    middle = (np.array(low) + high) / 2
    np.testing.assert_allclose(factors.mean(axis=0), middle, atol=0.06)
    _, counts = np.unique(drawn["orders"], axis=0, return_counts=True)
    assert len(counts) == 24 and (abs(counts - 200) < 5 * np.sqrt(200)).all()
    assert drawn["hue"]
    augment.jitter(jax.random.key(0), images, strengths=(0.4, 0.4, 0.4, 0.0))
    assert not drawn["hue"]


@pytest.mark.parametrize("strengths", [(0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.4, 0.0)])
def test_an_images_jitter_is_of_its_own(strengths):
    """Other images in the batch change nothing, another key does, and so does every word."""
    images = units(pixels(32))
    change = jax.jit(functools.partial(augment.jitter, strengths=strengths))
    found = np.asarray(change(jax.random.key(0), images))
    others = np.asarray(change(jax.random.key(0), images.at[1:].set(0.3)))
    np.testing.assert_array_equal(found[0], others[0])
    np.testing.assert_array_equal(found, change(jax.random.key(0), images))
    assert (found != np.asarray(change(jax.random.key(1), images))).any(axis=(1, 2, 3)).all()
    assert found.min() >= 0 and found.max() <= 1
    same = np.asarray(change(jax.random.key(0), jnp.repeat(images[:1], 32, axis=0)))
    assert len({image.tobytes() for image in same}) == 32


def test_parts_of_the_images_are_changed():
    images = jnp.full((2000, 1, 2, 3), jnp.array([0.9, 0.2, 0.4]))
    changes = {
        0.8: functools.partial(augment.jitter, strengths=(0.4, 0.4, 0.4, 0.1), rate=0.8),
        0.25: functools.partial(augment.random_grey, rate=0.25),
        0.2: functools.partial(augment.random_solarise, threshold=0.5, rate=0.2),
    }
    for rate, change in changes.items():
        changed = jax.jit(change)(jax.random.key(3), images)
        changed = np.asarray(changed != images).any(axis=(1, 2, 3))
        assert abs(changed.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / 2000), rate


def test_what_is_grey_and_what_is_solarised():
    images = pixels()
    grey = augment.random_grey(jax.random.key(0), units(images), rate=1.0)
    np.testing.assert_array_equal(grey, np.repeat(augment.grey(units(images)), 3, axis=-1))
    found = augment.random_solarise(jax.random.key(0), units(images), threshold=0.5, rate=1.0)
    expected = [np.asarray(ImageOps.solarize(Image.fromarray(image), 128)) for image in images]
    np.testing.assert_allclose(found, np.array(expected) / 255, atol=1e-6)


def test_lab_is_scikit_images_and_opencvs():
    images = np.asarray(units(pixels()))
    found = np.asarray(jax.jit(augment.rgb_to_lab)(images))
    np.testing.assert_allclose(found, skimage.color.rgb2lab(images.astype(np.float64)), atol=2e-3)
    for image, lab in zip(images, found, strict=True):  # of other, rounded constants
        np.testing.assert_allclose(lab, cv2.cvtColor(image, cv2.COLOR_RGB2Lab), atol=0.75)
    white = jax.jit(augment.rgb_to_lab)(jnp.ones(3))
    np.testing.assert_allclose(white, [100.0, 0.0, 0.0], atol=0.02)
    gradient = jax.jit(jax.grad(lambda x: augment.rgb_to_lab(x).sum()))(jnp.zeros((4, 3)))
    assert np.isfinite(gradient).all()


def test_ycbcr_is_scikit_images():
    images = np.asarray(units(pixels()))
    expected = skimage.color.rgb2ycbcr(images.astype(np.float64))
    np.testing.assert_allclose(jax.jit(augment.rgb_to_ycbcr)(images), expected, atol=5e-5)
