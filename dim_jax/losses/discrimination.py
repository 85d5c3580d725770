"""Losses of binary discrimination: adversarial prior matching and noise-contrastive estimation."""

import math

import jax
import jax.numpy as jnp

from dim_jax.bounds import divergences


def adversarial_losses(real: jax.Array, fake: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Losses f32[] of encoder and discriminator for adversarial matching of codes to a prior.

        confusion = mean softplus(-fake)
        discrimination = mean softplus(fake) + mean softplus(-real)

    Args:
      real, fake: logits f[n] of prior samples and of codes.

    Returns:
      (confusion, discrimination): the loss of the encoder, which raises the logits of the fakes,
      and that of the discriminator.

    Source: Goodfellow et al. 2014 (the non-saturating form); official DIM code, prior_matching.py.
    """
    confusion = -jnp.mean(divergences.gan_positive(fake))
    discrimination = jnp.mean(divergences.gan_negative(fake)) - jnp.mean(
        divergences.gan_positive(real)
    )
    return confusion, discrimination


def nce_loss(scores: jax.Array, log_z: jax.Array, examples: int) -> jax.Array:
    """Noise-contrastive estimation (NCE): the positive versus k noise candidates; minimised.

        -mean over rows of [ log p_0 / (p_0 + k/N) + sum over j > 0 of log (k/N) / (p_j + k/N) ]

    with p_j = exp(score_j) / Z and N = `examples`, from which the noise candidates are drawn.

    Args:
      scores: f[n, 1 + k], the positive first.
      log_z: f[], log Z, a constant without a gradient.

    Returns: f32[], at least 0; summed over the 1 + k candidates of a row, averaged over rows.

    Source: Gutmann and Hyvarinen 2010; Wu et al. 2018; official CMC code, NCE/NCECriterion.py.
    """
    noise = math.log((scores.shape[1] - 1) / examples)
    logits = scores.astype(jnp.float32) - jax.lax.stop_gradient(log_z) - noise
    costs = jax.nn.softplus(-logits[:, 0]) + jax.nn.softplus(logits[:, 1:]).sum(axis=1)
    return costs.mean()
