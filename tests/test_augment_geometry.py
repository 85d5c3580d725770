"""Crops, translations and blur against Pillow, OpenCV, NumPy and SciPy; their laws by frequency."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from dim_jax import augment, contracts

BOXES = ((0, 0, 24, 20), (3, 2, 7, 5), (10, 1, 1, 1), (5, 3, 19, 17), (23, 0, 1, 20), (2, 4, 8, 8))


def images_of(count: int, height: int = 24, width: int = 20, channels: int = 3) -> np.ndarray:
    """Smooth ones with some noise, f32 in [0, 1]."""
    noise = np.random.default_rng(0).random((count, height, width, channels))
    smooth = ndimage.gaussian_filter(noise, (0, 2, 2, 0), mode="wrap")
    return np.clip(0.5 + 4 * (smooth - 0.5) + 0.1 * (noise - 0.5), 0, 1).astype(np.float32)


def by_pillow(image: np.ndarray, box, size) -> np.ndarray:
    """Each channel cut out and resized in floats."""
    top, left, height, width = box
    cut = image[top : top + height, left : left + width]
    resized = [
        Image.fromarray(np.ascontiguousarray(cut[..., c])).resize(
            size[::-1], Image.Resampling.BILINEAR
        )
        for c in range(image.shape[-1])
    ]
    return np.stack([np.asarray(channel) for channel in resized], axis=-1)


@pytest.mark.parametrize("size", [(24, 20), (8, 8), (31, 5)])
def test_boxes_are_resized_as_by_pillow(size):
    images = images_of(len(BOXES))
    resized = augment.resize_boxes(jnp.asarray(images), jnp.array(BOXES), size=size)
    expected = [by_pillow(image, box, size) for image, box in zip(images, BOXES, strict=True)]
    np.testing.assert_allclose(resized, expected, atol=2e-6)
    assert resized.min() >= 0 and resized.max() <= 1 + 1e-6


def test_enlarged_boxes_are_as_by_opencv():
    """Whose grid of the half pixels is the same; it does not average where it reduces."""
    images = images_of(2)
    resized = augment.resize_boxes(
        jnp.asarray(images), jnp.array([[3, 2, 7, 5], [2, 4, 8, 8]]), size=(16, 16)
    )
    for image, (top, left, height, width), found in zip(
        images, ((3, 2, 7, 5), (2, 4, 8, 8)), resized, strict=True
    ):
        cut = image[top : top + height, left : left + width]
        expected = cv2.resize(cut, (16, 16), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def reference_boxes(random, height, width, area, aspect) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop.get_params, in NumPy."""
    for _ in range(10):
        target = height * width * random.uniform(*area)
        ratio = np.exp(random.uniform(*np.log(aspect)))
        w, h = round(np.sqrt(target * ratio)), round(np.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.integers(0, height - h + 1), random.integers(0, width - w + 1), h, w
    if width / height < min(aspect):
        w, h = width, round(width / min(aspect))
    elif width / height > max(aspect):
        w, h = round(height * max(aspect)), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    ("shape", "area", "aspect"),
    [((32, 32), (0.08, 1.0), (3 / 4, 4 / 3)), ((20, 48), (0.6, 1.0), (0.7, 1.4))],
)
def test_boxes_follow_torchvisions_law(shape, area, aspect):
    """Marginals and the area by two-sample tests; the second case is the fallback in part."""
    found = np.asarray(augment.crop_boxes(jax.random.key(1), 4000, shape, area=area, aspect=aspect))
    random = np.random.default_rng(2)
    expected = np.array([reference_boxes(random, *shape, area, aspect) for _ in range(4000)])
    assert (found >= [0, 0, 1, 1]).all() and (found[:, :2] + found[:, 2:] <= shape).all()
    for column in range(4):
        assert stats.ks_2samp(found[:, column], expected[:, column]).pvalue > 1e-3, column
    areas = [boxes[:, 2] * boxes[:, 3] for boxes in (found, expected)]
    assert stats.ks_2samp(*areas).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (10, 11)])
def test_where_no_box_fits_it_is_the_largest_in_the_middle(shape):
    options = dict(area=(1.5, 2.0), aspect=(0.8, 1.25))  # fits nowhere
    boxes = np.asarray(augment.crop_boxes(jax.random.key(0), 50, shape, **options))
    random = np.random.default_rng(0)
    expected = reference_boxes(random, *shape, options["area"], options["aspect"])
    np.testing.assert_array_equal(boxes, np.tile(expected, (50, 1)))


def test_a_resized_crop_is_a_box_of_the_law_resized():
    images, rng = jnp.asarray(images_of(16)), jax.random.key(5)
    options = dict(area=(0.2, 0.9), aspect=(0.7, 1.4))
    found = jax.jit(functools.partial(augment.random_resized_crop, size=(12, 12), **options))(
        rng, images
    )
    boxes = augment.crop_boxes(rng, 16, (24, 20), **options)
    expected = [
        by_pillow(image, box, (12, 12))
        for image, box in zip(np.asarray(images), np.asarray(boxes), strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert len({tuple(box) for box in np.asarray(boxes)}) > 12


def test_translations_are_windows_of_the_mirrored_image():
    images = np.random.default_rng(0).integers(0, 256, (600, 6, 7, 3), np.uint8)
    moved = jax.jit(functools.partial(augment.random_translation, pixels=2, rate=0.8))(
        jax.random.key(0), jnp.asarray(images)
    )
    assert moved.dtype == jnp.uint8
    places = []
    for image, found in zip(images, np.asarray(moved), strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        hits = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(padded[i : i + 6, j : j + 7], found)
        ]
        assert len(hits) == 1
        places += hits
    assert len(set(places)) == 25
    still = sum(place == (2, 2) for place in places) / 600
    assert abs(still - (0.2 + 0.8 / 25)) < 5 * np.sqrt(0.23 * 0.77 / 600)


def test_translations_too_far_for_a_mirror():
    with pytest.raises(
        contracts.UserError, match=r"6x7 pixels and augment.translate is 6; use a sm"
    ):
        augment.random_translation(jax.random.key(0), jnp.zeros((2, 6, 7, 1)), pixels=6)


@pytest.mark.parametrize("radius", [1, 4])
def test_blur_is_scipys_correlation_and_opencvs_blur(radius):
    images, sigmas = images_of(5), np.array([0.1, 0.5, 1.0, 2.0, 7.0], np.float32)
    found = augment.gaussian_blur(jnp.asarray(images), jnp.asarray(sigmas), radius=radius)
    distances = np.arange(-radius, radius + 1)
    for image, sigma, blurred in zip(images, sigmas.astype(np.float64), found, strict=True):
        kernel = np.exp(-(distances**2) / (2 * sigma**2))
        kernel /= kernel.sum()
        across = ndimage.correlate1d(image.astype(np.float64), kernel, axis=0, mode="mirror")
        expected = ndimage.correlate1d(across, kernel, axis=1, mode="mirror")
        np.testing.assert_allclose(blurred, expected, atol=1e-6)
        side = 2 * radius + 1
        by_opencv = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(blurred, by_opencv, atol=2e-6)


def test_part_of_the_images_is_blurred():
    images = jnp.asarray(images_of(600, 6, 6, 1))
    options = dict(sigmas=(0.5, 2.0), radius=2, rate=0.3)
    blurred = augment.random_blur(jax.random.key(0), images, **options)
    changed = np.asarray(blurred != images).any(axis=(1, 2, 3))
    assert abs(changed.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 600)
    with pytest.raises(ValueError, match="6x6 pixels and the blur's radius is 6"):
        augment.gaussian_blur(images, jnp.ones(600), radius=6)


def test_widths_of_the_blur_are_uniform_in_their_range(monkeypatch):
    kept = {}

    def watched(images, sigmas, *, radius):
        kept.update(sigmas=np.asarray(sigmas), radius=radius)
        return images

    monkeypatch.setattr("dim_jax.augment.blur.gaussian_blur", watched)
    images = jnp.zeros((4000, 8, 8, 1))
    augment.random_blur(jax.random.key(0), images, sigmas=(0.1, 2.0), radius=3)
    assert kept["radius"] == 3
    assert stats.kstest(kept["sigmas"], stats.uniform(0.1, 1.9).cdf).pvalue > 1e-3
