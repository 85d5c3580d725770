"""Codes of images over prototypes with equal use, and their prediction (SwAV)."""

import jax
import jax.numpy as jnp


def sinkhorn(scores: jax.Array, *, epsilon: float, steps: int) -> jax.Array:
    """Codes of images over prototypes, all of which are used equally: the targets of SwAV.

        Q = exp(scores / epsilon); repeated: divide columns by their sums, then rows by theirs

    The limit maximises sum Q * scores + epsilon * entropy(Q) with sums n/k of the columns. Computed
    in logarithms, so that no exponential overflows and no column is 0.

    Args:
      scores: f[n,k] of the images of all devices with the prototypes; no gradient flows through the
        result.
      epsilon: a smaller value makes sharper codes; published 0.05, for cosines.
      steps: published 3; 0 is the softmax of every row.

    Returns: f32[n,k], rows sum to 1; sums of columns approach n/k with the steps.

    Source: Caron et al. 2020, section 3.1 and App. A; official code, main_swav.py (same order).
    """
    scores = jax.lax.stop_gradient(scores.astype(jnp.float32))
    # Relative to the largest score, before a small epsilon could make it infinite.
    logs = (scores - scores.max()) / epsilon

    def divide(_, logs):
        return jax.nn.log_softmax(jax.nn.log_softmax(logs, axis=0), axis=1)

    return jax.nn.softmax(jax.lax.fori_loop(0, steps, divide, logs), axis=1)


def swap_loss(scores: jax.Array, codes: jax.Array, *, temperature: float) -> jax.Array:
    """Cross-entropy in nats of the codes of one view, predicted from another view; minimised.

        -mean over images of sum over prototypes of codes * log softmax(scores / temperature)

    Args:
      scores: f[n,k] of a view with the prototypes.
      codes: f[n,k], of another view of the same images, as from `sinkhorn`.
      temperature: published 0.1.

    Returns: f32[], at least the mean entropy of the codes.

    Source: Caron et al. 2020, Eq. 2; official code, main_swav.py.
    """
    logs = jax.nn.log_softmax(scores.astype(jnp.float32) / temperature, axis=-1)
    return -jnp.mean(jnp.sum(codes * logs, axis=-1))
