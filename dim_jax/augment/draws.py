"""Probability distributions of augmentation parameters."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def log_uniform(rng: jax.Array, shape: tuple[int, ...], pair: Sequence[float]) -> jax.Array:
    """Log-uniform numbers f[*shape] between the two positive numbers of `pair`."""
    low, high = jnp.log(jnp.asarray(pair, jnp.float32))
    return jnp.exp(jax.random.uniform(rng, shape, minval=low, maxval=high))
