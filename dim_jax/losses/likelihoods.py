"""Gaussian densities, KL divergences and reconstruction errors, the terms of likelihoods."""

import math

import jax
import jax.numpy as jnp


def squared_errors(decoded: jax.Array, images: jax.Array) -> jax.Array:
    """Squared error of each image f[n], summed over its pixels and channels; smaller is better.

    Args:
      decoded, images: f[n,h,w,c].
    """
    differences = decoded.astype(jnp.float32) - images.astype(jnp.float32)
    return jnp.sum(differences**2, axis=(1, 2, 3))


def gaussian_kl(mean: jax.Array, log_deviation: jax.Array) -> jax.Array:
    """KL divergence f[n] of N(mean, deviation^2) from N(0, 1) in nats, at least 0.

        sum_k (deviation_k^2 + mean_k^2 - 1) / 2 - log deviation_k

    Args:
      mean, log_deviation: f[n,d], means and log standard deviations of independent coordinates.

    Source: Kingma and Welling 2014, appendix B.
    """
    mean, log_deviation = mean.astype(jnp.float32), log_deviation.astype(jnp.float32)
    # expm1: close to the prior the difference of squares would be rounding noise.
    return jnp.sum((jnp.expm1(2 * log_deviation) + mean**2) / 2 - log_deviation, axis=-1)


def gaussian_log_density(
    x: jax.Array, mean: jax.Array | float = 0.0, log_deviation: jax.Array | float = 0.0
) -> jax.Array:
    """Log density f[...] in nats of rows x f[...,d] under independent normal distributions.

    Args:
      mean, log_deviation: means and log standard deviations, which broadcast against x; by default
        those of the standard normal distribution.
    """
    standard = (x - mean) * jnp.exp(-jnp.asarray(log_deviation))
    densities = -(standard**2 + math.log(2 * math.pi)) / 2 - log_deviation
    return jnp.sum(densities, axis=-1)


def image_log_density(errors: jax.Array, weight: float, size: int) -> jax.Array:
    """Log density in nats of images with these squared errors.

        -weight * error - size / 2 * log(pi / weight)

    Pixels are independent normal variables with the decoded ones as means and the variance
    1 / (2 * weight), so that -log density and weight * error differ by a constant.

    Args:
      errors: f[...], from `squared_errors`.
      size: the number of pixels times channels.
    """
    return -weight * errors - size / 2 * math.log(math.pi / weight)
