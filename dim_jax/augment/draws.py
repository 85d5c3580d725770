"""Laws that numbers of images are drawn from."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def log_uniform(rng: jax.Array, shape: tuple[int, ...], pair: Sequence[float]) -> jax.Array:
    """Numbers f[*shape] within the pair, both more than 0, whose logarithm is uniform."""
    low, high = jnp.log(jnp.asarray(pair, jnp.float32))
    return jnp.exp(jax.random.uniform(rng, shape, minval=low, maxval=high))
