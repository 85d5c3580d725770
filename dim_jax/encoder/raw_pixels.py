"""Checks of the images that an encoder gets: shape, type, unit and finite values."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts


def checked(images: Any, card: Mapping[str, Any]) -> Any:
    """The images as the type of the card or f32; values can only be checked outside of jit.

    Raises:
      UserError: images that are not [n,h,w,c] of the card, of a type that holds no pixels, with
        values that are not finite, or floats of another unit.
    """
    if not isinstance(images, jax.Array):
        images = np.asarray(images)
    shape = tuple(card["image_shape"])
    if images.ndim != 4 or images.shape[1:] != shape:
        size = ",".join(map(str, shape))
        hint = "; add the batch axis with images[None]" if images.shape == shape else ""
        raise contracts.UserError(
            f"got images of shape {list(images.shape)}, this encoder needs [n,{size}]{hint}"
        )
    if card.get("pixel_range"):
        return _in_unit_of_data(images, card)
    if images.dtype == np.uint8:
        return images
    if not jnp.issubdtype(images.dtype, jnp.floating):
        remedy = "convert them with images.astype('uint8')"
        if (
            jnp.issubdtype(images.dtype, jnp.integer)
            and not 0 <= min(_ends(images)) <= max(_ends(images)) <= 255
        ):  # which astype would wrap
            remedy = "divide them by the largest value that they can have, such as 65535 of 16 bits"
        raise contracts.UserError(
            f"got images of type {images.dtype}, this encoder needs uint8 in 0..255 or floats in "
            f"0..1; {remedy}"
        )
    low, high = _ends(images)
    # Half a grey level of tolerance for the overshoot of a resize; NaN fails the comparison.
    if not (low >= -0.002 and high <= 1.002):
        raise contracts.UserError(
            f"got float images with values from {low:.4g} to {high:.4g}, this encoder needs "
            "0..1; divide by 255, or give uint8, and leave the normalisation to the encoder"
        )
    return images.astype(np.float32)


def _in_unit_of_data(images: Any, card: Mapping[str, Any]) -> Any:
    """Raw pixels of an encoder with a pixel range."""
    dtype, ends = np.dtype(card.get("dtype", "uint8")), card["pixel_range"]
    unit = f"raw {dtype} pixels, in training from {min(ends['low']):.6g} to {max(ends['high']):.6g}"
    is_float = jnp.issubdtype(images.dtype, jnp.floating)
    if not is_float and not jnp.issubdtype(images.dtype, jnp.integer):
        raise contracts.UserError(
            f"got images of type {images.dtype}, this encoder needs {unit}; convert them to "
            f"{dtype} or float32"
        )
    if is_float:
        low, high = _ends(images)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise contracts.UserError(
                f"got images with values that are not finite, this encoder needs {unit}; replace "
                "them, such as by numpy.nan_to_num"
            )
        fractions = (low, high) != (0, 0) and _are_fractions(images)
        if dtype.kind in "iu" and fractions and low >= 0 and high <= 1 < max(ends["high"]) / 16:
            raise contracts.UserError(
                f"got float images with values from {low:.4g} to {high:.4g}, this encoder needs "
                f"{unit}; do not scale them, the encoder does"
            )
    return images if images.dtype == dtype else images.astype(np.float32)


def _ends(images: Any) -> tuple[float, float]:
    """The least and the largest value, NaN if there is one; (0, 0) of none, and under jit."""
    if not images.size or isinstance(images, jax.core.Tracer):
        return 0.0, 0.0
    images = np.asarray(images)
    return float(images.min()), float(images.max())


def _are_fractions(images: Any) -> bool:
    images = np.asarray(images)
    return bool((images != np.rint(images)).any())
