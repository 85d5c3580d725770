"""The contrasts and the hue of Exemplar-CNN, of RGB pixels in [0, 1], others for each image.

Results are clipped to [0, 1]. Laws that are uniform in the logarithm are ours.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2.1 (ranges: from memory).
"""

import jax
import jax.numpy as jnp

from dim_jax.augment import colour, draws


def pca_contrast(images: jax.Array, factors: jax.Array) -> jax.Array:
    """Pixels of images f[n,h,w,3] along their principal components times factors f[n,3].

        x' = m + V diag(factors) V^T (x - m)

    with m the mean of the image's own pixels and V the eigenvectors of their covariance, that of
    the largest eigenvalue first.
    """
    mean = images.mean(axis=(1, 2), keepdims=True)
    centred = images - mean
    exact = jax.lax.Precision.HIGHEST
    covariance = jnp.einsum("nhwi,nhwj->nij", centred, centred, precision=exact)
    _, axes = jnp.linalg.eigh(covariance)  # eigenvalues grow
    weighted = axes * factors[:, None, ::-1]
    matrix = jnp.einsum("nik,njk->nij", weighted, axes, precision=exact)
    changed = jnp.einsum("nhwj,nij->nhwi", centred, matrix, precision=exact)
    return jnp.clip(mean + changed, 0.0, 1.0)


def random_pca_contrast(
    rng: jax.Array, images: jax.Array, *, factors: tuple[float, float]
) -> jax.Array:
    """`pca_contrast` of images f[n,h,w,3], the logarithm of each factor uniform in that range.

    Published: 0.5 to 2.
    """
    return pca_contrast(images, draws.log_uniform(rng, (len(images), 3), factors))


def hsv_power(
    images: jax.Array, powers: jax.Array, factors: jax.Array, shifts: jax.Array
) -> jax.Array:
    """Saturation and value of images f[n,h,w,3] as factor * x^power + shift, in [0, 1].

    The hue stays, and grey pixels stay grey: they have none that could be seen.

    Args:
      powers, factors, shifts: f[n,2], of the saturation and of the value.
    """
    value = images.max(axis=-1, keepdims=True)
    chroma = value - images.min(axis=-1, keepdims=True)

    def changed(x, which):
        power, factor, shift = (of[:, which, None, None, None] for of in (powers, factors, shifts))
        # x^power, in a third of jnp.power's time on a CPU; 0 where x is.
        return jnp.clip(factor * jnp.exp(power * jnp.log(x)) + shift, 0.0, 1.0)

    saturation = changed(chroma / jnp.maximum(value, 1e-12), 0)
    new_value = changed(value, 1)
    # How far below the value a channel is, in parts of the chroma: what the hue says.
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
    """`hsv_power` of images f[n,h,w,3]; saturation and value have numbers of their own.

    The logarithms of powers and factors are uniform in these ranges, shifts within -shift and
    shift. Published: 0.25 to 4, 0.7 to 1.4, 0.1.
    """
    keys, shape = jax.random.split(rng, 3), (len(images), 2)
    return hsv_power(
        images,
        draws.log_uniform(keys[0], shape, powers),
        draws.log_uniform(keys[1], shape, factors),
        jax.random.uniform(keys[2], shape, minval=-shift, maxval=shift),
    )


def random_hue(rng: jax.Array, images: jax.Array, *, shift: float) -> jax.Array:
    """The hue of images f[n,h,w,3] moved by up to `shift` of a turn, either way. Published: 0.1."""
    shifts = jax.random.uniform(rng, (len(images),), minval=-shift, maxval=shift)
    return jnp.clip(colour.shift_hue(images, shifts), 0.0, 1.0)
