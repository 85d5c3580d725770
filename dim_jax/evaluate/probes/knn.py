"""The k-nearest-neighbours vote: test accuracy without any training.

Source: Wu et al. 2018, section 3.4.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax.evaluate.probes import labelled
from dim_jax.evaluate.protocols import Protocols

_QUERIES = 500  # at a time: their similarities to all training images are in memory at once


class Protocol(NamedTuple):
    """Vote of the nearest training examples by cosine, each weighted exp(cosine / temperature).

    standardise: as in `mlp.Protocol`.
    """

    standardise: bool
    neighbours: int
    temperature: float


PROTOCOLS = Protocols(
    "kNN",
    {
        # Wu et al. 2018, section 3.4 (weighted vote, temperature 0.07); Caron et al. 2021 (k = 20).
        "knn-v1": Protocol(standardise=False, neighbours=20, temperature=0.07),
    },
)


def accuracies(settings: Protocol, task: labelled.Task) -> np.ndarray:
    """The test accuracy f[1], or f[subsets] with one for each label subset."""
    results = []
    for rows, labels in task.portions():
        predicted = predict(settings, rows, labels, task.test.features, task.classes)
        results.append(np.mean(predicted == task.test.labels))
    return np.array(results)


EVALUATION = labelled.probe(accuracies, PROTOCOLS, "knn-v1")
evaluate = EVALUATION.evaluate


def predict(
    settings: Protocol, rows: jax.Array, labels: np.ndarray, queries: jax.Array, classes: int
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
