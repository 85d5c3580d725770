"""Binary attributes of images, such as CelebA's, from frozen features by linear classifiers.

Every attribute has a classifier of its own, fitted for accuracy: the examples of both values weigh
the same. Attributes are unbalanced (one CelebA face in fifty is bald), so that always predicting
the commoner value is often right: read an accuracy beside that floor, and the balanced accuracy,
which is 1/2 for a prediction that ignores the image.

Source: none for the protocol. Hjelm et al. 2019, Figs. 10 and 11, evaluate DIM on CelebA and do not
say how.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import features, gram
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.probes import labelled, svm, svm_solver
from dim_jax.evaluate.protocols import Protocols


class Protocol(NamedTuple):
    """One linear SVM for each binary attribute, as `svm.Protocol` has one for each class.

    examples: at most this many training images, drawn at random.
    strengths, tolerance, max_steps: as in `svm.Protocol`, but each attribute has its own strength,
      the one with the most held-out examples right.
    parts, rotate_below: as in `svm.Protocol`, but divided at random: each attribute would want its
      own division.
    """

    examples: int
    strengths: tuple[float, ...]
    parts: int
    rotate_below: int
    tolerance: float
    max_steps: int


PROTOCOLS = Protocols(
    "attribute",
    {
        # Ours: the published figures on CelebA do not say how attributes were measured. The
        # settings are those of svm-v1, on as many images as CIFAR-10 has; nothing was tuned.
        "attributes-v1": Protocol(
            examples=50_000,
            strengths=(0.01, 0.1, 1.0, 10.0, 100.0),
            parts=5,
            rotate_below=500,
            tolerance=1e-3,
            max_steps=100,
        ),
    },
)


class _Truth(NamedTuple):
    """The attributes that vary, bool[n,a], of the chosen training and of all test images."""

    chosen: np.ndarray
    train: np.ndarray
    test: np.ndarray


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "attributes-v1",
    taps: Iterable[str] = labelled.TAPS,
) -> dict[str, float]:
    """Accuracies of a linear classifier per attribute on test images, means over attributes.

    For each tap, in [0, 1], larger is better:
      "<tap>/accuracy": the share of test images with the right answer
      "<tap>/balanced_accuracy": (share right of those that have it + of those that do not) / 2
      "<tap>/majority": the accuracy of always predicting the commoner value of training images,
          the same for every tap
    and "attributes_judged", their number: those of a single value among the training or the test
    images that are used cannot be learned or measured, and are left out of every mean.

    Args:
      protocol: a name of `PROTOCOLS`; it holds every setting.

    Raises:
      UserError: an unknown protocol or tap, no attributes, or none that varies.
    """
    settings = PROTOCOLS.find(protocol)
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    truth = _truth(splits, settings.examples, seed)
    commoner = np.mean(truth.train, axis=0) > 0.5
    majority = float(np.mean(commoner == truth.test))
    results = {}
    for tap in taps:
        train, test = _features(frozen, splits, truth.chosen, tap)
        train, to_solved = svm.compact(train, centred=True)
        machines = fitted(settings, train, truth.train, seed)
        predicted = np.asarray(svm_solver.scores(machines, to_solved(test))) > 0
        balanced = balanced_accuracies(predicted, truth.test)
        results |= {
            f"{tap}/accuracy": float(np.mean(predicted == truth.test)),
            f"{tap}/balanced_accuracy": float(np.mean(balanced)),
            f"{tap}/majority": majority,
        }
    return results | {"attributes_judged": truth.test.shape[1]}


def check_splits(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless both splits have attributes, one of which varies in both."""
    for name in ("train", "test"):
        if splits[name].attributes is None:
            raise contracts.UserError(
                f"the {name} images have no binary attributes, or some of them have none, and "
                "the evaluation 'attributes' needs them; remove it from evals, or set data.name "
                "to a set that has them, such as celeb_a"
            )
    _varying(splits["train"].attributes, splits["test"].attributes)


EVALUATION = Evaluation(
    evaluate,
    representations="all",
    taps=labelled.TAPS,
    protocols=PROTOCOLS,
    check_splits=check_splits,
)


def fitted(
    settings: Protocol, rows: jax.Array, truth: np.ndarray, seed: int
) -> svm_solver.Machines:
    """Machines for rows f[n,d], centred, each of the strength that is best for its attribute.

    Args:
      truth: bool[n,a].
      seed: chooses the held-out examples.
    """
    count, attributes = truth.shape
    targets = jnp.asarray(np.where(truth, 1.0, -1.0), jnp.float32)
    costs = np.asarray(settings.strengths, np.float32) / count
    squares = gram.gram(rows)

    def solved(cost, used, start):
        problem = svm_solver.Problem(rows, targets, squares, cost, used)
        return svm_solver.solve(
            problem, start, tolerance=settings.tolerance, steps=settings.max_steps
        )

    parts = (
        random_streams.generator(Stream.ATTRIBUTE_PARTS, seed).permutation(count) % settings.parts
    )
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
        refitted = solved(costs[index], jnp.ones(count), path[index + 1])
        chosen = best == index
        machines = svm_solver.Machines(
            jnp.where(chosen[:, None], refitted.weights, machines.weights),
            jnp.where(chosen, refitted.intercepts, machines.intercepts),
        )
    return machines


def balanced_accuracies(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(sensitivity + specificity) / 2 of each attribute, f64[a]; larger is better, 1/2 = chance.

    Args:
      predicted, truth: bool[n,a]; truth has both values in every column.
    """
    sensitivity = np.sum(predicted & truth, axis=0) / np.sum(truth, axis=0)
    specificity = np.sum(~predicted & ~truth, axis=0) / np.sum(~truth, axis=0)
    return (sensitivity + specificity) / 2


def _truth(splits: Mapping[str, dataset.Split], examples: int, seed: int) -> _Truth:
    """At most `examples` training images, at random, and the attributes that vary there."""
    check_splits(splits)
    train, test = (splits[name].attributes for name in ("train", "test"))
    order = random_streams.generator(Stream.ATTRIBUTE_EXAMPLES, seed).permutation(len(train))
    chosen = np.sort(order[:examples])
    varying = _varying(train[chosen], test)
    return _Truth(chosen, train[chosen][:, varying] > 0, test[:, varying] > 0)


def _varying(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The attributes of u8[n,a] that have both values in train and in test, bool[a]."""
    both = [np.any(part > 0, axis=0) & np.any(part == 0, axis=0) for part in (train, test)]
    varying = both[0] & both[1]
    if not varying.any():
        raise contracts.UserError(
            f"none of the {len(varying)} attributes has both values among the {len(train)} "
            f"training images and among the {len(test)} test images that are used; take more of "
            "them, by data.train_split and data.test_split"
        )
    return varying


def _features(frozen, splits, chosen: np.ndarray, tap: str) -> tuple[jax.Array, jax.Array]:
    """One tap of the chosen training and of all test images, standardised by the former."""
    train, test = (
        features.extract(frozen, splits[name], (tap,))[tap] for name in ("train", "test")
    )
    train, test = jnp.asarray(train[chosen]), jnp.asarray(test)
    shift, scale = labelled.statistics(train)
    return (train - shift) * scale, (test - shift) * scale
