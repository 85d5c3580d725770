"""Gaussian blur with a random standard deviation for each image."""

import jax
import jax.numpy as jnp


def random_blur(
    rng: jax.Array,
    images: jax.Array,
    *,
    sigmas: tuple[float, float],
    radius: int,
    rate: float = 1.0,
) -> jax.Array:
    """Images f[n,h,w,c], pixels in [0, 1], each blurred with probability `rate`.

    Sigma is uniform in the range `sigmas`, in pixels; `radius` as in `gaussian_blur`.

    Source: Chen et al. 2020 (SimCLR), App. A: sigma 0.1 to 2 pixels, rate 0.5.
    """
    sigma_key, rate_key = jax.random.split(rng)
    count = len(images)
    sigma = jax.random.uniform(sigma_key, (count,), minval=sigmas[0], maxval=sigmas[1])
    blurred = jax.random.bernoulli(rate_key, rate, (count, 1, 1, 1))
    changed = jnp.clip(gaussian_blur(images, sigma, radius=radius), 0.0, 1.0)  # rounding errors
    return jnp.where(blurred, changed, images)


def gaussian_blur(images: jax.Array, sigmas: jax.Array, *, radius: int) -> jax.Array:
    """Images f[n,h,w,c] convolved with exp(-d^2 / (2 sigma^2)), |d| <= radius, along both axes.

    The kernel has the sum 1. Images are mirrored at their edges, edge pixels not repeated, as in
    torchvision; the official SimCLR code pads with zeros.

    Args:
      sigmas: f[n], in pixels, more than 0.
      radius: in pixels; the kernel has 2 radius + 1 pixels.

    Raises:
      ValueError: images too small for a mirrored border of `radius`.
    """
    height, width = images.shape[1:3]
    if min(height, width) <= radius:
        raise ValueError(
            f"images are {height}x{width} pixels and the blur's radius is {radius}; use a smaller "
            "radius"
        )
    distances = jnp.arange(-radius, radius + 1)[None]
    kernel = jax.nn.softmax(-0.5 * (distances / sigmas[:, None]) ** 2, axis=-1)
    for axis in (1, 2):
        images = _convolve(images, kernel, radius, axis)
    return images


def _convolve(images: jax.Array, kernel: jax.Array, radius: int, axis: int) -> jax.Array:
    """Each image convolved with its symmetric kernel f[n,taps] along one axis."""
    sides = [(0, 0)] * images.ndim
    sides[axis] = (radius, radius)
    padded = jnp.pad(images, sides, mode="reflect")
    total = jnp.zeros_like(images)
    for tap in range(2 * radius + 1):  # XLA fuses the sums; a grouped convolution is slow on a CPU
        part = jax.lax.slice_in_dim(padded, tap, tap + images.shape[axis], axis=axis)
        total += kernel[:, tap, None, None, None] * part
    return total
