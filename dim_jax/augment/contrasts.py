"""Contrast and hue augmentations of Exemplar-CNN for RGB pixels in [0, 1], random for each image.

Results are clipped to [0, 1]. The log-uniform distributions are our choice.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2.1 (ranges: from memory).
"""

import jax
import jax.numpy as jnp

from dim_jax.augment import colour, draws


def pca_contrast(images: jax.Array, factors: jax.Array) -> jax.Array:
    """Principal components of the pixels of images f[n,h,w,3] scaled by factors f[n,3].

        x' = m + V diag(factors) V^T (x - m)

    with m the mean of the pixels of the image and V the eigenvectors of their covariance, in the
    order of descending eigenvalues.
    """
    mean = images.mean(axis=(1, 2), keepdims=True)
    centred = images - mean
    exact = jax.lax.Precision.HIGHEST
    covariance = jnp.einsum("nhwi,nhwj->nij", centred, centred, precision=exact)
    _, axes = jnp.linalg.eigh(covariance)  # ascending eigenvalues
    weighted = axes * factors[:, None, ::-1]
    matrix = jnp.einsum("nik,njk->nij", weighted, axes, precision=exact)
    changed = jnp.einsum("nhwj,nij->nhwi", centred, matrix, precision=exact)
    return jnp.clip(mean + changed, 0.0, 1.0)


def random_pca_contrast(
    rng: jax.Array, images: jax.Array, *, factors: tuple[float, float]
) -> jax.Array:
    """`pca_contrast` of images f[n,h,w,3] with factors log-uniform in this range.

    Published: 0.5 to 2.
    """
    return pca_contrast(images, draws.log_uniform(rng, (len(images), 3), factors))


def hsv_power(
    images: jax.Array, powers: jax.Array, factors: jax.Array, shifts: jax.Array
) -> jax.Array:
    """Changes saturation and value x of images f[n,h,w,3] to factor * x^power + shift, in [0, 1].

    The hue is unchanged, and grey pixels stay grey.

    Args:
      powers, factors, shifts: f[n,2], of the saturation and of the value.
    """
    value = images.max(axis=-1, keepdims=True)
    chroma = value - images.min(axis=-1, keepdims=True)

    def change(x, column):
        power, factor, shift = (
            values[:, column, None, None, None] for values in (powers, factors, shifts)
        )
        # x^power in a third of jnp.power's time on a CPU; 0 at x = 0.
        return jnp.clip(factor * jnp.exp(power * jnp.log(x)) + shift, 0.0, 1.0)

    saturation = change(chroma / jnp.maximum(value, 1e-12), 0)
    new_value = change(value, 1)
    # The difference of value and channel relative to the chroma depends only on the hue.
    below = (value - images) / jnp.maximum(chroma, 1e-12)
    return jnp.clip(new_value * (1.0 - saturation * below), 0.0, 1.0)


def random_hsv_power(
    rng: jax.Array,
    images: jax.Array,
    *,
    powers: tuple[float, float],
    factors: tuple[float, float],
    shift: float,
) -> jax.Array:
    """`hsv_power` of images f[n,h,w,3], with independent numbers for saturation and value.

    Powers and factors are log-uniform in these ranges, shifts uniform in [-shift, shift].
    Published: 0.25 to 4, 0.7 to 1.4, 0.1.
    """
    keys, shape = jax.random.split(rng, 3), (len(images), 2)
    return hsv_power(
        images,
        draws.log_uniform(keys[0], shape, powers),
        draws.log_uniform(keys[1], shape, factors),
        jax.random.uniform(keys[2], shape, minval=-shift, maxval=shift),
    )


def random_hue(rng: jax.Array, images: jax.Array, *, shift: float) -> jax.Array:
    """Shifts the hue of images f[n,h,w,3], uniformly in [-shift, shift] turns. Published: 0.1."""
    shifts = jax.random.uniform(rng, (len(images),), minval=-shift, maxval=shift)
    return jnp.clip(colour.shift_hue(images, shifts), 0.0, 1.0)
