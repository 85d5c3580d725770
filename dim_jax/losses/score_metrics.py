"""Numbers of a step that methods show beside their losses."""

import jax
import numpy as np

from dim_jax import bounds, contracts


def of_scores(
    name: str, scores: jax.Array, positives: np.ndarray, negatives: str = "candidates"
) -> contracts.Scalars:
    """What scores f[n,m,*l] show, whatever is made of them; positives i[n] are columns.

    "<name>/nats": a lower bound of the information of anchor and candidate, the mean over
    locations, capped at log m. "<name>/score_joint", "<name>/score_product": mean scores of
    positives and of all others.

    Args:
      negatives: "candidates" (every location of another candidate) or "same_location", of which
        either makes `bounds.infonce` a lower bound.
    """
    joint = scores[np.arange(len(scores)), positives]
    return {
        f"{name}/nats": bounds.infonce(scores, positives, negatives=negatives),
        f"{name}/score_joint": joint.mean(),
        f"{name}/score_product": (scores.sum() - joint.sum()) / (scores.size - joint.size),
    }
