"""Colour spaces, as deterministic functions of RGB pixels in [0, 1]."""

import jax
import jax.numpy as jnp

# The primaries of sRGB in CIE XYZ, and the white D65 (IEC 61966-2-1; 2 degrees). Rows: X, Y, Z.
_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
# ITU-R BT.601, digital: Y from 16 to 235, Cb and Cr from 16 to 240 around 128.
_YCBCR = (
    (65.481, 128.553, 24.966),
    (-37.797, -74.203, 112.0),
    (112.0, -93.786, -18.214),
)


def rgb_to_lab(images: jax.Array) -> jax.Array:
    """CIE L*a*b* of sRGB pixels f[...,3] in [0, 1], white D65: L in [0, 100], a and b about 0.

    Source: CIE 1976; scaled as scikit-image's `rgb2lab`, which the official CMC code uses.
    """
    steep = _power((jnp.maximum(images, 0.04045) + 0.055) / 1.055, 2.4)
    linear = jnp.where(images > 0.04045, steep, images / 12.92)
    xyz = _multiply(linear, _XYZ) / _per_channel(_WHITE, linear)
    roots = _power(jnp.maximum(xyz, 0.008856), 1 / 3)
    roots = jnp.where(xyz > 0.008856, roots, 7.787 * xyz + 16.0 / 116.0)
    x, y, z = (roots[..., channel] for channel in range(3))
    return jnp.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def rgb_to_ycbcr(images: jax.Array) -> jax.Array:
    """Y'CbCr of RGB pixels f[...,3] in [0, 1]: Y' in [16, 235], Cb and Cr in [16, 240].

    Source: ITU-R BT.601; scaled as scikit-image's `rgb2ycbcr`, which the official CMC code uses.
    """
    return _multiply(images, _YCBCR) + _per_channel((16.0, 128.0, 128.0), images)


def _power(x: jax.Array, exponent: float) -> jax.Array:
    """x^exponent for x > 0, in a third of the time of jnp.power and jnp.cbrt on a CPU."""
    return jnp.exp(exponent * jnp.log(x))


def _per_channel(numbers: tuple[float, ...], pixels: jax.Array) -> jax.Array:
    """One number for each channel of pixels f[...,3], f[1,...,3]."""
    return jnp.array(numbers, pixels.dtype).reshape(*(1,) * (pixels.ndim - 1), 3)


def _multiply(pixels: jax.Array, matrix: tuple[tuple[float, ...], ...]) -> jax.Array:
    """The product of the matrix and each pixel f[...,3], in float32 on every device."""
    rows = (sum(weight * pixels[..., i] for i, weight in enumerate(row)) for row in matrix)
    return jnp.stack([*rows], axis=-1)
