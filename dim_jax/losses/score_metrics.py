"""Metrics of score matrices, which methods report beside their losses."""

import jax
import numpy as np

from dim_jax import bounds, contracts


def compute(
    name: str, scores: jax.Array, positives: np.ndarray, negatives: str = "candidates"
) -> contracts.Scalars:
    """Metrics of scores f[n,m,*l], independent of the loss; positives i[n] are columns.

    "<name>/nats": a lower bound of the mutual information of anchor and candidate, averaged over
    locations, capped at log m. "<name>/score_joint", "<name>/score_product": mean scores of the
    positives and of all other pairs.

    Args:
      negatives: "candidates" (every location of another candidate) or "same_location"; with both,
        `bounds.infonce` is a lower bound.
    """
    joint = scores[np.arange(len(scores)), positives]
    return {
        f"{name}/nats": bounds.infonce(scores, positives, negatives=negatives),
        f"{name}/score_joint": joint.mean(),
        f"{name}/score_product": (scores.sum() - joint.sum()) / (scores.size - joint.size),
    }
