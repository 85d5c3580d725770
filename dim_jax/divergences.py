"""Variational forms of f-divergences, and the penalty that keeps their critics smooth.

For a joint law P, a product law Q and scores T, a divergence is estimated from below by

    E_P[positive(T)] - E_Q[negative(T)]

with `<name>_positive` and `<name>_negative` applied entry by entry; the averages are the caller's.
One pair of functions serves mutual information (P = joint pairs, Q = shuffled pairs) and a
discriminator (P = real, Q = fake).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp


def gan_positive(scores: jax.Array) -> jax.Array:
    """The original GAN game, entries of P: log sigmoid(T), at most 0.

    With `gan_negative` the estimate is twice the Jensen-Shannon divergence minus 2 log 2.
    Source: Goodfellow et al. 2014; rdevon/DIM gan_losses.py (GAN).
    """
    return -jax.nn.softplus(-scores)


def gan_negative(scores: jax.Array) -> jax.Array:
    """The original GAN game, entries of Q: -log(1 - sigmoid(T)), at least 0."""
    return jax.nn.softplus(scores)


def jensen_shannon_positive(scores: jax.Array) -> jax.Array:
    """Jensen-Shannon, entries of P: log 2 - softplus(-T).

    With `jensen_shannon_negative` the estimate is twice the Jensen-Shannon divergence, between 0
    (P = Q, T = 0) and 2 log 2; the same game and gradients as `gan_positive`, shifted.
    Source: Nowozin et al. 2016; rdevon/DIM gan_losses.py (JSD).
    """
    return math.log(2.0) + gan_positive(scores)


def jensen_shannon_negative(scores: jax.Array) -> jax.Array:
    """Jensen-Shannon, entries of Q: softplus(T) - log 2."""
    return gan_negative(scores) - math.log(2.0)


def gradient_penalty(score_fn: Callable[[jax.Array], jax.Array], inputs: jax.Array) -> jax.Array:
    """Mean squared norm of the input gradient of a critic; smaller is smoother.

        mean_i |d score_fn(inputs)_i / d inputs_i|^2

    A discriminator is regularised by the mean of its penalties on real and on fake inputs:
    `(gradient_penalty(d, real) + gradient_penalty(d, fake)) / 2`.

    Args:
      score_fn: inputs f[n, ...] -> one score per input, f[n] or f[n, 1]. The score of one input
        must not depend on the others (no batch statistics).
      inputs: f[n, ...], where the gradient is taken.

    Returns:
      f32[], to be added to the critic's loss.

    Raises:
      ValueError: score_fn does not give one score per input.

    Source: Mescheder et al. 2018 (R1, R2); rdevon/DIM gradient_penalty.py.
    Differs: the official helper differentiates the score of the last input only, and so divides
      by n once more.
    """

    def total(inputs: jax.Array) -> jax.Array:
        scores = score_fn(inputs)
        if scores.shape not in {inputs.shape[:1], (*inputs.shape[:1], 1)}:
            raise ValueError(
                f"score_fn gives shape {scores.shape} for inputs {inputs.shape}; the penalty "
                f"needs one score per input, shape {inputs.shape[:1]}; drop the other axes"
            )
        return scores.sum()

    slopes = jax.grad(total)(inputs)
    slopes = slopes.astype(jnp.promote_types(slopes.dtype, jnp.float32))
    return jnp.sum(slopes**2) / inputs.shape[0]
