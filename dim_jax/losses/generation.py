"""Losses of generators and their critics, the contractive penalty, and overlapping targets."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.bounds import divergences
from dim_jax.losses import discrimination

Objective = Literal["non_saturating", "least_squares", "wasserstein"]
Convention = Literal["half", "full"]


def generation_losses(
    objective: Objective, real: jax.Array, generated: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Losses f32[] of generator and critic, with T the scores; all are minimised.

        non_saturating  mean softplus(-T(fake))
                        mean softplus(-T(real)) + mean softplus(T(fake))
        least_squares   mean (T(fake) - 1)^2 / 2
                        mean (T(real) - 1)^2 / 2 + mean T(fake)^2 / 2
        wasserstein     -mean T(fake)
                        mean T(fake) - mean T(real)

    The first is the proxy loss of Hjelm et al. 2019, Figure 15.

    Args:
      real, generated: scores f[n] of images of the data and of the generator.

    Returns: (loss of the generator, loss of the critic).

    Raises: contracts.UserError: an unknown objective.

    Source: Goodfellow et al. 2014; Mao et al. 2017, equation 9; Arjovsky et al. 2017.
    """
    if objective == "non_saturating":
        return discrimination.adversarial_losses(real, generated)
    if objective == "least_squares":
        confusion = jnp.mean((generated - 1) ** 2) / 2
        return confusion, (jnp.mean((real - 1) ** 2) + jnp.mean(generated**2)) / 2
    if objective == "wasserstein":
        return -jnp.mean(generated), jnp.mean(generated) - jnp.mean(real)
    raise contracts.unknown("objective", objective, get_args(Objective))


def contractive_penalty(
    score: Callable[[jax.Array], jax.Array], images: jax.Array, convention: Convention
) -> jax.Array:
    """The mean squared norm of the gradient of scores f[n] by their images, f32[], or half of it.

    Args:
      convention: "half", as the paper writes it, or "full", as its released code computes it: with
        one weight, twice as strong.

    Raises: contracts.UserError: an unknown convention.

    Source: Mescheder et al. 2018, equation 9 (half); its released code, gan_training/train.py
      (full); the official framework of DIM, models/gan.py (half).
    """
    if convention not in get_args(Convention):
        raise contracts.unknown("convention", convention, get_args(Convention))
    penalty = divergences.gradient_penalty(score, images)
    return penalty / 2 if convention == "half" else penalty


def penalty_note(weight: float, convention: Convention) -> str:
    """A sentence for the report on the contractive penalty, of which there are two conventions."""
    written = {
        "half": "half of the mean squared slope of the score, as the paper writes it",
        "full": "the mean squared slope of the score, as the released code has it, without the "
        "half of the paper",
    }
    if convention not in written:
        raise contracts.unknown("convention", convention, written)
    return f"Contractive penalty: {weight:g} times {written[convention]}."


def overlap(targets: tuple[float, float]) -> float:
    """The probability mass, 0 to 1, that normal distributions of deviation 1 have in common.

    It is 0.317 for means 2 apart and 0.012 for means 5 apart.

    Args:
      targets: their means.
    """
    return math.erfc(abs(targets[0] - targets[1]) / math.sqrt(8))
