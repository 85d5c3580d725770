"""Accuracy of a method's own classifier, which is trained together with the encoder.

For methods that represent their `logits`. Where training images have a pixel that tells the class
(`data.shortcut`), the split "clean", test images without it, shows what the classifier has learned
beside the pixel, and "misled", test images with the pixel of another class, which of both it
believes.
"""

from collections.abc import Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation

_LOGITS = "logits"
_SPLITS = ("test", "clean", "misled", "train")


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
) -> dict[str, float]:
    """Accuracy on each of the splits test, clean, misled and train that there are.

    Returns:
      "<split>/accuracy": the fraction of its images whose largest logit is that of their label,
        in evaluation mode. "misled/follows_pixel": the fraction whose largest logit is that of the
        class that their pixel tells (`Split.told`); smaller is better.

    Raises:
      UserError: a method without a classifier.
    """
    del rng
    check_frozen(frozen, splits)
    results = {}
    for name in (name for name in _SPLITS if name in splits):
        split = splits[name]
        answers = features.extract(frozen, split, (_LOGITS,))[_LOGITS].argmax(axis=1)
        results[f"{name}/accuracy"] = float(np.mean(answers == split.labels))
        if split.told is not None:
            results[f"{name}/follows_pixel"] = float(np.mean(answers == split.told))
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
    own_classes=True,
    of_splits=True,
    check_frozen=check_frozen,
)
