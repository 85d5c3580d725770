"""The MLP probe: test accuracy of a network with one hidden layer on frozen features.

Source: Hjelm et al. 2019, section 4.2; official DIM code, classifier.py (order of the layers).
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax.evaluate import accuracy, fit, kinds

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = accuracy.TAPS
PROTOCOL = kinds.Mlp

_MOMENTUM, _EPSILON = 0.9, 1e-5  # PyTorch's batch norm, with which the paper's probes were made


def accuracies(settings: kinds.Mlp, task: accuracy.Task) -> np.ndarray:
    """The test accuracy f[fits] of each fit, or of one fit on each label subset."""
    members = task.subsets
    if members is None:
        members = np.arange(len(task.train.labels), dtype=np.int32)
    examples = (task.train.features, jnp.asarray(task.train.labels))
    per_pass, passes = fit.duration(settings, members.shape[-1])
    transformation = _optimizer(settings, per_pass, passes)
    random = np.random.default_rng([task.seed, 2])
    count = settings.fits if members.ndim == 1 else len(members)
    sizes = (examples[0].shape[1], settings.hidden, task.classes)
    fits = fit.start(*init(sizes, count, random), transformation)
    keys = jax.random.split(jax.random.key(task.seed), count)
    loss = _loss(settings.dropout)
    orders = fit.orders(members, settings.batch, random)
    results = []
    for index, order in enumerate(itertools.islice(orders, passes)):
        fits = fit.one_pass(
            fits,
            examples,
            order,
            jax.vmap(jax.random.fold_in, (0, None))(keys, index),
            loss=loss,
            transformation=transformation,
        )
        if index >= passes - settings.averaged_epochs:
            results.append(_accuracy(fits, task.test.features, task.test.labels))
    return np.mean(results, axis=0)


evaluate = accuracy.evaluation(accuracies, PROTOCOL, "mlp-v1")


def init(
    sizes: tuple[int, int, int], count: int, random: np.random.Generator
) -> tuple[fit.Tree, fit.Tree]:
    """Parameters and batch statistics of `count` networks (features, hidden units, classes).

    Weights and biases are uniform within 1/sqrt(fan-in), the default of the official code's
    framework. Weights are [out, in]: the faster layout for the gradient's product.
    """
    features, hidden, classes = sizes

    def linear(outputs, inputs):
        shapes = {"weight": (count, outputs, inputs), "bias": (count, outputs)}
        bound = 1 / math.sqrt(inputs)
        return {
            name: random.uniform(-bound, bound, shape).astype(np.float32)
            for name, shape in shapes.items()
        }

    zeros, ones = np.zeros((count, hidden), np.float32), np.ones((count, hidden), np.float32)
    params = {
        "hidden": linear(hidden, features),
        "scale": ones,
        "shift": zeros,
        "classes": linear(classes, hidden),
    }
    return params, {"mean": zeros, "variance": ones}


def _linear(params: fit.Tree, inputs: jax.Array) -> jax.Array:
    return inputs @ params["weight"].T + params["bias"]


def _head(params: fit.Tree, hidden: jax.Array, mean: jax.Array, variance: jax.Array) -> jax.Array:
    normed = (hidden - mean) * jax.lax.rsqrt(variance + _EPSILON)
    return _linear(params["classes"], jax.nn.relu(normed * params["scale"] + params["shift"]))


@functools.cache  # one function for each rate, so that equal fits are compiled once
def _loss(dropout: float):
    def loss(params, state, rows, labels, key):
        hidden = _linear(params["hidden"], rows)
        keep = jax.random.bernoulli(key, 1 - dropout, hidden.shape)
        hidden = jnp.where(keep, hidden / (1 - dropout), 0.0)
        mean, variance = jnp.mean(hidden, axis=0), jnp.var(hidden, axis=0)
        logits = _head(params, hidden, mean, variance)
        state = {
            "mean": _MOMENTUM * state["mean"] + (1 - _MOMENTUM) * mean,
            "variance": _MOMENTUM * state["variance"] + (1 - _MOMENTUM) * variance,
        }
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses), state

    return loss


def _optimizer(settings: kinds.Mlp, per_pass: int, passes: int):
    return fit.adam(settings.learning_rate, settings.betas, settings.milestones, per_pass, passes)


@jax.jit
def _accuracy(fits: fit.Fits, rows: jax.Array, labels: jax.Array) -> jax.Array:
    def one(params, state):
        logits = _head(params, _linear(params["hidden"], rows), state["mean"], state["variance"])
        return jnp.mean(jnp.argmax(logits, axis=-1) == labels)

    return jax.vmap(one)(fits.params, fits.state)
