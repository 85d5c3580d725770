"""Occlusions keep their promise: a square hidden, a square visible, one rectangle an image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import augment


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
