"""SimCLR: the two views of an image recognise each other among all other views of the batch.

    loss = mean over the 2n views i of
           -log( exp(s_ij) / sum over k != i of exp(s_ik) ),   s = cosine(z_i, z_j) / temperature

(NT-Xent), j the other view of the same image. The candidates are those of the global batch, on any
number of devices. z is the projection head's output; y, before it, is the representation.

Source: Chen et al. 2020; official code, objective.py.
Differs: views are encoded one after the other, so that batch statistics are those of one view (of
  all devices); there, of both.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts
from dim_jax.nets import projection, pure


def make(
    *, encoder: pure.Net, projector: pure.Net, tap: str = "y", temperature: float
) -> contracts.Method:
    """The SimCLR method; one player, `encoder`: the encoder and the projector.

    Args:
      projector: f[n,...] -> z f[n,d], such as `heads.projector`. Published on ImageNet: widths
        (2048,), 128 features (the official code by default: widths (2048, 2048)).
      tap: the input of the projector.
      temperature: published: 0.1 on ImageNet, 0.5 on CIFAR-10.

    Metrics: "views/nats": a lower bound of the mutual information of two views,
    `bounds.symmetric_infonce` of one view among the n of the batch, at most log n.
    "views/accuracy": the fraction of views whose other view has the highest score of the 2n - 1.

    Raises: contracts.UserError: on initialisation, another number of views than two.
    """

    def compare(projections, crops, rng):
        del crops, rng
        first, second = map(projection.unit, projections)
        rows = jnp.concatenate([first, second])
        scores = projection.cosines(rows, rows) / temperature
        n = len(first)
        itself = np.arange(2 * n, dtype=np.int32)
        other = np.roll(itself, n)
        # By rows alone: the scores are symmetric.
        cost = math.log(2 * n - 1) - bounds.infonce(scores, other, excluded=itself)
        scores = jax.lax.stop_gradient(scores)
        among = jnp.where(itself[:, None] == itself[None], -jnp.inf, scores)
        metrics = {
            "views/nats": bounds.symmetric_infonce(scores[:n, n:]),
            "views/accuracy": jnp.mean(jnp.argmax(among, axis=1) == other),
        }
        return cost, metrics

    return projection.method(encoder, projector, tap, compare, temperature=temperature)
