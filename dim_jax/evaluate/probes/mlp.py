"""The MLP probe: test accuracy of a network with one hidden layer on frozen features.

Source: Hjelm et al. 2019, section 4.2; official DIM code, classifier.py (order of the layers).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import losses
from dim_jax.evaluate import fit
from dim_jax.evaluate.probes import labelled, networks
from dim_jax.evaluate.protocols import Protocols
from dim_jax.nets import products

_MOMENTUM, _EPSILON = 0.9, 1e-5  # PyTorch's batch norm, that of the paper's probes


class Protocol(NamedTuple):
    """One hidden layer on frozen features: linear, dropout, batch norm, ReLU, linear.

    standardise: features are shifted and scaled to the training images' mean 0 and deviation 1.
    milestones: epochs at which the rate falls to a tenth, or to `factor` of it; None = half a
      cosine down to zero.
    batch: examples a step, all of them where there are fewer; a last, smaller batch is dropped.
    min_steps: few examples are passed over more than `epochs` times, until this many steps.
    averaged_epochs: the result is the mean test accuracy after each of this many last epochs.
    fits: independent initialisations and dropout masks, over the same batches.
    around: dropout stands before the first linear map and before the second, not behind the first.
    l2: times the parameters is added to the gradient, before Adam.
    clip, penalty: of the logits (`losses.classification_loss`).
    rounded: in training, the operands of the product with the features are rounded to bfloat16, and
      dropout has 16 random bits a unit, which takes a CPU less time; test accuracies are of float32
      products.
    """

    hidden: int
    dropout: float
    standardise: bool
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int
    averaged_epochs: int
    fits: int
    around: bool = False
    factor: float = 0.1
    l2: float = 0.0
    clip: float | None = None
    penalty: float = 0.0
    rounded: bool = False


_AMDIM = dict(hidden=1024, dropout=0.2, around=True)

# The paper's network, tuned once for speed on 10,000 held-out CIFAR-10 training images, features of
# a briefly trained encoder: conv 67.5, fc 63.2, y 58.8; the best of rates 3e-4 to 1e-2, batches
# 256 to 1,024 and 5 to 40 epochs 67.7, 63.3 and 59.9, for up to four times the work.
_FAST = Protocol(
    hidden=200,
    dropout=0.1,
    standardise=True,
    learning_rate=5e-3,
    betas=(0.9, 0.999),
    milestones=None,
    batch=512,
    epochs=10,
    min_steps=200,
    averaged_epochs=1,
    fits=3,
)

PROTOCOLS = Protocols(
    "MLP",
    {
        # Hjelm et al. 2019, section 4.2, and the official code (classifier.py,
        # classification_eval.py): as the paper reports it, the mean test accuracy over the last 100
        # epochs. The features enter as they are. Differs: the encoder's batch norm runs in
        # inference mode (the released scripts leave it open). 782,000 steps on CIFAR-10: some
        # ten minutes of a CPU's core for 64 features, a GPU or TPU for the 4,096 of conv.
        "mlp-paper-v1": Protocol(
            hidden=200,
            dropout=0.1,
            standardise=False,
            learning_rate=1e-4,
            betas=(0.5, 0.999),
            milestones=(50, 100),
            batch=64,
            epochs=1000,
            min_steps=0,
            averaged_epochs=100,
            fits=1,
        ),
        "mlp-v1": _FAST,
        "mlp-v2": _FAST._replace(rounded=True),
        # On a GPU or TPU.
        "amdim-mlp-v1": Protocol(**_AMDIM, **networks.AMDIM),
        "amdim-imagenet-mlp-v1": Protocol(**_AMDIM, **networks.AMDIM_IMAGENET),
    },
)


def accuracies(settings: Protocol, task: labelled.Task) -> np.ndarray:
    """The test accuracy f[fits] of each fit, or of one fit on each label subset."""
    sizes = (task.train.features.shape[1], settings.hidden, task.classes)
    loss = _loss(
        *(settings.dropout, settings.around, settings.clip, settings.penalty, settings.rounded)
    )
    network = networks.Network(functools.partial(init, sizes), loss, _logits)
    return networks.accuracies(settings, task, network)


EVALUATION = labelled.probe(accuracies, PROTOCOLS, "mlp-v1", in_passes=True)
evaluate = EVALUATION.evaluate


def init(
    sizes: tuple[int, int, int], count: int, random: np.random.Generator
) -> tuple[fit.Tree, fit.Tree]:
    """Parameters and batch statistics of `count` networks (features, hidden units, classes).

    Affine maps start as `networks.affine_start`.
    """
    features, hidden, classes = sizes
    zeros, ones = np.zeros((count, hidden), np.float32), np.ones((count, hidden), np.float32)
    params = {
        "hidden": networks.affine_start(features, hidden, count, random),
        "scale": ones,
        "shift": zeros,
        "classes": networks.affine_start(hidden, classes, count, random),
    }
    return params, {"mean": zeros, "variance": ones}


def _normed(params: fit.Tree, hidden: jax.Array, mean: jax.Array, variance: jax.Array):
    normed = (hidden - mean) * jax.lax.rsqrt(variance + _EPSILON)
    return jax.nn.relu(normed * params["scale"] + params["shift"])


@functools.cache  # one function for equal settings, so that equal fits are compiled once
def _loss(
    dropout: float,
    around: bool = False,
    clip: float | None = None,
    penalty: float = 0.0,
    rounded: bool = False,
):
    affine = _rounded_affine if rounded else networks.affine

    def dropped(rows, key):
        if rounded:
            keep = jax.random.bits(key, rows.shape, "uint16") >= round(dropout * 2**16)
        else:
            keep = jax.random.bernoulli(key, 1 - dropout, rows.shape)
        return jnp.where(keep, rows / (1 - dropout), 0.0)

    def loss(params, state, rows, labels, key):
        first, second = jax.random.split(key) if around else (key, key)
        hidden = affine(params["hidden"], dropped(rows, first) if around else rows)
        hidden = hidden if around else dropped(hidden, key)
        mean, variance = jnp.mean(hidden, axis=0), jnp.var(hidden, axis=0)
        active = _normed(params, hidden, mean, variance)
        logits = networks.affine(params["classes"], dropped(active, second) if around else active)
        state = {
            "mean": _MOMENTUM * state["mean"] + (1 - _MOMENTUM) * mean,
            "variance": _MOMENTUM * state["variance"] + (1 - _MOMENTUM) * variance,
        }
        return losses.classification_loss(logits, labels, clip=clip, penalty=penalty)[0], state

    return loss


def _rounded_affine(params: fit.Tree, rows: jax.Array) -> jax.Array:
    with products.compute_dtype("bfloat16"):
        return products.dot_of_rows(rows, params["weight"]) + params["bias"]


def _logits(params: fit.Tree, state: fit.Tree, rows: jax.Array) -> jax.Array:
    hidden = networks.affine(params["hidden"], rows)
    return networks.affine(params["classes"], _normed(params, hidden, **state))
