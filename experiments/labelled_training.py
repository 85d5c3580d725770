"""Supervised training of an encoder with a classifier on some labelled images, compiled once.

The classifier is that of the supervised reference: one hidden layer on the map `conv`. Images are
flipped and shifted, the learning rate falls along half a cosine to zero, and of the networks at
several steps the one with the best accuracy on validation images is kept.
"""

import functools
import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax import augment, build, contracts, data, losses
from dim_jax.nets import heads, products, pure

BATCH = 32
_DISPATCH = 25  # steps
_CHECKS = 5  # networks between which the validation images choose
_RATE = 1e-3
_ENCODED = 250  # images at a time
_CHANGE = augment.pipeline(flip=True, translate=4)
_GREY = ((0.5,) * 3, (0.5,) * 3)  # mean and deviation: pixels in [-1, 1]


class Images(NamedTuple):
    """Images u8[n,h,w,c] and labels i32[n]."""

    images: np.ndarray
    labels: np.ndarray


class _State(NamedTuple):
    params: contracts.Tree
    stats: contracts.Tree
    moments: contracts.Tree


@functools.cache
def network(encoder: str, classes: int) -> pure.Net:
    """The encoder, its block as JSON, with the classifier; one object, so that it compiles once."""
    classifier = heads.classifier(hidden=200, dropout=0.1, classes=classes)
    return pure.classified(build.make("encoder", json.loads(encoder)), classifier, "conv")


def train(
    net: pure.Net,
    start: contracts.Tree | None,
    train: Images,
    members: np.ndarray,
    validation: Images,
    test: Images,
    *,
    steps: int,
    seed: int,
) -> dict[str, Any]:
    """Accuracies of the network that was trained on the images at `members`.

    Args:
      net: as of `network`.
      start: (params, stats) of the encoder; None = random ones.
      steps: a multiple of 25.

    Returns:
      "test" and "validation" of the network that is kept, the "step" at which it stood, "fitted",
      its accuracy on the labelled images, and "checks", the validation accuracy at each check.
    """
    key = jax.random.key(seed)
    params, stats = jax.jit(net.init)(key, jnp.zeros((2, *train.images.shape[1:])))
    if start is not None:
        params, stats = (
            {**each, "encoder": of} for each, of in zip((params, stats), start, strict=True)
        )
    state = _State(params, stats, optax.scale_by_adam().init(params))
    images, labels = jnp.asarray(train.images), jnp.asarray(train.labels)
    random = np.random.default_rng([seed, len(members)])
    between = _between(steps)
    best, checks = None, []
    for first in range(0, steps, _DISPATCH):
        picked = jnp.asarray(_picked(members, random))
        state = _steps(net, state, images, labels, picked, key, first, steps)
        done = first + _DISPATCH
        if done % between == 0 or done == steps:
            checks.append(accuracy(net, state, validation))
            if best is None or checks[-1] >= best[0]:
                best = (checks[-1], done, state)
    value, step, state = best
    labelled = Images(train.images[members], train.labels[members])
    return {
        "test": accuracy(net, state, test),
        "validation": value,
        "step": step,
        "fitted": accuracy(net, state, Images(*(each[:1000] for each in labelled))),
        "checks": checks,
    }


def _between(steps: int) -> int:
    """Steps from one check to the next."""
    return max(1, round(steps / _DISPATCH / _CHECKS)) * _DISPATCH


def _picked(members: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The positions i32[25, 32] of the images of a dispatch, each subset shuffled and repeated."""
    count = _DISPATCH * BATCH
    passes = -(-count // len(members))
    order = np.concatenate([random.permutation(members) for _ in range(passes)])
    return order[:count].reshape(_DISPATCH, BATCH).astype(np.int32)


@functools.partial(jax.jit, static_argnames="net")
def _steps(net, state: _State, images, labels, picked, key, first, total) -> _State:
    """The state after a dispatch."""

    def loss(params, stats, batch, wanted, rng):
        taps, stats = net.apply(params, stats, batch, train=True, rng=rng)
        return losses.classification_loss(taps["logits"], wanted)[0], stats

    slopes = jax.grad(products.computed_in(loss, "bfloat16"), has_aux=True)

    def step(carry, scanned):
        state, number = carry
        change_key, key_of_step = jax.random.split(jax.random.fold_in(key, number))
        batch = data.normalise(_CHANGE(change_key, images[scanned]), *_GREY)
        gradient, stats = slopes(state.params, state.stats, batch, labels[scanned], key_of_step)
        directions, moments = optax.scale_by_adam().update(gradient, state.moments)
        rate = _RATE * 0.5 * (1 + jnp.cos(jnp.pi * number / total))
        params = jax.tree.map(lambda p, d: p - rate * d, state.params, directions)
        return (_State(params, stats, moments), number + 1), None

    return jax.lax.scan(step, (state, first), picked)[0][0]


def accuracy(net: pure.Net, state: _State, images: Images) -> float:
    """The share of the images whose class is predicted."""
    right = 0
    for first in range(0, len(images.labels), _ENCODED):
        part = images.images[first : first + _ENCODED]
        padded = np.concatenate([part, np.zeros((_ENCODED - len(part), *part.shape[1:]), np.uint8)])
        predicted = np.asarray(_predicted(net, state.params, state.stats, padded))[: len(part)]
        right += int(np.sum(predicted == images.labels[first : first + _ENCODED]))
    return right / len(images.labels)


@functools.partial(jax.jit, static_argnames="net")
def _predicted(net, params, stats, images) -> jax.Array:
    taps, _ = net.apply(params, stats, data.normalise(images, *_GREY), train=False)
    return taps["logits"].argmax(-1)
