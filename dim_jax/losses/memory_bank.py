"""Memory banks: a unit vector for each training image, kept in a method's state.

A bank is f32[N,d], row i that of the image with the `index` i.

Source: Wu et al. 2018; official CMC code, NCE/NCEAverage.py.
Differs: it starts uniform on the sphere, not in a cube, and an image's negatives are rows of other
  images only, where the official code may draw its own.
"""

import math

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.losses import priors

_SPHERE = priors.sphere()


def check(**numbers: float | None) -> None:
    """Raises UserError unless each of a method's arguments for its banks is there and of use.

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


def start(rng: jax.Array, examples: int, features: int) -> jax.Array:
    """Rows that are uniform on the unit sphere."""
    return _SPHERE.sample(rng, (examples, features))


def with_others(rng: jax.Array, own: jax.Array, count: int, examples: int) -> jax.Array:
    """Each own row i[n] and behind it `count` other ones of N = `examples`, i[n, 1 + count].

    All others are equally likely, with replacement.
    """
    steps = jax.random.randint(rng, (len(own), count), 1, examples)
    return jnp.concatenate([own[:, None], (own[:, None] + steps) % examples], axis=1)


def against(
    anchors: jax.Array, bank: jax.Array, index: jax.Array, count: int, rng: jax.Array
) -> jax.Array:
    """Dot products f[n, 1 + count] of anchors f[n,d] with rows of a bank, the own row i[n] first.

    In full precision on every device and in every compute dtype: what is compared is divided by a
    small temperature.
    """
    candidates = bank[with_others(rng, index, count, len(bank))]
    return jnp.einsum("nd,nmd->nm", anchors, candidates, precision=jax.lax.Precision.HIGHEST)


def entered(bank: jax.Array, features: jax.Array, index: jax.Array, momentum: float) -> jax.Array:
    """The bank with rows i[n] <- normalise(momentum * row + (1 - momentum) * features f[n,d])."""
    rows = momentum * bank[index] + (1 - momentum) * jax.lax.stop_gradient(features)
    return bank.at[index].set(_SPHERE.squash(rows))


def moved_log_z(before: jax.Array, scores: jax.Array, decay: float, examples: int) -> jax.Array:
    """log of decay * Z + (1 - decay) * the Z of these scores f[n, 1 + k], of own rows first.

        mean over rows of exp(score_0) + (N - 1) * mean over j > 0 of exp(score_j)

    Where others are drawn as by `with_others`, its mean is that of the sum over all N rows of the
    bank. A `before` of -inf, a Z of 0, is replaced. No gradient.
    """
    scores = jax.lax.stop_gradient(scores)
    others = scores[:, 1:] + math.log((examples - 1) / (scores.shape[1] - 1))
    of_rows = jnp.concatenate([scores[:, :1], others], axis=1)
    now = jax.nn.logsumexp(of_rows) - math.log(len(scores))
    moved = jnp.logaddexp(jnp.log(decay) + before, jnp.log1p(-decay) + now)
    return jnp.where(jnp.isneginf(before), now, moved)
