"""The MLP probe: test accuracy of a network with one hidden layer on frozen features.

Source: Hjelm et al. 2019, section 4.2; official DIM code, classifier.py (order of the layers).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import losses
from dim_jax.evaluate import fit, kinds
from dim_jax.evaluate.probes import labelled, networks

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = labelled.TAPS
PROTOCOL = kinds.Mlp

_MOMENTUM, _EPSILON = 0.9, 1e-5  # PyTorch's batch norm, with which the paper's probes were made


def accuracies(settings: kinds.Mlp, task: labelled.Task) -> np.ndarray:
    """The test accuracy f[fits] of each fit, or of one fit on each label subset."""
    sizes = (task.train.features.shape[1], settings.hidden, task.classes)
    loss = _loss(settings.dropout, settings.around, settings.clip, settings.penalty)
    network = networks.Network(functools.partial(init, sizes), loss, _logits)
    return networks.accuracies(settings, task, network)


evaluate = labelled.evaluation(accuracies, PROTOCOL, "mlp-v1")


def init(
    sizes: tuple[int, int, int], count: int, random: np.random.Generator
) -> tuple[fit.Tree, fit.Tree]:
    """Parameters and batch statistics of `count` networks (features, hidden units, classes).

    Affine maps start as `probes.affine_start`.
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
def _loss(dropout: float, around: bool = False, clip: float | None = None, penalty: float = 0.0):
    def dropped(rows, key):
        keep = jax.random.bernoulli(key, 1 - dropout, rows.shape)
        return jnp.where(keep, rows / (1 - dropout), 0.0)

    def loss(params, state, rows, labels, key):
        first, second = jax.random.split(key) if around else (key, key)
        hidden = networks.affine(params["hidden"], dropped(rows, first) if around else rows)
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


def _logits(params: fit.Tree, state: fit.Tree, rows: jax.Array) -> jax.Array:
    hidden = networks.affine(params["hidden"], rows)
    return networks.affine(params["classes"], _normed(params, hidden, **state))
