"""Small networks on frozen features: their initialisation, fit and accuracy."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax.data import random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import fit
from dim_jax.evaluate.probes import labelled

# Bachman et al. 2019 and the official AMDIM code (task_classifiers.py, costs.py), on CIFAR and
# STL-10. Differs: no warm-up; images are changed at random, as there, with the option
# `augmentations`.
AMDIM = dict(
    standardise=False,
    learning_rate=2e-4,
    betas=(0.8, 0.999),
    milestones=(80, 110),
    batch=480,
    epochs=120,
    min_steps=0,
    averaged_epochs=1,
    fits=1,
    **dict(factor=0.2, l2=1e-5, clip=10.0, penalty=1e-3),
)
AMDIM_IMAGENET = AMDIM | dict(milestones=(15, 25), epochs=30)
AMDIM_PLACES = AMDIM | dict(milestones=(7, 12), epochs=15)


class Network(NamedTuple):
    """A probe as pure functions.

    init(count, random) -> (params, state): of `count` networks, stacked along the first axis
    loss(params, state, rows f32[b,d], labels i32[b], key) -> (f32[], state): in training mode
    logits(params, state, rows f32[n,d]) -> f32[n,k]: in evaluation mode
    """

    init: Callable[..., tuple[fit.Tree, fit.Tree]]
    loss: Callable[..., tuple[jax.Array, fit.Tree]]
    logits: Callable[..., jax.Array]


def accuracies(settings: Any, task: labelled.Task, network: Network) -> np.ndarray:
    """The test accuracy f[fits] of each fit, or of one fit on each label subset.

    Args:
      settings: such as `mlp.Protocol` or `linear.Protocol`.
      network: its `loss` and `logits` are the same objects for equal settings, so that equal fits
        are compiled once.
    """
    members, size = task.subsets, len(task.train.labels) // task.copies
    if members is None:
        members = np.arange(size, dtype=np.int32)
    examples = (task.train.features, jnp.asarray(task.train.labels))
    per_pass, passes = fit.duration(settings, members.shape[-1])
    transformation = optimizer(settings, per_pass, passes)
    random = random_streams.generator(Stream.NETWORK_FIT, task.seed)
    count = settings.fits if members.ndim == 1 else len(members)
    fits = fit.start(*network.init(count, random), transformation)
    keys = jax.random.split(jax.random.key(task.seed), count)
    orders = fit.orders(members, settings.batch, random)
    results = []
    for index, order in enumerate(itertools.islice(orders, passes)):
        fits = fit.one_pass(
            fits,
            examples,
            order + size * (index % task.copies),
            jax.vmap(jax.random.fold_in, (0, None))(keys, index),
            loss=network.loss,
            transformation=transformation,
        )
        if index >= passes - settings.averaged_epochs:
            test = (task.test.features, jnp.asarray(task.test.labels))
            results.append(_accuracy(fits, *test, logits=network.logits))
    return np.mean(results, axis=0)


def optimizer(settings: Any, per_pass: int, passes: int) -> optax.GradientTransformation:
    """Adam as the settings say."""
    return fit.adam(
        *(settings.learning_rate, settings.betas, settings.milestones, per_pass, passes),
        factor=settings.factor,
        l2=settings.l2,
    )


def affine_start(
    inputs: int, outputs: int, count: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """`count` affine maps, weight f[count,outputs,inputs] and bias f[count,outputs].

    Uniform within 1/sqrt(fan-in), the default of the official code's framework. Weights are
    [out, in]: the faster layout for the gradient's product.
    """
    shapes = {"weight": (count, outputs, inputs), "bias": (count, outputs)}
    bound = 1 / math.sqrt(inputs)
    return {
        name: random.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def affine(params: fit.Tree, inputs: jax.Array) -> jax.Array:
    """One such map, f[n,inputs] -> f[n,outputs]."""
    return inputs @ params["weight"].T + params["bias"]


@functools.partial(jax.jit, static_argnames="logits")
def _accuracy(fits: fit.Fits, rows: jax.Array, labels: jax.Array, *, logits) -> jax.Array:
    def one(params, state):
        return jnp.mean(jnp.argmax(logits(params, state, rows), axis=-1) == labels)

    return jax.vmap(one)(fits.params, fits.state)
