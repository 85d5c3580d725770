"""A linear support vector machine on frozen features: test accuracy.

Source: Hjelm et al. 2019, section 4.2; LIBLINEAR (Fan et al. 2008) for the objective.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

from dim_jax.data import random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import gram
from dim_jax.evaluate.probes import labelled, svm_solver
from dim_jax.evaluate.protocols import Protocols


class Protocol(NamedTuple):
    """One-vs-rest linear SVM with an intercept, solved to convergence.

    Minimises, per class, |w|^2 / 2 + (strength / n) * sum of loss(1 - t (w.x + b)) over the n
    examples, t = +-1; strength / n is LIBLINEAR's C. The problem is convex, so a fit differs from
    another by its data alone.

    standardise: as in `mlp.Protocol`.
    width, rounds: None = squared hinge, max(0, u)^2; a number = hinge, max(0, u), rounded over this
      much of u and solved `rounds` times, less rounded each time (`svm_solver` states the error).
    fits: 1, or k fits, at most `parts`. Fit k leaves the k-th part of the training examples out,
      has the strength that is best on it, and is trained on the others; n counts them all. With
      label subsets there is one fit for each, as with `fits` 1.
    strengths: the candidates; the best on held-out training examples is then fitted on all.
    parts: the training examples are divided by class into this many parts, one of them held out.
    rotate_below: with fewer examples than this, every part is held out in turn.
    tolerance: of the gradient, relative to that at w = 0, in the metric of the quadratic bound.
    """

    standardise: bool
    width: float | None
    rounds: int
    fits: int
    strengths: tuple[float, ...]
    parts: int
    rotate_below: int
    tolerance: float
    max_steps: int


# Hjelm et al. 2019, section 4.2 and Table 4: five linear SVMs, mean and deviation, "hinge loss";
# LIBLINEAR and the official code's helper have the squared one. What made the fits differ, scaling
# and choice of C are not published; here as in `Protocol`.
_FIVE = Protocol(
    standardise=True,
    width=None,
    rounds=1,
    fits=5,
    strengths=(0.01, 0.1, 1.0, 10.0, 100.0),
    parts=5,
    rotate_below=500,
    tolerance=1e-3,
    max_steps=200,
)

PROTOCOLS = Protocols(
    "SVM",
    {
        # Squared hinge as LIBLINEAR and the official code's helper (cortex, models/utils.py: C = 1,
        # no scaling, no choice of C). Differs: standardised, C chosen, the intercept not penalised.
        "svm-v1": Protocol(
            standardise=True,
            width=None,
            rounds=1,
            fits=1,
            strengths=(0.01, 0.1, 1.0, 10.0, 100.0),
            parts=5,
            rotate_below=500,
            tolerance=1e-3,
            max_steps=100,
        ),
        # On 50,000 x 4,096 features a step of all five fits takes 0.4 s on two cores. On digits the
        # hinge took under 1,000 steps for all strengths; it can take 5,000, the squared hinge
        # 1,000.
        "svm-hinge-v1": _FIVE._replace(width=0.1, rounds=5),
        "svm-squared-hinge-v1": _FIVE,
    },
)


def accuracies(settings: Protocol, task: labelled.Task) -> np.ndarray:
    """The test accuracies f[fits], or f[subsets] with one for each label subset."""
    results = []
    several = task.subsets is None and settings.fits > 1
    for rows, labels in task.portions():
        # Without subsets the features were standardised over these very rows.
        rows, to_solved = compact(rows, centred=task.subsets is None)
        fit = rotated if several else fitted
        machines = fit(settings, rows, labels, task.classes, task.seed)
        scores = np.asarray(svm_solver.scores(machines, to_solved(task.test.features)))
        predicted = np.argmax(scores.reshape(len(scores), -1, task.classes), axis=-1)
        results += [*np.mean(predicted == task.test.labels[:, None], axis=0)]
    return np.array(results)


EVALUATION = labelled.probe(accuracies, PROTOCOLS, "svm-v1")
evaluate = EVALUATION.evaluate


def fitted(
    settings: Protocol, rows: jax.Array, labels: np.ndarray, classes: int, seed: int
) -> svm_solver.Machines:
    """Machines for all rows, centred, of the strength that is best on held-out parts of them."""
    costs = np.asarray(settings.strengths, np.float32) / len(labels)
    solved = _solver(settings, rows, _targets(labels, classes))
    parts = stratified(labels, settings.parts, random_streams.generator(Stream.SVM_PARTS, seed))
    correct = np.zeros(len(costs))
    for part in range(settings.parts if len(labels) < settings.rotate_below else 1):
        used = jnp.asarray(parts != part, jnp.float32)
        path = [_zeros(classes, rows)]
        for index, cost in enumerate(costs):  # each starts where the one before ended
            path.append(solved(cost, used, path[-1]))
            right = np.argmax(svm_solver.scores(path[-1], rows), axis=-1) == labels
            correct[index] += right[parts == part].sum()
    # Of equally good ones argmax takes the first, the most regularised.
    best = int(np.argmax(correct))
    return solved(costs[best], jnp.ones(len(labels)), path[best + 1])


def rotated(
    settings: Protocol, rows: jax.Array, labels: np.ndarray, classes: int, seed: int
) -> svm_solver.Machines:
    """`fits` fits in a row, f[fits * classes, d] and f[fits * classes]: fit k leaves out part k.

    Each has the strength that is best on the part that it leaves out. All are solved at once: the
    rows, which are most of the cost, are read once for all of them.
    """
    parts = stratified(labels, settings.parts, random_streams.generator(Stream.SVM_PARTS, seed))
    held_out = parts[:, None] == np.arange(settings.fits)
    used = jnp.asarray(np.repeat(~held_out, classes, axis=1), jnp.float32)
    solved = _solver(settings, rows, jnp.tile(_targets(labels, classes), (1, settings.fits)))
    machines = best = _zeros(settings.fits * classes, rows)
    most = np.full(settings.fits, -1)
    for cost in np.asarray(settings.strengths, np.float32) / len(labels):
        machines = solved(cost, used, machines)  # starts where the strength before ended
        scores = np.asarray(svm_solver.scores(machines, rows)).reshape(len(labels), -1, classes)
        right = np.argmax(scores, axis=-1) == labels[:, None]
        correct = np.sum(right & held_out, axis=0)
        # Of equally good ones the first stays, the most regularised.
        better = np.repeat(correct > most, classes)
        best = svm_solver.Machines(
            jnp.where(better[:, None], machines.weights, best.weights),
            jnp.where(better, machines.intercepts, best.intercepts),
        )
        most = np.maximum(most, correct)
    return best


def _solver(settings: Protocol, rows: jax.Array, targets: jax.Array):
    """(cost, used, start) -> machines."""
    squares = gram.gram(rows)

    def solved(cost, used, start):
        return svm_solver.minimise(
            svm_solver.Problem(rows, targets, squares, cost, used, settings.width),
            start,
            tolerance=settings.tolerance,
            steps=settings.max_steps,
            rounds=settings.rounds,
        )

    return solved


def _targets(labels: np.ndarray, classes: int) -> jax.Array:
    return jnp.asarray(np.where(labels[:, None] == np.arange(classes), 1.0, -1.0), jnp.float32)


def _zeros(count: int, rows: jax.Array) -> svm_solver.Machines:
    return svm_solver.Machines(jnp.zeros((count, rows.shape[1])), jnp.zeros(count))


def compact(rows: jax.Array, centred: bool):
    """Centred rows in at most as many dimensions as there are rows, and the map that does it.

    The solution lies in the span of the centred rows, so nothing changes but the cost.
    """
    mean = 0.0 if centred else jnp.mean(rows, axis=0)
    if rows.shape[1] <= len(rows):
        return (rows, lambda others: others) if centred else (rows - mean, lambda o: o - mean)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # as in svm_solver.solve
        basis = jax.block_until_ready(jnp.linalg.qr((rows - mean).T)[0])
    return (rows - mean) @ basis, lambda others: (others - mean) @ basis


def stratified(labels: np.ndarray, parts: int, random: np.random.Generator) -> np.ndarray:
    """A part number in [0, parts) for every example, each class spread evenly, at random."""
    part = np.empty(len(labels), np.int32)
    for index, label in enumerate(np.unique(labels)):
        members = random.permutation(np.flatnonzero(labels == label))
        part[members] = (np.arange(len(members)) + index) % parts  # rare classes do not pile up
    return part
