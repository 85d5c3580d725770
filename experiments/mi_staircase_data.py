"""Correlated Gaussians of known mutual information, and their cubes."""

import math

import jax
import jax.numpy as jnp

NATS = (2.0, 4.0, 6.0, 8.0, 10.0)  # of the stairs
COLUMNS = 20
BATCH = 64
_VARIANCE_OF_CUBES = 15.0  # undivided cubes make the scores of `nwj` overflow


def correlation(nats: float, columns: int = COLUMNS) -> float:
    """Of each column of x with its column of y, so that all share this information."""
    return math.sqrt(-math.expm1(-2 * nats / columns))


def draw(key: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """A batch x f32[64,20], y f32[64,20] of (correlation, whether y is cubed)."""
    rho, cubed = given
    x, noise = jax.random.normal(key, (2, BATCH, COLUMNS))
    y = rho * x + jnp.sqrt(1 - rho**2) * noise
    return x, jnp.where(cubed, y**3 / math.sqrt(_VARIANCE_OF_CUBES), y)


def log_ratio(x: jax.Array, y: jax.Array, rho: jax.Array) -> jax.Array:
    """log p(x, y) / (p(x) p(y)) of all pairs f32[n,m] of the Gaussians x f32[n,k], y f32[m,k]."""
    squares = rho**2 * (jnp.sum(x**2, 1)[:, None] + jnp.sum(y**2, 1))
    terms = (2 * rho * x @ y.T - squares) / (2 * (1 - rho**2))
    return terms - x.shape[1] / 2 * jnp.log1p(-(rho**2))
