"""A bound with fewer negatives than the batch has."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dim_jax import contracts


def with_fewer_negatives(
    bound: Callable[..., jax.Array], scores: jax.Array, count: int, rng: jax.Array
) -> jax.Array:
    """The bound with `count` negatives per positive, drawn anew, those of an anchor shared.

    Each location's positive competes with the same `count` of the anchor's (n - 1) L negatives.

    Args:
      bound: of a matrix of scores and positives, such as `infonce`.
      scores: f[n, n, *l], joint pairs on the diagonal.
      count: at most (n - 1) L.
    Returns: f32[], the mean over locations of the bound of each; for `infonce` at most
      log(count + 1).
    Raises: UserError: more negatives than there are.
    Source: Hjelm et al. 2019, App. A.3, Fig. 9.
    """
    n, locations = len(scores), math.prod(scores.shape[2:])
    scores, most = scores.reshape(n, n, locations), (n - 1) * locations
    if count > most:
        raise contracts.UserError(
            f"{count} negatives per positive are wanted and a batch of {n} with {locations} "
            f"locations has {most}; use at most {most} (method.negatives)"
        )

    def of_anchor(row: jax.Array, index: jax.Array, key: jax.Array):
        # The places of the largest random numbers. On a CPU a permutation, which sorts them all,
        # and the largest of integers are 30 times slower.
        _, places = jax.lax.top_k(jax.random.uniform(key, (most,)), count)
        places += jnp.where(places >= index * locations, locations, 0)  # not those of its candidate
        return row[index], row.reshape(-1)[places]

    keys = jax.random.split(rng, n)
    positives, negatives = jax.vmap(of_anchor)(scores, jnp.arange(n), keys)
    first = jnp.zeros(n, jnp.int32)

    def of_location(positive: jax.Array) -> jax.Array:
        return bound(jnp.column_stack([positive, negatives]), first)

    return jax.vmap(of_location, in_axes=1)(positives).mean()
