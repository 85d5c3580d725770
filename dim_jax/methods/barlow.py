"""Barlow Twins: the projections of two views agree in each feature, and features do not repeat.

    loss = scale * ( sum_i (1 - C_ii)^2 + off_diagonal * sum over i != j of C_ij^2 )

with C f[d,d] the cross-correlation of z of the two views over the batch.

Source: Zbontar et al. 2021; official code, main.py.
Differs: no. Statistics are those of the global batch.
"""

from dim_jax import contracts, losses
from dim_jax.nets import projection, pure


def make(
    *,
    encoder: pure.Net,
    projector: pure.Net,
    tap: str = "y",
    off_diagonal: float,
    scale: float = 1.0,
) -> contracts.Method:
    """The Barlow Twins method; one player, `encoder`: the encoder and the projector.

    Args:
      projector: f[n,...] -> z f[n,d]. Published: widths (8192, 8192), 8192 features.
      tap: the input of the projector.
      off_diagonal: published: 0.0051.
      scale: of the loss. Published: 1; 0.024 in the README's command. Under LARS it changes the
        steps of biases and norms, and the weight of the decay.

    Metrics: "barlow/invariance", "barlow/redundancy": the two sums, without their weights.

    Raises: contracts.UserError: on initialisation, another number of views than two.
    """

    def compare(projections, crops, rng):
        del crops, rng
        cost, parts = losses.barlow_twins(*projections, off_diagonal=off_diagonal)
        return scale * cost, {f"barlow/{name}": value for name, value in parts.items()}

    return projection.method(encoder, projector, tap, compare)
