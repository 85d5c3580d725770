"""Binary attributes of images, such as CelebA's, from frozen features by linear classifiers.

Every attribute has a classifier of its own, fitted for accuracy: the examples of both values weigh
the same. Attributes are unbalanced (one CelebA face in fifty is bald), so that always saying the
commoner value is often right: read an accuracy beside that floor, and the balanced accuracy, which
is 1/2 for whoever ignores the image.

Source: none for the protocol. Hjelm et al. 2019, Figs. 10 and 11, judge DIM on CelebA and do not
say how.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features, kinds, protocols
from dim_jax.evaluate.probes import labelled, svm, svm_solver

NEEDS_LABELS = False  # of classes; `check` asks for the attributes
REPRESENTATIONS = "all"
TAPS = labelled.TAPS
PROTOCOL = kinds.Attributes


class _Truth(NamedTuple):
    """The judged attributes, bool[n,a], of the chosen training images and of all test images."""

    chosen: np.ndarray
    train: np.ndarray
    test: np.ndarray


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "attributes-v1",
    taps: Iterable[str] = TAPS,
) -> dict[str, float]:
    """How well a linear classifier per attribute does on test images, means over attributes.

    For each tap, in [0, 1], larger is better:
      "<tap>/accuracy": the share of test images with the right answer
      "<tap>/balanced_accuracy": (share right of those that have it + of those that do not) / 2
      "<tap>/majority": the accuracy of always saying the commoner value of the training images,
          the same for every tap
    and "attributes_judged", their number: those of a single value among the training or the test
    images that are used cannot be learned or judged, and are left out of every mean.

    Args:
      protocol: a name of `protocols.PROTOCOLS`; it holds every setting.

    Raises:
      UserError: an unknown protocol or tap, no attributes, or none that varies.
    """
    settings = protocols.find(protocol, PROTOCOL)
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    truth = _truth(splits, settings.examples, seed)
    commoner = np.mean(truth.train, axis=0) > 0.5
    majority = float(np.mean(commoner == truth.test))
    results = {}
    for tap in taps:
        train, test = _features(frozen, splits, truth.chosen, tap)
        train, to_solved = svm.compact(train, centred=True)
        machines = fitted(settings, train, truth.train, seed)
        said = np.asarray(svm_solver.scores(machines, to_solved(test))) > 0
        results |= {
            f"{tap}/accuracy": float(np.mean(said == truth.test)),
            f"{tap}/balanced_accuracy": float(np.mean(balanced_accuracies(said, truth.test))),
            f"{tap}/majority": majority,
        }
    return results | {"attributes_judged": truth.test.shape[1]}


def check(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless both splits have attributes, one of which varies in both."""
    for name in ("train", "test"):
        if splits[name].attributes is None:
            raise contracts.UserError(
                f"the {name} images have no binary attributes, or not all of them are known, and "
                "the evaluation 'attributes' needs them; remove it from evals, or set data.name "
                "to a set that has them, such as celeb_a"
            )
    _judged(splits["train"].attributes, splits["test"].attributes)


def fitted(
    settings: kinds.Attributes, rows: jax.Array, truth: np.ndarray, seed: int
) -> svm_solver.Machines:
    """Machines for rows f[n,d], centred, each of the strength that is best for its attribute.

    Args:
      truth: bool[n,a].
      seed: chooses the held-out examples.
    """
    count, attributes = truth.shape
    targets = jnp.asarray(np.where(truth, 1.0, -1.0), jnp.float32)
    costs = np.asarray(settings.strengths, np.float32) / count
    bound = svm_solver.quadratic_bound(rows)

    def solved(cost, used, start):
        problem = svm_solver.Problem(rows, targets, bound, cost, used)
        return svm_solver.solve(
            problem, start, tolerance=settings.tolerance, steps=settings.max_steps
        )

    parts = np.random.default_rng([seed, 3]).permutation(count) % settings.parts
    zeros = svm_solver.Machines(jnp.zeros((attributes, rows.shape[1])), jnp.zeros(attributes))
    correct = np.zeros((len(costs), attributes))
    for part in range(settings.parts if count < settings.rotate_below else 1):
        used = jnp.asarray(parts != part, jnp.float32)
        path = [zeros]
        for index, cost in enumerate(costs):  # each starts where the one before ended
            path.append(solved(cost, used, path[-1]))
            right = (np.asarray(svm_solver.scores(path[-1], rows)) > 0) == truth
            correct[index] += right[parts == part].sum(axis=0)
    # Of equally good ones argmax takes the first, the most regularised.
    best = np.argmax(correct, axis=0)
    machines = zeros
    for index in np.unique(best):
        found = solved(costs[index], jnp.ones(count), path[index + 1])
        mine = best == index
        machines = svm_solver.Machines(
            jnp.where(mine[:, None], found.weights, machines.weights),
            jnp.where(mine, found.intercepts, machines.intercepts),
        )
    return machines


def balanced_accuracies(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(sensitivity + specificity) / 2 of each attribute, f64[a]; larger is better, 1/2 = chance.

    Args:
      said, truth: bool[n,a]; truth has both values in every column.
    """
    sensitivity = np.sum(said & truth, axis=0) / np.sum(truth, axis=0)
    specificity = np.sum(~said & ~truth, axis=0) / np.sum(~truth, axis=0)
    return (sensitivity + specificity) / 2


def _truth(splits: Mapping[str, dataset.Split], examples: int, seed: int) -> _Truth:
    """At most `examples` training images, at random, and the attributes that vary there."""
    check(splits)
    train, test = (splits[name].attributes for name in ("train", "test"))
    order = np.random.default_rng([seed, 5]).permutation(len(train))
    chosen = np.sort(order[:examples])
    judged = _judged(train[chosen], test)
    return _Truth(chosen, train[chosen][:, judged] > 0, test[:, judged] > 0)


def _judged(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The attributes of u8[n,a] that have both values in train and in test, bool[a]."""
    varying = [np.any(part > 0, axis=0) & np.any(part == 0, axis=0) for part in (train, test)]
    judged = varying[0] & varying[1]
    if not judged.any():
        raise contracts.UserError(
            f"none of the {len(judged)} attributes has both values among the {len(train)} training "
            f"images and among the {len(test)} test images that are used; take more of them, by "
            "data.train_split and data.test_split"
        )
    return judged


def _features(frozen, splits, chosen: np.ndarray, tap: str) -> tuple[jax.Array, jax.Array]:
    """One tap of the chosen training and of all test images, standardised by the former."""
    train, test = (
        features.extract(frozen, splits[name], (tap,))[tap] for name in ("train", "test")
    )
    train, test = jnp.asarray(train[chosen]), jnp.asarray(test)
    shift, scale = labelled.statistics(train)
    return (train - shift) * scale, (test - shift) * scale
