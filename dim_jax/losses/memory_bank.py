"""Memory banks: a unit vector for each training image, stored in the state of a method.

A bank is f32[N,d]; row i belongs to the image with the `index` i.

Source: Wu et al. 2018; official CMC code, NCE/NCEAverage.py.
Differs: initialised uniformly on the sphere, not in a cube, and the negatives of an image are rows
  of other images only, where the official code may also draw the positive.
"""

import math

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.losses import priors

_SPHERE = priors.sphere()


def check(**numbers: float | None) -> None:
    """Raises UserError unless these arguments of a method are set to valid numbers.

    Args:
      numbers: any of negatives and examples, counts; momentum and z_decay, in [0, 1).
    """
    for name, value in numbers.items():
        least = dict(negatives=1, examples=2).get(name, 0)
        if value is None or value < least or (not least and value >= 1):
            below = "" if least else " and less than 1"
            raise contracts.UserError(
                f"method.{name} is {value} and a memory bank needs it; set it to {least} or "
                f"more{below}"
            )


def init(rng: jax.Array, examples: int, features: int) -> jax.Array:
    """A bank f32[examples,features] with rows uniform on the unit sphere."""
    return _SPHERE.sample(rng, (examples, features))


def draw_rows(rng: jax.Array, index: jax.Array, count: int, examples: int) -> jax.Array:
    """The positive rows i[n] followed by `count` negative rows of N = `examples`, i[n, 1 + count].

    Negatives are drawn uniformly from all other rows, with replacement.
    """
    steps = jax.random.randint(rng, (len(index), count), 1, examples)
    return jnp.concatenate([index[:, None], (index[:, None] + steps) % examples], axis=1)


def dot_products(
    anchors: jax.Array, bank: jax.Array, index: jax.Array, count: int, rng: jax.Array
) -> jax.Array:
    """Dot products f[n, 1 + count] of anchors f[n,d] with rows of a bank, the positive i[n] first.

    In full precision on every device and for every compute dtype, because the results are divided
    by a small temperature.
    """
    candidates = bank[draw_rows(rng, index, count, len(bank))]
    return jnp.einsum("nd,nmd->nm", anchors, candidates, precision=jax.lax.Precision.HIGHEST)


def update(bank: jax.Array, features: jax.Array, index: jax.Array, momentum: float) -> jax.Array:
    """The bank with rows i[n] <- normalise(momentum * row + (1 - momentum) * features f[n,d])."""
    rows = momentum * bank[index] + (1 - momentum) * jax.lax.stop_gradient(features)
    return bank.at[index].set(_SPHERE.squash(rows))


def update_log_z(before: jax.Array, scores: jax.Array, decay: float, examples: int) -> jax.Array:
    """log of decay * Z + (1 - decay) * the Z of scores f[n, 1 + k], with the positives first.

        mean over rows of exp(score_0) + (N - 1) * mean over j > 0 of exp(score_j)

    For negatives drawn by `draw_rows`, the latter is an unbiased estimate of the sum over all N
    rows of the bank. A `before` of -inf, a Z of 0, is replaced. No gradient.
    """
    scores = jax.lax.stop_gradient(scores)
    negatives = scores[:, 1:] + math.log((examples - 1) / (scores.shape[1] - 1))
    terms = jnp.concatenate([scores[:, :1], negatives], axis=1)
    now = jax.nn.logsumexp(terms) - math.log(len(scores))
    average = jnp.logaddexp(jnp.log(decay) + before, jnp.log1p(-decay) + now)
    return jnp.where(jnp.isneginf(before), now, average)
