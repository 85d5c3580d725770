"""Distance of the marginals of a representation to those of a prior, and tests against it.

Source: Hjelm et al. 2019, section 3.3 (the prior, matched after a sigmoid where it is uniform).
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Literal

import jax
import numpy as np
from scipy import special

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_TAPS = ("y",)
_TESTED = 500
_FEWEST = 20  # images, for the normal approximation of the kurtosis


def _of_ball(rows: np.ndarray) -> np.ndarray:
    return _beta(rows / np.sqrt(1 + np.sum(rows**2, axis=1, keepdims=True)), 1)


def _of_sphere(rows: np.ndarray) -> np.ndarray:
    return _beta(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), -1)


def _beta(inside: np.ndarray, more: int) -> np.ndarray:
    """The law of (1 + x) / 2 for a coordinate x: Beta(a, a) with a = (d + more) / 2."""
    shape = (inside.shape[1] + more) / 2
    return special.betainc(shape, shape, (1 + inside) / 2)


# The prior's distribution function of one coordinate, of the features squashed as in training.
_CUMULATIVE = {
    "uniform": special.expit,
    "gaussian": special.ndtr,
    "ball": _of_ball,
    "sphere": _of_sphere,
}


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    prior: Literal["uniform", "gaussian", "ball", "sphere"] = "uniform",
    taps: Iterable[str] = _TAPS,
) -> dict[str, float]:
    """Distance of the test marginals to the prior, coordinate by coordinate, in [0, 1].

        distance = max over t of |fraction of images with value <= t - F(t)|

    Args:
      prior: "uniform" compares sigmoid(y) with the uniform distribution on [0, 1], "gaussian" y
        with the standard normal one, "ball" y / sqrt(1 + |y|^2) and "sphere" y / |y| with a
        coordinate of the uniform one in the unit ball and on the unit sphere (`losses.priors`).

    Returns:
      "<tap>/kolmogorov_<prior>": the mean distance over coordinates, of all test images; smaller
          is nearer to the prior.
      "<tap>/kolmogorov_<prior>_passed": the fraction of coordinates that Kolmogorov's test does
          not tell from the prior at level 0.01 with 500 test images (fewer where there are
          fewer): with them it detects distances from 0.073 on. A true sample of the prior has 0.99.
      "<tap>/normality_passed", with the prior "gaussian": the fraction of coordinates that the test
          of D'Agostino and Pearson (skewness and kurtosis) does not tell from a normal distribution
          of any mean and variance, at level 0.05 with the same images. A normal sample has 0.95.
          Without it for fewer than 20 images.

    Raises:
      UserError: an unknown prior or tap; a sphere of one coordinate.
    """
    del rng
    if prior not in _CUMULATIVE:
        raise contracts.unknown("prior", prior, _CUMULATIVE)
    encoded = features.extract(frozen, splits["test"], taps)
    results = {}
    for tap, rows in encoded.items():
        if prior == "sphere" and rows.shape[1] < 2:
            raise contracts.UserError(
                f"{tap} has one coordinate and the prior 'sphere' has two or more; set prior to "
                "'uniform', 'gaussian' or 'ball', or evaluate another tap"
            )
    for tap, rows in encoded.items():
        tested = rows[drawing.spread(len(rows), _TESTED)]
        results[f"{tap}/kolmogorov_{prior}"] = float(np.mean(distances(rows, prior)))
        results[f"{tap}/kolmogorov_{prior}_passed"] = float(np.mean(p_values(tested, prior) > 0.01))
        if prior == "gaussian" and len(tested) >= _FEWEST:
            results[f"{tap}/normality_passed"] = float(np.mean(normality(tested) > 0.05))
    return results


EVALUATION = Evaluation(evaluate, representations="encoders", taps=_TAPS)


def distances(rows: np.ndarray, prior: str) -> np.ndarray:
    """The Kolmogorov distance f64[d] of each column of rows f[n,d] to the prior."""
    return np.array([test.statistic for test in _tests(rows, prior)])


def p_values(rows: np.ndarray, prior: str) -> np.ndarray:
    """The p-value f64[d] of Kolmogorov's test of each column of rows f[n,d] against the prior."""
    return np.array([test.pvalue for test in _tests(rows, prior)])


def normality(rows: np.ndarray) -> np.ndarray:
    """The p-value f64[d] of D'Agostino and Pearson's test of each column of rows f[n,d].

    Columns of one value have none (NaN), so that they do not pass.
    """
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns of one value
        return stats.normaltest(rows.astype(np.float64), axis=0).pvalue


def _tests(rows: np.ndarray, prior: str):
    from scipy import stats  # takes a quarter of a second to import

    heights = _CUMULATIVE[prior](rows.astype(np.float64))
    # If F is the distribution of x then F(x) is uniform: one test for every continuous prior.
    return [stats.ks_1samp(column, stats.uniform.cdf, method="asymp") for column in heights.T]
