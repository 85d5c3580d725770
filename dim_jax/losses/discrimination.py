"""Losses of binary discrimination: adversarial prior matching and noise-contrastive estimation."""

import math

import jax
import jax.numpy as jnp

from dim_jax.bounds import divergences


def adversarial_losses(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What an encoder and a discriminator minimise while codes are matched to a prior, f32[] each.

        confusion = mean softplus(-fake)
        discrimination = mean softplus(fake) + mean softplus(-real)

    Args:
      real, fake: logits f[n] of samples of the prior and of codes.

    Returns:
      (confusion, discrimination): of the encoder, whose fakes are to be taken for real ones, and
      of the discriminator.

    Source: Goodfellow et al. 2014 (the non-saturating form); official DIM code, prior_matching.py.
    """
    confusion = -jnp.mean(divergences.gan_positive(fake))
    discrimination = jnp.mean(divergences.gan_negative(fake)) - jnp.mean(
        divergences.gan_positive(real)
    )
    return confusion, discrimination


def nce_loss(scores: jax.Array, log_z: jax.Array, examples: int) -> jax.Array:
    """Noise-contrastive estimation of which of 1 + k candidates was drawn by chance; minimised.

        -mean over rows of [ log p_0 / (p_0 + k/N) + sum over j > 0 of log (k/N) / (p_j + k/N) ]

    with p_j = exp(score_j) / Z and N = `examples`, of which the noise candidates are drawn.

    Args:
      scores: f[n, 1 + k], the positive first.
      log_z: f[], log Z, a constant of the loss.

    Returns: f32[], at least 0, the sum over the 1 + k candidates of a row.

    Source: Gutmann and Hyvarinen 2010; Wu et al. 2018; official CMC code, NCE/NCECriterion.py.
    """
    noise = math.log((scores.shape[1] - 1) / examples)
    logits = scores.astype(jnp.float32) - jax.lax.stop_gradient(log_z) - noise
    of_rows = jax.nn.softplus(-logits[:, 0]) + jax.nn.softplus(logits[:, 1:]).sum(axis=1)
    return of_rows.mean()
