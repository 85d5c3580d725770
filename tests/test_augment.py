"""Occlusions keep their promise: a square hidden, a square visible, one rectangle an image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import augment, contracts


def squares(pixels: np.ndarray, block: int) -> int:
    """How many squares of that side lie whole inside b[h,w]."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (block, block))
    return int(windows.all(axis=(2, 3)).sum())


@pytest.mark.parametrize(("shape", "block"), [((32, 32), 10), ((28, 28), 14), ((20, 48), 10)])
def test_a_square_is_hidden_and_a_square_is_visible(shape, block):
    images = jnp.ones((300, *shape, 1))
    hidden = np.asarray(augment.occlude(jax.random.key(0), images, block=block))[..., 0] == 0
    areas = set()
    for pixels in hidden:
        rows, columns = pixels.any(axis=1), pixels.any(axis=0)
        assert (pixels == rows[:, None] & columns[None]).all()  # one rectangle
        assert (np.abs(np.diff(rows.astype(int))).sum() <= 2) and rows.sum() >= block
        assert squares(pixels, block) and squares(~pixels, block)
        areas.add(int(pixels.sum()))
    assert len(areas) > 20 or block * 2 == shape[0]
    assert hidden.any(axis=0).all() and not hidden.all(axis=0).any()  # any pixel, never always


def test_visible_pixels_stay_and_hidden_ones_have_the_fill():
    images = jax.random.normal(jax.random.key(1), (8, 32, 32, 3))
    occluded = augment.occlude(jax.random.key(2), images, block=10, fill=-7.0)
    changed = np.asarray(occluded != images).any(-1)
    assert (np.asarray(occluded)[changed] == -7.0).all() and changed.any(axis=(1, 2)).all()
    again = augment.occlude(jax.random.key(2), images, block=10, fill=-7.0)
    np.testing.assert_array_equal(occluded, again)


def test_images_too_small_for_both():
    with pytest.raises(ValueError, match=r"16x32 pixels.*block is 10.*need 20 pixels.*smaller"):
        augment.occlude(jax.random.key(0), jnp.ones((2, 16, 32, 1)), block=10)


def windows(image: np.ndarray, size: int) -> dict[bytes, tuple[int, int]]:
    """Every square of that side in [h,w,c], by its bytes."""
    rows, columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    return {
        np.ascontiguousarray(image[i : i + size, j : j + size]).tobytes(): (i, j)
        for i in range(rows)
        for j in range(columns)
    }


def test_crops_are_squares_of_their_own_image_and_reach_every_place():
    images = np.random.default_rng(0).integers(0, 256, (200, 7, 6, 3), np.uint8)
    crops = np.asarray(augment.random_crop(jax.random.key(0), jnp.asarray(images), size=4))
    places = [windows(image, 4)[crop.tobytes()] for image, crop in zip(images, crops, strict=True)]
    assert crops.dtype == np.uint8
    assert set(places) == {(i, j) for i in range(4) for j in range(3)}


def test_half_of_the_images_are_mirrored():
    images = np.random.default_rng(0).normal(size=(400, 3, 5, 2)).astype(np.float32)
    flipped = np.asarray(augment.random_flip(jax.random.key(1), jnp.asarray(images)))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all() and 160 < mirrored.sum() < 240


def test_a_pipeline_crops_then_flips_and_without_words_changes_nothing():
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (64, 9, 9, 1), np.uint8))
    rng = jax.random.key(3)
    np.testing.assert_array_equal(augment.pipeline()(rng, images), images)
    both = augment.pipeline(crop=5, flip=True)
    changed = jax.jit(both)(rng, images)
    assert changed.shape == (64, 5, 5, 1)
    np.testing.assert_array_equal(changed, both(rng, images))
    assert (np.asarray(changed) != np.asarray(both(jax.random.key(4), images))).any()
    seen = {crop.tobytes() for crop in np.asarray(changed)}
    own = [set(windows(image, 5)) | set(windows(image[:, ::-1], 5)) for image in np.asarray(images)]
    assert len(seen) > 60 and all(
        crop.tobytes() in of for crop, of in zip(np.asarray(changed), own, strict=True)
    )


def test_crops_that_cannot_be():
    for crop in (0, -3, 2.5):
        with pytest.raises(contracts.UserError, match=r"augment.crop is .*positive whole number"):
            augment.pipeline(crop=crop)
    with pytest.raises(ValueError, match="images are 8x8 pixels and the crop is 9"):
        augment.random_crop(jax.random.key(0), jnp.zeros((2, 8, 8, 1)), size=9)
