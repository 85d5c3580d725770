"""SIGReg (LeJEPA): views of an image agree, and projections are standard normal over the batch.

    loss = (1 - weight) * mean over views of |z_v - m|^2 / d
           + weight * mean over views of sigreg(z_v)

m is the mean of z over the views of full size; `losses.sigreg` compares random one-dimensional
projections of z with a standard normal distribution. This is the prior matching of Deep InfoMax
without a discriminator, and it alone prevents a collapse: no negatives, no target network, no
predictor.

Source: Balestriero and LeCun 2025 (LeJEPA), Algorithm 2 and the minimal example of its official
  code.
Differs: two views in the config, there four; multi-crop adds small ones.
"""

import jax.numpy as jnp

from dim_jax import contracts, losses
from dim_jax.nets import projection, pure


def make(
    *,
    encoder: pure.Net,
    projector: pure.Net,
    tap: str = "y",
    weight: float,
    directions: int,
) -> contracts.Method:
    """The SIGReg method; one player, `encoder`: the encoder and the projector.

    Args:
      projector: f[n,...] -> z f[n,d].
      tap: the input of the projector.
      weight: of the regulariser, 0 to 1. Published: 0.02 to 0.05.
      directions: number of random projections, drawn anew in each step.

    Metrics: "views/distance": the mean squared distance from m. "sigreg/statistic".

    Raises: contracts.UserError: on initialisation, fewer than two views.
    """

    def compare(projections, crops, rng):
        centre = jnp.mean(jnp.stack(projections), axis=0)
        projections = projections + crops
        distance = jnp.mean(jnp.stack([jnp.mean((z - centre) ** 2) for z in projections]))
        # The same directions for all views, as published.
        statistics = [losses.sigreg(z, rng, directions=directions) for z in projections]
        statistic = jnp.mean(jnp.stack(statistics))
        metrics = {"views/distance": distance, "sigreg/statistic": statistic}
        return (1 - weight) * distance + weight * statistic, metrics

    return projection.method(encoder, projector, tap, compare, multi_crop=True)
