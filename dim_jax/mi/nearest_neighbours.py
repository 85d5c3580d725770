"""Mutual information by the distances of nearest neighbours (KSG), for a few continuous columns."""

import numpy as np
from scipy import spatial, special

from dim_jax.mi import held_out
from dim_jax.mi.pooled import Pooled

NEIGHBOURS = 5
MOST_PERMUTATIONS = 99  # each takes as long as the estimate
MOST_PERMUTED = 10_000  # values, samples times columns, of an estimate that is permuted
_JITTER = 1e-10  # deviations, added to columns with values that repeat


def prepared(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Columns f64[n,d] with deviation 1, and whether values repeat, which get a tiny noise."""
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    tied = [column for column in range(values.shape[1]) if _repeats(values[:, column])]
    noise = np.random.default_rng(0).normal(size=(len(values), len(tied)))
    values[:, tied] += _JITTER * noise
    return values, bool(tied)


def _repeats(column: np.ndarray) -> bool:
    return len(np.unique(column)) < len(column)


def measure(
    x: np.ndarray,
    y: np.ndarray,
    given: np.ndarray | None = None,
    *,
    blocks: np.ndarray | None = None,
    permutations: int = 0,
    random: np.random.Generator | None = None,
) -> Pooled:
    """Of `prepared` columns f64[n,d]; I(x; y | given) has no permutations.

    Source: Kraskov et al. 2004, equation 8 (the first estimator, with the largest norm); Frenzel
      and Pompe 2007 (given).
    """
    if given is not None:
        return Pooled.without_folds(_terms_given(x, y, given), np.empty(0))
    trees = [spatial.cKDTree(side) for side in (x, y)]
    if x.size + y.size > MOST_PERMUTED:
        permutations = 0
    null = np.empty(min(permutations, MOST_PERMUTATIONS))
    for index in range(len(null)):
        order = held_out.permutation(len(x), blocks, random)
        null[index] = _terms(trees, x, y, order).mean()
    return Pooled.without_folds(_terms(trees, x, y, np.arange(len(x))), null)


def _terms(trees, x: np.ndarray, y: np.ndarray, order: np.ndarray) -> np.ndarray:
    """f64[n]: the term of each pair of x and of y in this order."""
    y = y[order]
    inside = _distances(x, y)
    counts = [_count(tree, side, inside) for tree, side in zip(trees, (x, y), strict=True)]
    among = special.digamma(NEIGHBOURS) + special.digamma(len(x))
    return among - special.digamma(counts[0]) - special.digamma(counts[1])


def _terms_given(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> np.ndarray:
    inside = _distances(x, y, given)
    both = [np.concatenate([side, given], axis=1) for side in (x, y)]
    counts = [_count(spatial.cKDTree(part), part, inside) for part in (given, *both)]
    alone, with_x, with_y = map(special.digamma, counts)
    return special.digamma(NEIGHBOURS) + alone - with_x - with_y


def _distances(*sides: np.ndarray) -> np.ndarray:
    """f64[n]: just below the distance of the k-th neighbour in all columns."""
    joint = np.concatenate(sides, axis=1)
    # Neighbours are k + 1 because each sample is at distance 0 from itself.
    reach = spatial.cKDTree(joint).query(joint, k=NEIGHBOURS + 1, p=np.inf)[0][:, -1]
    return np.nextafter(reach, 0)


def _count(tree: spatial.cKDTree, side: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """i[n]: the samples within each distance, the sample itself among them."""
    return tree.query_ball_point(side, inside, p=np.inf, return_length=True)
