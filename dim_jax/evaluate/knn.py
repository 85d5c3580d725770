"""The k-nearest-neighbours vote: test accuracy without any training.

Source: Wu et al. 2018, section 3.4.
"""

import functools
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import accuracy, protocols

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = accuracy.TAPS
PROTOCOL = protocols.Knn

_QUERIES = 500  # at a time: their similarities to all training images are in memory at once


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "knn-v1",
    taps: Iterable[str] = TAPS,
    labels_per_class: int | None = None,
    subsets: int = 3,
) -> dict[str, float]:
    """Test accuracy of the neighbours' vote on each tap, as "<tap>/accuracy" in [0, 1].

    Args:
      protocol: a name of `protocols.PROTOCOLS`; it holds every setting.
      labels_per_class: only so many training images of each class vote, drawn at random.
      subsets: how many such draws; their mean and deviation are the result.

    Returns:
      as `accuracy.evaluate`.

    Raises:
      UserError: an unknown protocol or tap, missing labels, or too few of them.
    """
    settings = protocols.find(protocol, PROTOCOL)
    return accuracy.evaluate(
        functools.partial(accuracies, settings),
        frozen,
        splits,
        rng,
        standardise=False,
        taps=taps,
        labels_per_class=labels_per_class,
        subsets=subsets,
    )


def accuracies(settings: protocols.Knn, task: accuracy.Task) -> np.ndarray:
    """The test accuracy f[1], or f[subsets] with one for each label subset."""
    every = np.arange(len(task.train.labels), dtype=np.int32)[None]
    results = []
    for members in every if task.subsets is None else task.subsets:
        rows, labels = task.train.features, task.train.labels
        if task.subsets is not None:
            rows, labels = rows[members], labels[members]
        predicted = predict(settings, rows, labels, task.test.features, task.classes)
        results.append(np.mean(predicted == task.test.labels))
    return np.array(results)


def predict(
    settings: protocols.Knn, rows: jax.Array, labels: np.ndarray, queries: jax.Array, classes: int
) -> np.ndarray:
    """The class i32[q] that the neighbours of each query f[q,d] among rows f[n,d] vote for."""
    rows, labels = _unit(rows), jnp.asarray(labels)
    votes = functools.partial(
        _vote,
        neighbours=min(settings.neighbours, len(rows)),
        temperature=settings.temperature,
        classes=classes,
    )
    starts = range(0, len(queries), _QUERIES)
    return np.concatenate([votes(rows, labels, queries[i : i + _QUERIES]) for i in starts])


@jax.jit
def _unit(rows: jax.Array) -> jax.Array:
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@functools.partial(jax.jit, static_argnames=("neighbours", "temperature", "classes"))
def _vote(rows, labels, queries, *, neighbours: int, temperature: float, classes: int):
    cosines, nearest = jax.lax.top_k(_unit(queries) @ rows.T, neighbours)
    weights = jnp.exp((cosines - 1) / temperature)  # the shift cancels and keeps exp from overflow
    votes = jnp.einsum("qk,qkc->qc", weights, jax.nn.one_hot(labels[nearest], classes))
    return jnp.argmax(votes, axis=1)
