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
from dim_jax.nets import products

_QUERIES = 500  # at a time: their similarities to all training images are in memory at once
_GROUP = 32  # similarities of which only the largest is compared first
_WIDE = 512  # features from which on candidates are chosen by products in bfloat16
_CANDIDATES = 4  # for each neighbour; the exact similarities of all candidates are compared


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
    rounded = rows.astype(jnp.bfloat16) if rows.shape[1] >= _WIDE else None
    votes = functools.partial(
        _vote,
        neighbours=min(settings.neighbours, len(rows)),
        temperature=settings.temperature,
        classes=classes,
    )
    starts = range(0, len(queries), _QUERIES)
    return np.concatenate([votes(rows, rounded, labels, queries[i : i + _QUERIES]) for i in starts])


@jax.jit
def _unit(rows: jax.Array) -> jax.Array:
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@functools.partial(jax.jit, static_argnames=("neighbours", "temperature", "classes"))
def _vote(rows, rounded, labels, queries, *, neighbours: int, temperature: float, classes: int):
    queries = _unit(queries)
    if rounded is None:
        cosines, nearest = largest(queries @ rows.T, neighbours)
    else:
        cosines, nearest = _by_candidates(queries, rows, rounded, neighbours)
    weights = jnp.exp((cosines - 1) / temperature)  # the shift cancels and keeps exp from overflow
    votes = jnp.einsum("qk,qkc->qc", weights, jax.nn.one_hot(labels[nearest], classes))
    return jnp.argmax(votes, axis=1)


def _by_candidates(queries, rows, rounded, count: int) -> tuple[jax.Array, jax.Array]:
    """As `largest` of all similarities, which are computed for candidates alone.

    The candidates have the largest products in bfloat16, which takes a CPU half the time. Rounding
    changes a similarity by less than 0.004 and mostly by a hundredth of that.
    """
    similar = products.contract(queries.astype(jnp.bfloat16), rounded, 1, 1)
    candidates = jnp.sort(largest(similar, min(_CANDIDATES * count, len(rows)))[1], axis=1)
    cosines = jax.lax.map(lambda pair: rows[pair[1]] @ pair[0], (queries, candidates))
    cosines, places = jax.lax.top_k(cosines, count)
    return cosines, jnp.take_along_axis(candidates, places, axis=1)


def largest(scores: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`jax.lax.top_k` of scores f[q,n]: f[q,count] and positions i32[q,count], in less time.

    The `count` largest are in the `count` groups with the largest maxima; only these are sorted.
    Of equal scores the first come first, as there.
    """
    rows, columns = scores.shape
    groups = columns // _GROUP
    if groups <= count:
        return jax.lax.top_k(scores, count)
    grouped = scores[:, : groups * _GROUP].reshape(rows, groups, _GROUP)
    chosen = jnp.sort(jax.lax.top_k(jnp.max(grouped, axis=-1), count)[1], axis=1)
    # What is left of the columns is no group, and all of it is compared.
    rest = jnp.broadcast_to(jnp.arange(groups * _GROUP, columns), (rows, columns % _GROUP))
    members = (chosen[..., None] * _GROUP + jnp.arange(_GROUP)).reshape(rows, -1)
    members = jnp.concatenate([members, rest], axis=1)
    values, places = jax.lax.top_k(jnp.take_along_axis(scores, members, axis=1), count)
    return values, jnp.take_along_axis(members, places, axis=1)
