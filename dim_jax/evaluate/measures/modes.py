"""Generated points against classes of points: modes that are covered, and the energy distance.

Source: Srivastava et al. 2017 (VEEGAN), section 4.1 (points within three deviations of a mode);
  Szekely and Rizzo 2013 (energy distance).
"""

from collections.abc import Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import generated
from dim_jax.evaluate.evaluation import Evaluation

_TAPS = ("y",)
_POINTS = 10_000  # at most
_COORDINATES = 3  # at most: of more, a normal class has few points within three deviations
_WITHIN = 3.0  # deviations of a class
_COVERED = 0.1  # of the share of points that a class has
_BLOCK = 1000  # points whose distances to all others are in memory


def evaluate(
    frozen: contracts.Frozen, splits: Mapping[str, dataset.Split], rng: jax.Array
) -> dict[str, float]:
    """Classes that generated points fall into, and the distance of the two distributions.

    A generated point counts for the class whose mean is nearest, if it is within three standard
    deviations of it, those of a coordinate around the class mean. Means, deviations and shares of
    the classes are those of the training points; units are those of normalised images.

    "y/modes": the number of classes, and "y/modes_covered": those with at least a tenth of the
        points that their share of the data would give them
    "y/high_quality": the share of generated points that count for a class
    "y/energy_distance": 2 E|X - Y| - E|X - X'| - E|Y - Y'| of generated and test points, without
        bias, so that it may be below 0; 0 = the same distribution
    "y/high_quality_real", "y/energy_distance_real": the same with as many training points in the
        place of the generated ones

    Returns:
      one number for each, of as many generated points as there are test points.

    Raises:
      UserError: a method that draws no codes; images that are no points; points without classes.
    """
    check_method(frozen.method)
    check_splits(splits)
    train, test = splits["train"], splits["test"]
    known = generated.real_points(frozen, train), train.labels
    count = generated.counted(splits, _POINTS)
    real = generated.real_points(frozen, test)[:count]
    codes = generated.codes(frozen, test, rng, count)
    made = generated.mapped(frozen, codes).reshape(count, -1)
    results = classes_hit(made, *known)
    results["energy_distance"] = energy_distance(made, real)
    reference = np.random.RandomState(0).permutation(len(known[0]))[:count]
    of_real = known[0][reference]
    results["high_quality_real"] = classes_hit(of_real, *known)["high_quality"]
    results["energy_distance_real"] = energy_distance(of_real, real)
    return {f"y/{name}": float(value) for name, value in results.items()}


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError for a method that draws no codes of a prior."""
    generated.check_draws(method, "modes")


def check_splits(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless the images are points of few coordinates, two or more in a split."""
    height, width, coordinates = splits["test"].images.shape[1:]
    if (height, width) != (1, 1) or coordinates > _COORDINATES:
        raise contracts.UserError(
            f"the images are {height}x{width}x{coordinates} and the evaluation 'modes' compares "
            f"points, which are 1x1 with at most {_COORDINATES} coordinates; remove 'modes' from "
            "evals, or set data.name to ring"
        )
    if min(len(split.images) for split in splits.values()) < 2:
        raise contracts.UserError(
            "the evaluation 'modes' compares distances of points and a split has only one; set a "
            "larger data.train_split and data.test_split"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=_TAPS,
    needs_labels=True,
    check_splits=check_splits,
    check_method=check_method,
)


def classes_hit(points: np.ndarray, known: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """ "modes", "modes_covered" and "high_quality" of points f[n,d], as of `evaluate`.

    Args:
      known: f[m,d], whose classes are `labels`.
    """
    known = known.astype(np.float64)
    present, counts = np.unique(labels[labels >= 0], return_counts=True)
    groups = [known[labels == label] for label in present]
    means = np.stack([group.mean(axis=0) for group in groups])
    deviations = np.array([np.sqrt(group.var(axis=0).mean()) for group in groups])
    distances = np.linalg.norm(points.astype(np.float64)[:, None] - means, axis=2)
    nearest = distances.argmin(axis=1)
    good = distances[np.arange(len(points)), nearest] <= _WITHIN * deviations[nearest]
    hits = np.bincount(nearest[good], minlength=len(present))
    fair = len(points) * counts / counts.sum()
    return {
        "modes": len(present),
        "modes_covered": np.sum((hits > 0) & (hits >= _COVERED * fair)),
        "high_quality": good.mean(),
    }


def energy_distance(one: np.ndarray, other: np.ndarray) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of points f[n,d] and f[m,d], pairs of two points each."""
    within = [
        _sum_of_distances(rows, rows) / (len(rows) * (len(rows) - 1)) for rows in (one, other)
    ]
    return 2 * _sum_of_distances(one, other) / (len(one) * len(other)) - sum(within)


def _sum_of_distances(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.spatial import distance

    one, other = one.astype(np.float64), other.astype(np.float64)
    starts = range(0, len(one), _BLOCK)
    return sum(distance.cdist(one[start : start + _BLOCK], other).sum() for start in starts)
