"""Patches of images: cut and laid by loops, changed each by itself, one channel, shears."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import augment, contracts
from dim_jax.augment import patches

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("eighths", [1, 2, 3])
def test_patches_are_those_of_a_loop_and_mosaics_have_them_side_by_side(eighths):
    side, count = 2 * eighths, 9 - eighths
    found = patches.cut(jnp.asarray(IMAGES), eighths)
    mosaics = np.asarray(patches.lay(found, count))
    assert mosaics.shape[1] == patches.mosaic_side(16, eighths) == side * count
    np.testing.assert_array_equal(patches.lift(mosaics, count), found)
    for number, (image, row, column) in enumerate(np.ndindex(5, count, count)):
        expected = IMAGES[image, 2 * row : 2 * row + side, 2 * column : 2 * column + side]
        np.testing.assert_array_equal(found[number], expected)
        there = np.s_[image, row * side : (row + 1) * side, column * side : (column + 1) * side]
        np.testing.assert_array_equal(mosaics[there], expected)


def test_each_patch_is_flipped_by_itself_and_the_crop_is_of_the_image():
    change = jax.jit(augment.pipeline(patches=2, flip=True, crop=8))
    images = jnp.asarray(IMAGES)
    mosaics = np.asarray(change(jax.random.key(0), images))
    np.testing.assert_array_equal(mosaics, change(jax.random.key(0), images))
    assert mosaics.shape == (5, 14, 14, 3) and mosaics.dtype == np.uint8
    crops = augment.pipeline(crop=8)(jax.random.key(0), images)
    plain = np.asarray(patches.cut(crops, 2))
    found = np.asarray(patches.lift(mosaics, 7))
    is_plain = (found == plain).all((1, 2, 3))
    is_flipped = (found == plain[:, :, ::-1]).all((1, 2, 3))
    assert (is_plain | is_flipped).all()
    for of_image in is_flipped.reshape(5, 49):
        assert 10 < of_image.sum() < 39


def test_views_are_mosaics_of_separate_draws():
    change = jax.jit(augment.pipeline(patches=2, views=2, flip=True, flip_shared=False))
    first, second = change(jax.random.key(0), jnp.asarray(IMAGES))
    assert first.shape == (5, 28, 28, 3) and (first != second).any()


def test_one_channel_of_three_is_kept():
    images = np.random.default_rng(1).uniform(0, 0.4, (600, 2, 2, 3)).astype(np.float32)
    changed = np.asarray(augment.random_channel(jax.random.key(0), images, rate=0.5))
    kept = (changed == images).all((1, 2))
    grey = (changed == 0.5).all((1, 2))
    assert (kept | grey).all()
    counts = kept.sum(1)
    assert set(counts) == {1, 3}
    assert abs((counts == 1).mean() - 0.5) < 0.08
    shares = kept[counts == 1].mean(0)
    assert np.abs(shares - 1 / 3).max() < 0.1


def test_a_ramp_stays_a_ramp_whose_slope_is_the_shear():
    y, x = np.mgrid[:17, :17] - 8.0
    ramps = np.stack([np.stack([x, y], -1)] * 40).astype(np.float32)
    sheared = np.asarray(augment.warps.random_shear(jax.random.key(0), ramps, shear=0.2))
    middle = np.s_[5:12, 5:12]
    along_x = (sheared[..., 0] - x)[:, 12, 8] / 4  # at the column 0 and the row 4 below it
    along_y = (sheared[..., 1] - y)[:, 8, 12] / 4
    for factors in (along_x, along_y):
        assert np.abs(factors).max() <= 0.2 + 1e-5 and factors.min() < -0.1 < 0.1 < factors.max()
    for image, a, b in zip(sheared, along_x, along_y, strict=True):
        np.testing.assert_allclose(image[middle][..., 0], (x + a * y)[middle], atol=1e-4)
        np.testing.assert_allclose(image[middle][..., 1], (y + b * x)[middle], atol=1e-4)


def test_images_without_patches_are_refused():
    with pytest.raises(contracts.UserError, match=r"12x16 pixels.*multiple of 8"):
        patches.cut(jnp.zeros((2, 12, 16, 3)), 2)
