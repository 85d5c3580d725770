"""Structural similarity of images: SSIM, MS-SSIM, and the variant behind DIM's published numbers.

All compare images f[n,h,w,c] with images, channel by channel, and give one number f[n] for each
pair: 1 for equal images, near 0 for unrelated ones, larger is better.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax import contracts

# Wang, Simoncelli, Bovik 2003, section 3.2: the weights of five scales, the finest first.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def ssim(a: jax.Array, b: jax.Array, *, data_range: float) -> jax.Array:
    """Structural similarity f[n] in [-1, 1], single scale; 1 = equal, larger is better.

    The mean, over all positions where the window lies within the image and over channels, of
    (2 ma mb + c1) (2 sab + c2) / ((ma^2 + mb^2 + c1) (saa + sbb + c2)), where ma, mb, saa, sbb
    and sab are means, variances and covariance under a Gaussian window of 11x11 pixels with
    deviation 1.5, c1 = (0.01 data_range)^2 and c2 = (0.03 data_range)^2.

    Args:
      data_range: largest minus smallest possible value, 2 for images in [-1, 1].

    Raises:
      UserError: images of different shapes, or smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, section III B and C.
    Differs: channels are compared one by one and averaged; the paper has grey images only.
    """
    _check(a, b)
    check_size(a.shape, scales=1)
    luminance, contrast = _maps(a, b, _gaussian(_SIGMA), data_range, padding=0)
    return jnp.mean(luminance * contrast, axis=(1, 2, 3))


def ms_ssim(
    a: jax.Array, b: jax.Array, *, data_range: float, weights: Sequence[float] = WEIGHTS
) -> jax.Array:
    """Multi-scale structural similarity f[n] in [0, 1]; 1 = equal, larger is better.

    The product over scales of a mean to the power of its weight: of the second factor of `ssim`
    at all scales but the coarsest, of both factors there. Between two scales both images are
    averaged over 2x2 pixels; a last odd row or column is left out.

    Args:
      data_range: as in `ssim`.
      weights: one for each scale, the finest first; there are as many scales as weights, and the
        weights are used as they are (`first_weights` gives fewer that add up to 1).

    Raises:
      UserError: images of different shapes, or the coarsest scale is smaller than the window.

    Source: Wang, Simoncelli, Bovik 2003, eq. 7.
    Differs: a negative mean counts as 0, for it has no power; channels as in `ssim`, averaged
    after the product.
    """
    _check(a, b)
    check_size(a.shape, scales=len(weights))
    product = 1.0
    for scale, weight in enumerate(weights):
        luminance, contrast = _maps(a, b, _gaussian(_SIGMA), data_range, padding=0)
        last = scale == len(weights) - 1
        means = jnp.mean(luminance * contrast if last else contrast, axis=(1, 2))
        product *= jnp.maximum(means, 0) ** weight
        a, b = _halved(a), _halved(b)
    return jnp.mean(product, axis=-1)


def ssim_dim_compat(a: jax.Array, b: jax.Array) -> jax.Array:
    """The number f[n] that DIM's released code calls MS-SSIM; only it compares with its table.

    As `ssim`, for images in [-1, 1], with three peculiarities of the release: it has one scale,
    the window's deviation is its size (11 instead of 1.5, nearly a flat window), and the constants
    are those of a data range of 1. Images are padded by 5 zeros (grey) on each side, so that every
    pixel counts and any size will do.

    Raises:
      UserError: images of different shapes.

    Source: official DIM code, functions/misc.py, ms_ssim.
    Differs: one number for each image; the release averages over the batch.
    """
    _check(a, b)
    window = _gaussian(float(_WINDOW))
    luminance, contrast = _maps(a, b, window, data_range=1.0, padding=_WINDOW // 2)
    return jnp.mean(luminance * contrast, axis=(1, 2, 3))


def scales(shape: Sequence[int]) -> int:
    """The number of scales that images [..., h, w, c] admit, 0 to 5."""
    side = min(shape[-3:-1])
    return sum(side >= _WINDOW * 2**scale for scale in range(len(WEIGHTS)))


def first_weights(count: int) -> tuple[float, ...]:
    """The weights of the `count` finest scales, divided by their sum."""
    total = sum(WEIGHTS[:count])
    return tuple(weight / total for weight in WEIGHTS[:count])


def check_size(shape: Sequence[int], *, scales: int) -> None:
    """Raises UserError where images [..., h, w, c] are too small for that many scales."""
    needed = _WINDOW * 2 ** (scales - 1)
    if min(shape[-3:-1]) < needed:
        height, width = shape[-3:-1]
        raise contracts.UserError(
            f"images are {height}x{width} and {scales} scale(s) of an {_WINDOW}x{_WINDOW} window "
            f"need {needed}x{needed}; use fewer scales or larger images (data.image_size)"
        )


def _check(a: jax.Array, b: jax.Array) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise contracts.UserError(
            f"images have shapes {a.shape} and {b.shape}: both must be the same [n,h,w,c]; "
            "compare each image with its own reconstruction"
        )


def _gaussian(sigma: float) -> np.ndarray:
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()


def _maps(
    a: jax.Array, b: jax.Array, window: np.ndarray, data_range: float, padding: int
) -> tuple[jax.Array, jax.Array]:
    """The two factors of SSIM at each position, f[n,h',w',c]: luminance, contrast-structure."""
    a, b = (jnp.asarray(images, jnp.float32) for images in (a, b))
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    # Written as 1 - (..), which is the same but exactly 1 for equal images in float32.
    mean_a, mean_b, squares, apart = (
        _filtered(values, window, padding) for values in (a, b, a**2 + b**2, (a - b) ** 2)
    )
    difference = (mean_a - mean_b) ** 2
    square_means = mean_a**2 + mean_b**2
    luminance = 1 - difference / (square_means + c1)
    return luminance, 1 - (apart - difference) / (squares - square_means + c2)


def _filtered(values: jax.Array, window: np.ndarray, padding: int) -> jax.Array:
    """The weighted mean of each window, first along columns, then along rows."""
    values = jnp.pad(values, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    for axis in (1, 2):
        size = values.shape[axis] - len(window) + 1
        values = sum(
            np.float32(weight) * lax.slice_in_dim(values, start, start + size, axis=axis)
            for start, weight in enumerate(window)
        )
    return values


def _halved(images: jax.Array) -> jax.Array:
    n, height, width, channels = images.shape
    images = images[:, : height // 2 * 2, : width // 2 * 2]
    return jnp.mean(images.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))
