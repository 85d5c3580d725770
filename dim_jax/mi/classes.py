"""Mutual information of discrete variables, from the counts of their joint values."""

import numpy as np
from scipy import special

from dim_jax.mi import held_out, sampling_errors
from dim_jax.mi.result import Estimate

_LABEL = "estimate: of the counts, with the Miller-Madow correction of their bias"
_FEWEST = 5.0  # samples for each combination of classes, below which the correction is too small


def estimate(
    x: np.ndarray,
    y: np.ndarray,
    *,
    given: np.ndarray | None = None,
    blocks: np.ndarray | None = None,
    permutations: int,
    random: np.random.Generator,
    confidence: float,
    **facts,
) -> Estimate:
    """I(x; y), or I(x; y | z) with z `given`, of classes i[n] from 0.

    Permutations are of y, within each class of z, or of `blocks`. With both there is no test.

    Args:
      blocks: labels i[n] of samples that depend on each other.
      facts: those of `Estimate`.

    Source: Miller 1955 (bias); Roulston 1999 (error).
    """
    count = len(x)
    z = np.zeros(count, int) if given is None else given
    terms, bias = _terms(x, y, z)
    plug_in, error = float(np.mean(terms)), sampling_errors.standard_error(terms, blocks)
    if given is not None and blocks is not None:
        permutations = 0
    shuffled = [_terms(x, y[_permutation(z, blocks, random)], z) for _ in range(permutations)]
    permuted = np.array([np.mean(each) for each, _ in shuffled])
    # Of independent classes the terms hardly vary, and 2 n times the value is chi-squared.
    reach = special.ndtri((1 + confidence) / 2) * max(error, abs(bias))
    value = plug_in - bias
    cells = (int(x.max()) + 1) * (int(y.max()) + 1) * (int(z.max()) + 1)
    reliable = count >= _FEWEST * cells
    per_cell = f"{count / cells:.1f} samples for each of {cells:,} combinations of classes"
    return Estimate(
        nats=value,
        standard_error=error,
        # Combinations that have not occurred make the correction too small.
        interval=sampling_errors.interval(value, reach + abs(bias), reach),
        confidence=confidence,
        p_value=sampling_errors.p_value(plug_in, permuted),
        null=permuted - np.array([each for _, each in shuffled]),
        guaranteed=None,
        reliable=reliable,
        why=per_cell if reliable else f"{per_cell}, and at least {_FEWEST:.0f} are needed",
        label=_LABEL,
        method="counts",
        **facts,
    )


def _permutation(z: np.ndarray, blocks: np.ndarray | None, random) -> np.ndarray:
    if blocks is not None:
        return held_out.permutation(len(z), blocks, random)
    order = np.argsort(z, kind="stable")
    permuted = np.empty(len(z), int)
    permuted[order] = order[np.lexsort((random.random(len(z)), z[order]))]
    return permuted


def _terms(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, float]:
    """The log ratio f64[n] of each sample by the counts, and the bias of their mean."""
    both, left, right = _joined(_joined(x, y), z), _joined(x, z), _joined(y, z)
    counts = [np.bincount(each) for each in (both, z, left, right)]
    logs = [np.log(count[each]) for count, each in zip(counts, (both, z, left, right), strict=True)]
    occupied = [np.count_nonzero(count) for count in counts]
    bias = (occupied[0] + occupied[1] - occupied[2] - occupied[3]) / (2 * len(x))
    return logs[0] + logs[1] - logs[2] - logs[3], bias


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One code for every combination of two."""
    return first * (int(second.max()) + 1) + second
