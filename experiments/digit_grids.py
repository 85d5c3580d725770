"""Pairs of grids of MNIST digits whose mutual information is known, and a probe of every position.

A grid is n digits side by side, 28 pixels high and 28 n wide, of classes drawn uniformly and
independently. The second grid of a pair shows at each position another image, of the class after
the first one's (0 after 9). Given the classes the two grids are independent, so that their
information is that of the classes, n log 10 nats, as far as an image tells its class.

Source: Ozair et al. 2019 (from memory); MNIST in the place of their characters.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax import settings
from dim_jax.data import tfds_arrays

CLASSES, SIDE = 10, 28
_RATE, _BATCH = 2e-3, 512  # of the probe, as in "linear-v1"


class Digits(NamedTuple):
    """Images u8[m,28,28] in the order of their classes; where each class starts, and its count."""

    images: jax.Array
    starts: jax.Array
    counts: jax.Array


def load(split: str) -> Digits:
    """The digits of MNIST's split "train" or "test", from TensorFlow Datasets."""
    source = tfds_arrays.open_(settings.Data(name="mnist")).sources[split]
    examples = source.read(range(len(source)))
    return sort(examples.images[..., 0], examples.labels)


def sort(images: np.ndarray, labels: np.ndarray) -> Digits:
    """Digits of images u8[m,28,28] and labels i32[m], in which every class occurs."""
    counts = np.bincount(labels, minlength=CLASSES)
    order = np.argsort(labels, kind="stable")
    starts = np.cumsum(counts) - counts
    return Digits(*map(jnp.asarray, (images[order], starts, counts)))


def information(n: int) -> float:
    """The mutual information of a pair of grids of n digits, in nats."""
    return n * math.log(CLASSES)


def grids(digits: Digits, classes: jax.Array, rng: jax.Array) -> jax.Array:
    """Grids f32[b,28,28n,1] in [0, 1] of random images of the classes i32[b,n]."""
    b, n = classes.shape
    draws = jax.random.uniform(rng, classes.shape) * digits.counts[classes]
    # Rounding may bring a draw below 1 to the count itself.
    draws = jnp.minimum(draws.astype(jnp.int32), digits.counts[classes] - 1)
    images = digits.images[digits.starts[classes] + draws].astype(jnp.float32) / 255
    return images.transpose(0, 2, 1, 3).reshape(b, SIDE, SIDE * n, 1)


def pairs(digits: Digits, rng: jax.Array, batch: int, n: int) -> tuple[jax.Array, jax.Array]:
    """Both grids of each pair, f32[2,b,28,28n,1], and the classes of the first one, i32[b,n]."""
    of_classes, *of_images = jax.random.split(rng, 3)
    classes = jax.random.randint(of_classes, (batch, n), 0, CLASSES)
    sides = zip((classes, (classes + 1) % CLASSES), of_images, strict=True)
    return jnp.stack([grids(digits, side, key) for side, key in sides]), classes


@functools.partial(jax.jit, static_argnames="steps")
def probe(
    train: tuple[jax.Array, jax.Array],
    test: tuple[jax.Array, jax.Array],
    rng: jax.Array,
    *,
    steps: int,
) -> tuple[jax.Array, jax.Array]:
    """The accuracies f32[n] of a linear classifier of each position, on both sets.

    A softmax of an affine map of standardised features for each position, all of them fitted
    together by Adam with a cosine to 0; `steps` of 512 examples.

    Args:
      train, test: features f32[m,d] and classes i32[m,n].
    """
    mean, deviation = train[0].mean(0), train[0].std(0) + 1e-6
    (rows, labels), (test_rows, test_labels) = (
        ((features - mean) / deviation, classes) for features, classes in (train, test)
    )
    n, optimizer = labels.shape[1], optax.adam(optax.cosine_decay_schedule(_RATE, steps))
    params = jnp.zeros((rows.shape[1], n * CLASSES)), jnp.zeros(n * CLASSES)

    def logits(params, rows):
        return (rows @ params[0] + params[1]).reshape(-1, n, CLASSES)

    def loss(params, rows, labels):
        costs = optax.softmax_cross_entropy_with_integer_labels(logits(params, rows), labels)
        return costs.mean(0).sum()

    def step(carry, key):
        params, state = carry
        chosen = jax.random.randint(key, (_BATCH,), 0, len(rows))
        gradient = jax.grad(loss)(params, rows[chosen], labels[chosen])
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    start = params, optimizer.init(params)
    (params, _), _ = jax.lax.scan(step, start, jax.random.split(rng, steps))

    def accuracies(rows, labels):
        return jnp.mean(jnp.argmax(logits(params, rows), -1) == labels, axis=0)

    return accuracies(rows, labels), accuracies(test_rows, test_labels)
