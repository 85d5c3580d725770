"""The linear probe: test accuracy of multinomial logistic regression on frozen features.

Source: van den Oord et al. 2018, Bachman et al. 2019, Tian et al. 2020 (linear classifiers on
  frozen features, trained with the cross-entropy of a softmax).
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from dim_jax import losses
from dim_jax.evaluate import fit
from dim_jax.evaluate.probes import labelled, networks
from dim_jax.evaluate.protocols import Protocols


class Protocol(NamedTuple):
    """Multinomial logistic regression on frozen features: one affine map and a softmax.

    All fields: as in `mlp.Protocol`; fits differ by their start alone.
    """

    standardise: bool
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int
    averaged_epochs: int
    fits: int
    factor: float = 0.1
    l2: float = 0.0
    clip: float | None = None
    penalty: float = 0.0


PROTOCOLS = Protocols(
    "linear",
    {
        # Ours: the published linear classifiers differ in rate, batch and length from paper to
        # paper. On 10,000 held-out CIFAR-10 training images, 512 random features: 43.8; rates 1e-3
        # to 1e-2 and 10 or 20 epochs lie between 43.4 and 44.0.
        "linear-v1": Protocol(
            standardise=True,
            learning_rate=2e-3,
            betas=(0.9, 0.999),
            milestones=None,
            batch=512,
            epochs=20,
            min_steps=2000,
            averaged_epochs=1,
            fits=1,
        ),
        # y ends in batch norm, so that it is standardised nearly. On a GPU or TPU.
        "amdim-linear-v1": Protocol(**networks.AMDIM),
        "amdim-imagenet-linear-v1": Protocol(**networks.AMDIM_IMAGENET),
        "amdim-places-linear-v1": Protocol(**networks.AMDIM_PLACES),
    },
)


def accuracies(settings: Protocol, task: labelled.Task) -> np.ndarray:
    """The test accuracy f[fits] of each fit, or of one fit on each label subset."""
    sizes = task.train.features.shape[1], task.classes
    return networks.accuracies(settings, task, network(sizes, settings.clip, settings.penalty))


def network(
    sizes: tuple[int, int], clip: float | None = None, penalty: float = 0.0
) -> networks.Network:
    """Affine maps of (features, classes); clip and penalty: `losses.classification_loss`."""
    return networks.Network(functools.partial(_init, sizes), _loss(clip, penalty), _logits)


EVALUATION = labelled.probe(accuracies, PROTOCOLS, "linear-v1", in_passes=True)
evaluate = EVALUATION.evaluate


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
