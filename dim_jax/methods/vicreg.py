"""VICReg: two views agree, each feature keeps its variance, and features are not correlated.

    loss = invariance * mean squared difference of z of the two views
           + variance * mean over features of max(0, 1 - deviation), the mean of both views
           + covariance * sum over i != j of covariance_ij^2 / d, the sum of both views

Source: Bardes et al. 2022; official code, main_vicreg.py.
Differs: no.
"""

from dim_jax import contracts, losses
from dim_jax.nets import projection, pure


def make(
    *,
    encoder: pure.Net,
    projector: pure.Net,
    tap: str = "y",
    invariance: float,
    variance: float,
    covariance: float,
) -> contracts.Method:
    """The VICReg method; one player, `encoder`: the encoder and the projector.

    Args:
      projector: f[n,...] -> z f[n,d]. Published: widths (8192, 8192), 8192 features.
      tap: the input of the projector.
      invariance, variance, covariance: the weights. Published: 25, 25 and 1.

    Metrics: "vicreg/invariance", "vicreg/variance", "vicreg/covariance": without their weights.

    Raises: contracts.UserError: on initialisation, another number of views than two.
    """
    weights = dict(invariance=invariance, variance=variance, covariance=covariance)

    def compare(projections, crops, rng):
        del crops, rng
        cost, parts = losses.vicreg(*projections, **weights)
        return cost, {f"vicreg/{name}": value for name, value in parts.items()}

    return projection.method(encoder, projector, tap, compare)
