"""The range of raw pixel values per channel, and the maps from it to [0, 1] and to 8 bits."""

from typing import Any, NamedTuple

import numpy as np


class PixelRange(NamedTuple):
    """The raw values of each channel that become 0 and 1.

    clip: whether values beyond them, which quantiles leave out, become 0 and 1 too.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    clip: bool = False


def to_unit(images: Any, pixel_range: PixelRange | None) -> Any:
    """Images [..., c] as f32 in [0, 1]; of None as u8, whose range is 0 to 255, or floats in it.

    NumPy in, NumPy out; JAX in, JAX out, also under jit.
    """
    if pixel_range is None:
        if np.issubdtype(images.dtype, np.floating):
            return images
        return images.astype(np.float32) / np.float32(255)
    shape = (1,) * (images.ndim - 1) + (-1,)
    low, high = (np.reshape(np.asarray(ends, np.float32), shape) for ends in pixel_range[:2])
    unit = (images.astype(np.float32) - low) / (high - low)
    return unit.clip(0.0, 1.0) if pixel_range.clip else unit


def to_u8(images: np.ndarray, pixel_range: PixelRange | None) -> np.ndarray:
    """Images of any type as u8[..., c], to look at."""
    if images.dtype == np.uint8 and pixel_range is None:
        return images
    return np.round(255 * np.clip(to_unit(images, pixel_range), 0, 1)).astype(np.uint8)
