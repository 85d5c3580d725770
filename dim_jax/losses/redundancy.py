"""Losses that match two views and decorrelate their features: Barlow Twins and VICReg."""

import jax
import jax.numpy as jnp

from dim_jax import contracts

_HIGHEST = jax.lax.Precision.HIGHEST  # a GPU or TPU would round the sums over the batch


def barlow_twins(
    first: jax.Array, second: jax.Array, *, off_diagonal: float
) -> tuple[jax.Array, contracts.Scalars]:
    """The cross-correlation of two views' features compared with the identity; minimised.

        sum_i (1 - C_ii)^2 + off_diagonal * sum over i != j of C_ij^2
        C = mean over the batch of z_first z_second^T, z standardised: (x - mean) / sqrt(var + 1e-5)

    Args:
      first, second: f[n,d], of two views of the same images on all devices.
      off_diagonal: published 0.0051. The command in the official README multiplies the entire loss
        by 0.024 as well.

    Returns:
      (f32[], {"invariance", "redundancy"}): the loss, at least 0, and its two sums, unweighted.

    Raises:
      UserError: shapes that differ, or a batch of one.

    Source: Zbontar et al. 2021, Eq. 1 and 2; official code, main.py.
    """
    _check("Barlow Twins", first, second)
    pair = [_centre(x) for x in (first, second)]
    pair = [x * jax.lax.rsqrt(jnp.mean(x**2, axis=0) + 1e-5) for x in pair]
    correlations = _outer(*pair) / len(first)
    diagonal = jnp.diagonal(correlations)
    parts = {
        "invariance": jnp.sum((1 - diagonal) ** 2),
        "redundancy": _off_diagonal(correlations),
    }
    return parts["invariance"] + off_diagonal * parts["redundancy"], parts


def vicreg(
    first: jax.Array, second: jax.Array, *, invariance: float, variance: float, covariance: float
) -> tuple[jax.Array, contracts.Scalars]:
    """Variance-invariance-covariance regularisation of two views' features; minimised.

        invariance   mean (first - second)^2 over images and features
        variance     mean over features of max(0, 1 - sqrt(var + 1e-4)), half of it from each view
        covariance   sum over i != j of Cov_ij^2, divided by d, summed over the views

    with the unbiased variances and covariances of the batch.

    Args:
      first, second: f[n,d], of two views of the same images on all devices.
      invariance, variance, covariance: weights of the three; published 25, 25 and 1.

    Returns:
      (f32[], {"invariance", "variance", "covariance"}): the loss, at least 0, and its three parts,
      unweighted.

    Raises:
      UserError: shapes that differ, or a batch of one.

    Source: Bardes et al. 2022, Eq. 1 to 6; official code, main_vicreg.py (whose variance is half of
      the paper's sum).
    """
    _check("VICReg", first, second)
    difference = first.astype(jnp.float32) - second.astype(jnp.float32)
    parts = {
        "invariance": jnp.mean(difference**2),
        "variance": jnp.zeros(()),
        "covariance": jnp.zeros(()),
    }
    for x in (_centre(first), _centre(second)):
        covariances = _outer(x, x) / (len(x) - 1)
        deviations = jnp.sqrt(jnp.diagonal(covariances) + 1e-4)
        parts["variance"] += jnp.mean(jnp.maximum(1 - deviations, 0)) / 2
        parts["covariance"] += _off_diagonal(covariances) / x.shape[1]
    weights = dict(invariance=invariance, variance=variance, covariance=covariance)
    return sum(weights[name] * part for name, part in parts.items()), parts


def _centre(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    return x - x.mean(axis=0)


def _outer(first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.einsum("ni,nj->ij", first, second, precision=_HIGHEST)


def _off_diagonal(matrix: jax.Array) -> jax.Array:
    """The sum of squares beside the diagonal; not a difference, which would cancel."""
    beside = 1 - jnp.eye(len(matrix), dtype=matrix.dtype)
    return jnp.sum((beside * matrix) ** 2)


def _check(name: str, first: jax.Array, second: jax.Array) -> None:
    if first.shape != second.shape or first.ndim != 2 or len(first) < 2:
        raise contracts.UserError(
            f"{name} compares the features of two views of a batch and received the shapes "
            f"{first.shape} and {second.shape}; pass two of the same shape [n,d], of at least two "
            "images"
        )
