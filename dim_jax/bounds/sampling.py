"""A bound with fewer negatives than the batch has."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.bounds import exclusion
from dim_jax.bounds.pairs import Matrix


def with_fewer_negatives(
    bound: Callable[..., jax.Array],
    scores: jax.Array,
    count: int,
    rng: jax.Array,
    excluded: jax.Array | None = None,
) -> jax.Array:
    """The bound with `count` negatives per positive, drawn anew, those of an anchor shared.

    Each location's positive competes with the same `count` of the anchor's (n - 1) L negatives.

    Args:
      bound: of a matrix of scores and positives, such as `infonce`.
      scores: f[n, n, *l], joint pairs on the diagonal.
      count: at most (n - 1) L, less those that an anchor excludes.
      excluded: pairs that are not drawn, i[n] or b[n, n] as in `dim_jax.bounds`.
    Returns: f32[], the mean over locations of the bound of each; for `infonce` at most
      log(count + 1). NaN where traced `excluded` leave too few.
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
    mask, enough = _excluded(scores, excluded, count)

    def of_anchor(row: jax.Array, index: jax.Array, key: jax.Array, left_out: jax.Array | None):
        # The places of the largest random numbers. On a CPU a permutation, which sorts them all,
        # and the largest of integers are 30 times slower.
        numbers = jax.random.uniform(key, (most,))
        if left_out is not None:
            others = jnp.arange(n - 1)
            others += others >= index
            numbers = jnp.where(jnp.repeat(left_out[others], locations), -1.0, numbers)
        _, places = jax.lax.top_k(numbers, count)
        places += jnp.where(places >= index * locations, locations, 0)  # not those of its candidate
        return row[index], row.reshape(-1)[places]

    keys = jax.random.split(rng, n)
    positives, negatives = jax.vmap(of_anchor)(scores, jnp.arange(n), keys, mask)
    first = jnp.zeros(n, jnp.int32)

    def of_location(positive: jax.Array) -> jax.Array:
        return bound(jnp.column_stack([positive, negatives]), first)

    value = jax.vmap(of_location, in_axes=1)(positives).mean()
    return value if enough is None else jnp.where(enough, value, jnp.nan)


def _excluded(
    scores: jax.Array, excluded: jax.Array | None, count: int
) -> tuple[jax.Array | None, jax.Array | None]:
    """The mask b[n, n] of excluded pairs, and whether `count` negatives are left of each row."""
    if excluded is None:
        return None, None
    n, _, locations = scores.shape
    pairs = Matrix(scores, None, excluded)
    excluded = pairs.excluded
    left = (n - 1 - exclusion.count_in_rows(excluded, n)) * locations
    if isinstance(left, np.ndarray) and left.min() < count:
        raise contracts.UserError(
            f"{count} negatives per positive are wanted and row {left.argmin()} has {left.min()} "
            f"that are not excluded; use at most {left.min()} (method.negatives), or exclude fewer"
        )
    mask = excluded if excluded.ndim == 2 else exclusion.mask_of(excluded, jnp.arange(n))
    enough = jnp.all(left >= count)
    return jnp.asarray(mask), enough if pairs.valid is None else enough & pairs.valid
