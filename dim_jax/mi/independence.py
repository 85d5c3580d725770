"""A permutation test of independence by covariances of smooth functions of ranks.

Nothing is fitted and no sample is left out, so that the test is exact for every distribution, and
its folds are not dependent, which tests of cross-fitted critics have to allow for.
"""

import numpy as np
from scipy import stats

from dim_jax.mi import held_out, sampling_errors
from dim_jax.mi.columns import Columns

_EXCEEDED = 10  # permuted values as large as the observed, from which on their share is good
_RARE = 0.05  # share of a class below which its weight does not rise
_WAVES = np.arange(1, 11)  # half periods of the cosines, whose weights fall like 1 / sqrt(wave)


def p_value(
    x: Columns,
    y: Columns,
    *,
    blocks: np.ndarray | None,
    permutations: int,
    random: np.random.Generator,
) -> float:
    """Of the sum of squared covariances between functions of x and of y; small if dependent.

    The share of permutations that reach it; if these are fewer than 10, the tail of a Pearson type
    III law with the first three moments of the null, as tests of many columns need.

    Functions of a column are cosines of its ranks, those of classes their indicators. Of several
    columns each is compared by itself: dependence on two columns jointly alone is not seen.

    Source: Blum, Kiefer and Rosenblatt 1961 (the same with weights 1 / wave); Gretton et al. 2007
      (the null, a sum of chi-squares); Imhof 1961 (its law by three moments).
    """
    left, right = _functions(x), _functions(y)
    observed = np.sum(np.square(left.T @ right))
    null = np.empty(permutations)
    for index in range(permutations):
        order = held_out.permutation(len(right), blocks, random)
        null[index] = np.sum(np.square(left.T @ right[order]))
    share = sampling_errors.p_value(float(observed), null)
    if not permutations or np.sum(null >= observed) >= _EXCEEDED:
        return share
    mean, deviation, skewness = _moments(left, right)
    if blocks is not None:  # fewer than the samples are independent
        mean, deviation, skewness = null.mean(), null.std(), max(skewness, stats.skew(null))
    return min(share, float(stats.pearson3.sf((observed - mean) / deviation, skewness)))


def _moments(left: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """Mean, deviation and skewness of a sum of chi-squares, one for each pair of directions."""
    squares = [np.linalg.svd(side, compute_uv=False) ** 2 for side in (left, right)]
    squares[1] = squares[1] / (len(left) - 1)
    first, second, third = (
        np.prod([np.sum(each**power) for each in squares]) for power in (1, 2, 3)
    )
    return first, np.sqrt(2 * second), np.sqrt(8) * third / second**1.5


def _functions(argument: Columns) -> np.ndarray:
    """f64[n,k], centred."""
    if argument.discrete:
        values = np.eye(argument.codes.max() + 1)[argument.codes]
        values /= np.sqrt(np.maximum(values.mean(axis=0), _RARE))
    else:
        ranks = (stats.rankdata(argument.values, axis=0) - 0.5) / len(argument.values)
        waves = np.cos(np.pi * ranks[:, :, None] * _WAVES) / np.sqrt(_WAVES)
        values = waves.reshape(len(ranks), -1)
    return values - values.mean(axis=0)
