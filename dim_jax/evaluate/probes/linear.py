"""The linear probe: test accuracy of multinomial logistic regression on frozen features.

Source: van den Oord et al. 2018, Bachman et al. 2019, Tian et al. 2020 (linear classifiers on
  frozen features, trained with the cross-entropy of a softmax).
"""

import functools

import jax
import numpy as np

from dim_jax import losses
from dim_jax.evaluate import fit, kinds
from dim_jax.evaluate.probes import labelled, networks

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = labelled.TAPS
PROTOCOL = kinds.Linear


def accuracies(settings: kinds.Linear, task: labelled.Task) -> np.ndarray:
    """The test accuracy f[fits] of each fit, or of one fit on each label subset."""
    sizes = task.train.features.shape[1], task.classes
    return networks.accuracies(settings, task, network(sizes, settings.clip, settings.penalty))


def network(
    sizes: tuple[int, int], clip: float | None = None, penalty: float = 0.0
) -> networks.Network:
    """Affine maps of (features, classes); clip and penalty: `losses.classification_loss`."""
    return networks.Network(functools.partial(_init, sizes), _loss(clip, penalty), _logits)


evaluate = labelled.evaluation(accuracies, PROTOCOL, "linear-v1")


def _init(sizes: tuple[int, int], count: int, random: np.random.Generator):
    return networks.affine_start(*sizes, count, random), {}


@functools.cache  # one function for equal settings, so that equal fits are compiled once
def _loss(clip: float | None, penalty: float):
    def loss(params, state, rows, labels, key):
        del key
        logits = networks.affine(params, rows)
        return losses.classification_loss(logits, labels, clip=clip, penalty=penalty)[0], state

    return loss


def _logits(params: fit.Tree, state: fit.Tree, rows: jax.Array) -> jax.Array:
    del state
    return networks.affine(params, rows)
