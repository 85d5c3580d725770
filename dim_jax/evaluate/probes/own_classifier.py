"""Accuracy of a method's own classifier, which is trained together with the encoder.

For methods that represent their `logits`. Where the data has a split "clean", test images without
the shortcut that training images have (`data.shortcut`), the accuracy on those shows what it has
learned beside the shortcut.
"""

from collections.abc import Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation

_LOGITS = "logits"
_SPLITS = ("test", "clean", "train")


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
) -> dict[str, float]:
    """Accuracy on each of the splits test, clean and train that there are.

    Returns:
      "<split>/accuracy": the fraction of its images whose largest logit is that of their label,
        in evaluation mode.

    Raises:
      UserError: a method without a classifier.
    """
    del rng
    check_frozen(frozen, splits)
    results = {}
    for name in (name for name in _SPLITS if name in splits):
        logits = features.extract(frozen, splits[name], (_LOGITS,))[_LOGITS]
        results[f"{name}/accuracy"] = float(np.mean(logits.argmax(axis=1) == splits[name].labels))
    return results


def check_frozen(frozen: contracts.Frozen, splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError on a representation without logits."""
    if _LOGITS not in features.shapes(frozen, splits["test"]):
        raise contracts.UserError(
            "this method has no classifier of its own (no tap 'logits'); remove the evaluation "
            "'own_classifier' from evals"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="trained",
    taps=(),
    needs_labels=True,
    of_splits=True,
    check_frozen=check_frozen,
)
