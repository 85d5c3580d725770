"""A linear support vector machine on frozen features: test accuracy.

Source: Hjelm et al. 2019, section 4.2; LIBLINEAR (Fan et al. 2008) for the objective.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import accuracy, protocols

NEEDS_LABELS = True
REPRESENTATIONS = "all"
TAPS = accuracy.TAPS

_CHUNK = 1024  # rows at a time where a product over all examples is summed up


class Machines(NamedTuple):
    """Linear scores rows @ weights[s, k] + intercepts[s, k] for strength s and class k."""

    weights: jax.Array
    intercepts: jax.Array


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
    settings = protocols.find(protocol, protocols.Svm)
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
        rows, to_solved = _compact(rows, centred)
        machines, best = _select(settings, rows, labels, task.classes, task.seed)
        scores = _scores(machines, to_solved(task.test.features))[:, best]
        results.append(np.mean(np.argmax(scores, axis=-1) == task.test.labels))
    return np.array(results)


def _select(
    settings: protocols.Svm, rows: jax.Array, labels: np.ndarray, classes: int, seed: int
) -> tuple[Machines, int]:
    """Machines of every strength, fitted on all rows, and the position of the best strength."""
    parts = stratified(labels, settings.parts, np.random.default_rng([seed, 3]))
    targets = jnp.asarray(np.where(labels[:, None] == np.arange(classes), 1.0, -1.0), jnp.float32)
    bound = quadratic_bound(rows)
    costs = jnp.asarray(settings.strengths, jnp.float32) / len(labels)
    solved = functools.partial(
        solve, rows, targets, costs, bound, tolerance=settings.tolerance, steps=settings.max_steps
    )
    zeros = Machines(
        jnp.zeros((len(costs), classes, rows.shape[1])), jnp.zeros((len(costs), classes))
    )
    held_out = range(settings.parts if len(labels) < settings.rotate_below else 1)
    correct = np.zeros(len(costs))
    for part in held_out:
        machines = solved(jnp.asarray(parts != part, jnp.float32), zeros)
        right = np.argmax(_scores(machines, rows), axis=-1) == labels[:, None]
        correct += right[parts == part].sum(axis=0)
    # Of equally good ones argmax takes the first, the most regularised.
    return solved(jnp.ones(len(labels)), machines), int(np.argmax(correct))


def _compact(rows: jax.Array, centred: bool):
    """Centred rows in at most as many dimensions as there are rows, and the map that does it.

    The solution lies in the span of the centred rows, so nothing changes but the cost.
    """
    mean = 0.0 if centred else jnp.mean(rows, axis=0)
    if rows.shape[1] <= len(rows):
        return (rows, lambda others: others) if centred else (rows - mean, lambda o: o - mean)
    basis = jnp.linalg.qr((rows - mean).T)[0]
    return (rows - mean) @ basis, lambda others: (others - mean) @ basis


def stratified(labels: np.ndarray, parts: int, random: np.random.Generator) -> np.ndarray:
    """A part number in [0, parts) for every example, each class spread evenly, at random."""
    part = np.empty(len(labels), np.int32)
    for index, label in enumerate(np.unique(labels)):
        members = random.permutation(np.flatnonzero(labels == label))
        part[members] = (np.arange(len(members)) + index) % parts  # rare classes do not pile up
    return part


@jax.jit
def quadratic_bound(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues f[d] and eigenvectors f[d,d] of rows^T rows, rows being centred."""
    count, width = rows.shape
    whole = rows[: count - count % _CHUNK].reshape(-1, _CHUNK, width)
    rest = rows[count - count % _CHUNK :]
    product = functools.partial(jax.lax.dot_general, dimension_numbers=(((0,), (0,)), ((), ())))
    # In chunks it is twice as fast on a CPU as one product.
    gram, _ = jax.lax.scan(lambda sum_, x: (sum_ + product(x, x), None), product(rest, rest), whole)
    values, vectors = jnp.linalg.eigh(gram)
    return jnp.maximum(values, 0.0), vectors


@functools.partial(jax.jit, static_argnames=("tolerance", "steps"))
def solve(
    rows: jax.Array,
    targets: jax.Array,
    costs: jax.Array,
    bound: tuple[jax.Array, jax.Array],
    used: jax.Array,
    machines: Machines,
    *,
    tolerance: float,
    steps: int,
) -> Machines:
    """The minimisers of |w|^2 / 2 + costs[s] * sum_i used[i] max(0, 1 - t_ik (w.x_i + b))^2.

    Accelerated gradient steps in the metric of a quadratic bound: the squared hinge never curves
    more than 2 costs (x, 1)(x, 1)^T per example, so with M = I + 2 costs rows^T rows each step
    w - M^-1 gradient lowers the loss. Momentum restarts where it points uphill.

    Args:
      rows: f[n,d], centred. targets: +-1 f[n,k]. costs: f[s]. used: 1 or 0, f[n].
      bound: of rows, as from `quadratic_bound`.
      machines: where to start.
      tolerance: length of the gradient in that metric, relative to the one at zero.

    Source: Nesterov 1983; O'Donoghue and Candes 2015 (restart).
    """
    values, vectors = bound
    costs = costs[:, None]
    curvature = 1 + 2 * costs * values

    def gradient(at: Machines) -> Machines:
        violation = jnp.maximum(1 - targets[:, None] * _scores(at, rows), 0) * used[:, None, None]
        slope = -2 * costs * targets[:, None] * violation
        products = jax.lax.dot_general(slope, rows, (((0,), (0,)), ((), ())))
        return Machines(at.weights + products, jnp.sum(slope, axis=0))

    def precondition(by: Machines) -> Machines:
        turned = by.weights @ vectors / curvature[:, None]
        return Machines(turned @ vectors.T, by.intercepts / (2 * costs * len(rows)))

    def product(one: Machines, other: Machines) -> jax.Array:
        weights = jnp.sum(one.weights * other.weights, axis=-1)
        return weights + one.intercepts * other.intercepts

    def squared_length(slope: Machines) -> jax.Array:
        return product(slope, precondition(slope))

    start = squared_length(gradient(jax.tree.map(jnp.zeros_like, machines)))

    def unfinished(carry) -> jax.Array:
        index, _, _, _, length = carry
        return (index < steps) & jnp.any(length > tolerance**2 * start)

    def step(carry):
        index, here, ahead, speed, _ = carry
        slope = gradient(ahead)
        move = precondition(slope)
        there = jax.tree.map(jnp.subtract, ahead, move)
        difference = jax.tree.map(jnp.subtract, there, here)
        speed = jnp.where(product(slope, difference) > 0, 1.0, speed)
        faster = (1 + jnp.sqrt(1 + 4 * speed**2)) / 2
        momentum = (speed - 1) / faster
        ahead = Machines(
            there.weights + momentum[..., None] * difference.weights,
            there.intercepts + momentum * difference.intercepts,
        )
        return index + 1, there, ahead, faster, product(slope, move)

    carry = (0, machines, machines, jnp.ones_like(start), jnp.full_like(start, jnp.inf))
    return jax.lax.while_loop(unfinished, step, carry)[1]


@jax.jit
def _scores(machines: Machines, rows: jax.Array) -> jax.Array:
    weights = jax.lax.dot_general(rows, machines.weights, (((1,), (2,)), ((), ())))
    return weights + machines.intercepts
