"""What a method's own classifier, trained together with the encoder, gets right.

For methods that represent their `logits`. Where the data has a split "clean", test images without
the shortcut that training images have (`data.shortcut`), what the classifier says of those is what
it has learned beside the shortcut.
"""

from collections.abc import Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features

NEEDS_LABELS = True
REPRESENTATIONS = "trained"
TAPS = ()
OF_SPLITS = True  # the results stand under the names of splits in the place of taps

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
    found = {}
    for name in (name for name in _SPLITS if name in splits):
        logits = features.extract(frozen, splits[name], (_LOGITS,))[_LOGITS]
        found[f"{name}/accuracy"] = float(np.mean(logits.argmax(axis=1) == splits[name].labels))
    return found


def check_frozen(frozen: contracts.Frozen, splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError on a representation without logits."""
    if _LOGITS not in features.shapes(frozen, splits["test"]):
        raise contracts.UserError(
            "this method has no classifier of its own (no tap 'logits'); remove the evaluation "
            "'classifier' from evals"
        )
