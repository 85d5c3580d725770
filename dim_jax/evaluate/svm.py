"""A linear support vector machine on frozen features: test accuracy.

Source: Hjelm et al. 2019, section 4.2; LIBLINEAR (Fan et al. 2008) for the objective.
"""

import functools
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import accuracy, hinge, protocols

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = accuracy.TAPS
PROTOCOL = protocols.Svm


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "svm-v1",
    taps: Iterable[str] = TAPS,
    labels_per_class: int | None = None,
    subsets: int = 3,
) -> dict[str, float]:
    """Test accuracy of one-vs-rest linear SVMs on each tap, as "<tap>/accuracy" in [0, 1].

    Args:
      protocol: a name of `protocols.PROTOCOLS`; it holds every setting.
      labels_per_class: train on so many labels of each class only, drawn at random; None = all.
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
        standardise=True,
        taps=taps,
        labels_per_class=labels_per_class,
        subsets=subsets,
    )


def accuracies(settings: protocols.Svm, task: accuracy.Task) -> np.ndarray:
    """The test accuracy f[1], or f[subsets] with one for each label subset."""
    results = []
    for members in [None] if task.subsets is None else task.subsets:
        rows, labels = task.train
        if members is not None:
            rows, labels = rows[members], labels[members]
        centred = members is None  # standardised over these very rows
        rows, to_solved = compact(rows, centred)
        machines = fitted(settings, rows, labels, task.classes, task.seed)
        scores = hinge.scores(machines, to_solved(task.test.features))
        results.append(np.mean(np.argmax(scores, axis=-1) == task.test.labels))
    return np.array(results)


def fitted(
    settings: protocols.Svm, rows: jax.Array, labels: np.ndarray, classes: int, seed: int
) -> hinge.Machines:
    """Machines for all rows, centred, of the strength that is best on held-out parts of them."""
    targets = jnp.asarray(np.where(labels[:, None] == np.arange(classes), 1.0, -1.0), jnp.float32)
    costs = np.asarray(settings.strengths, np.float32) / len(labels)
    bound = hinge.quadratic_bound(rows)

    def solved(cost, used, start):
        problem = hinge.Problem(rows, targets, bound, cost, used)
        return hinge.solve(problem, start, tolerance=settings.tolerance, steps=settings.max_steps)

    parts = stratified(labels, settings.parts, np.random.default_rng([seed, 3]))
    correct = np.zeros(len(costs))
    for part in range(settings.parts if len(labels) < settings.rotate_below else 1):
        used = jnp.asarray(parts != part, jnp.float32)
        path = [hinge.Machines(jnp.zeros((classes, rows.shape[1])), jnp.zeros(classes))]
        for index, cost in enumerate(costs):  # each starts where the one before ended
            path.append(solved(cost, used, path[-1]))
            right = np.argmax(hinge.scores(path[-1], rows), axis=-1) == labels
            correct[index] += right[parts == part].sum()
    # Of equally good ones argmax takes the first, the most regularised.
    best = int(np.argmax(correct))
    return solved(costs[best], jnp.ones(len(labels)), path[best + 1])


def compact(rows: jax.Array, centred: bool):
    """Centred rows in at most as many dimensions as there are rows, and the map that does it.

    The solution lies in the span of the centred rows, so nothing changes but the cost.
    """
    mean = 0.0 if centred else jnp.mean(rows, axis=0)
    if rows.shape[1] <= len(rows):
        return (rows, lambda others: others) if centred else (rows - mean, lambda o: o - mean)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # as in hinge.quadratic_bound
        basis = jax.block_until_ready(jnp.linalg.qr((rows - mean).T)[0])
    return (rows - mean) @ basis, lambda others: (others - mean) @ basis


def stratified(labels: np.ndarray, parts: int, random: np.random.Generator) -> np.ndarray:
    """A part number in [0, parts) for every example, each class spread evenly, at random."""
    part = np.empty(len(labels), np.int32)
    for index, label in enumerate(np.unique(labels)):
        members = random.permutation(np.flatnonzero(labels == label))
        part[members] = (np.arange(len(members)) + index) % parts  # rare classes do not pile up
    return part
