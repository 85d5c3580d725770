"""The k-nearest-neighbours vote: test accuracy without any training.

Source: Wu et al. 2018, section 3.4.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax.evaluate import kinds
from dim_jax.evaluate.probes import labelled

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = labelled.TAPS
PROTOCOL = kinds.Knn

_QUERIES = 500  # at a time: their similarities to all training images are in memory at once


def accuracies(settings: kinds.Knn, task: labelled.Task) -> np.ndarray:
    """The test accuracy f[1], or f[subsets] with one for each label subset."""
    results = []
    for rows, labels in task.portions():
        predicted = predict(settings, rows, labels, task.test.features, task.classes)
        results.append(np.mean(predicted == task.test.labels))
    return np.array(results)


evaluate = labelled.evaluation(accuracies, PROTOCOL, "knn-v1")


def predict(
    settings: kinds.Knn, rows: jax.Array, labels: np.ndarray, queries: jax.Array, classes: int
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
