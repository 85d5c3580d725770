"""Mutual information of a Gaussian copula, in closed form by canonical correlations."""

import numpy as np
import threadpoolctl
from scipy import special

from dim_jax import contracts
from dim_jax.mi import held_out
from dim_jax.mi.pooled import Pooled

_LARGEST_CORRELATION = 1 - 1e-7
_SMALLEST = 1e-6  # of the largest singular value: columns that depend on others have less


@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")  # as in cross_fit.run
def measure(
    x: np.ndarray,
    y: np.ndarray,
    *,
    blocks: np.ndarray | None = None,
    permutations: int = 0,
    random: np.random.Generator | None = None,
) -> Pooled:
    """Of normal scores f64[n,d], without the bias that it has for Gaussian samples.

        -1/2 sum_k log(1 - correlation_k^2) - bias

    Raises:
      UserError: not more samples than columns.

    Source: the distribution of a Wishart determinant, Anderson 2003, section 7.5 (bias); Klaassen
      and Wellner 1997 (efficiency of normal scores).
    """
    count = len(x)
    left, right = _directions(x), _directions(y)
    dims = left.shape[1], right.shape[1]
    if count <= sum(dims) + 2:
        raise contracts.UserError(
            f"method gaussian has {count:,} samples of {sum(dims):,} columns, and needs more "
            "samples than columns; use the default, or leave columns out"
        )
    bias = _bias(count, *dims)
    null = np.empty(permutations)
    for index in range(permutations):
        order = held_out.permutation(count, blocks, random)
        correlations = np.linalg.svd(left.T @ right[order], compute_uv=False)
        null[index] = _value(correlations) - bias
    u, correlations, v = np.linalg.svd(left.T @ right, full_matrices=False)
    terms = _terms(correlations, left @ u * np.sqrt(count), right @ v.T * np.sqrt(count))
    # Where all correlations are zero the terms are, and 2 n times the value is chi-squared.
    return Pooled.without_folds(terms - bias, null, noise=np.sqrt(np.prod(dims) / 2) / count)


def _directions(scores: np.ndarray) -> np.ndarray:
    """Orthonormal columns f64[n,r] that span the centred ones."""
    columns, values, _ = np.linalg.svd(scores - scores.mean(axis=0), full_matrices=False)
    return columns[:, values > _SMALLEST * values[0]]


def _value(correlations: np.ndarray) -> float:
    squares = np.minimum(correlations, _LARGEST_CORRELATION) ** 2
    return float(-0.5 * np.sum(np.log1p(-squares)))


def _terms(correlations: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """f64[n]: the log density ratio of each pair of canonical variates f64[n,r]; mean `_value`."""
    correlations = np.minimum(correlations, _LARGEST_CORRELATION)
    precision = 1 / (1 - correlations**2)
    quadratic = (u**2 + v**2) @ (correlations**2 * precision) / 2
    return _value(correlations) - quadratic + (u * v) @ (correlations * precision)


def _bias(count: int, x: int, y: int) -> float:
    """Expected value less the truth, of x and y columns."""

    def of(columns: int) -> float:
        return float(np.sum(special.digamma((count - np.arange(1, columns + 1)) / 2)))

    return (of(x) + of(y) - of(x + y)) / 2
