"""Values of scored pairs that took no part in fitting: Donsker-Varadhan, its error, and a test.

A score matrix f[m,m] has the drawn pairs on its diagonal; every other entry is a pair of the
product of the marginals. Of many samples there are several matrices, one for each chunk.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def value(scores: np.ndarray) -> float:
    """The Donsker-Varadhan value of one matrix f[m,m], in nats."""
    return float(np.mean(np.diagonal(scores)) - log_mean([scores]))


def limited_value(scores: np.ndarray) -> float:
    """The same without scores above nearly all of the drawn pairs', which are extrapolated."""
    return value(np.minimum(scores, np.quantile(np.diagonal(scores), 0.97)))


def log_mean(matrices: Sequence[np.ndarray]) -> float:
    """log of the mean of exp(score) over all entries off the diagonals that are not -inf."""
    others = [_without_drawn(scores) for scores in matrices]
    # Not that of the drawn pairs, beside whose scores all others can be zero.
    peak = max(float(np.max(scores)) for scores in others)
    total = sum(float(np.sum(np.exp(each - np.float32(peak)), dtype=np.float64)) for each in others)
    return peak + float(np.log(total / sum(np.sum(each > -np.inf) for each in others)))


def without_pairs_of_blocks(
    matrices: Sequence[np.ndarray], blocks: np.ndarray | None
) -> Sequence[np.ndarray]:
    """With -inf for pairs of different samples of one block, which are not of the product.

    blocks: i[m] of the samples of all matrices, in order, or None.
    """
    if blocks is None:
        return matrices
    masked, start = [], 0
    for scores in matrices:
        inside = blocks[start : start + len(scores)]
        same = (inside[:, None] == inside) & ~np.eye(len(scores), dtype=bool)
        masked.append(np.where(same, -np.inf, scores))
        start += len(scores)
    return masked


def _without_drawn(scores: np.ndarray) -> np.ndarray:
    scores = scores.copy()
    np.fill_diagonal(scores, -np.inf)
    return scores


_NEAR = 1.0  # nats below the largest score that pairs can show


class Held(NamedTuple):
    """The measurements of the held-out samples of one fold.

    value: Donsker-Varadhan, in nats.
    influence: f64[m], the sample's share in `value`, with the mean `value`.
    bound: of Nguyen, Wainwright and Jordan, a lower bound in expectation, in nats.
    bound_influence: f64[m], the sample's share in `bound`.
    largest: of the normaliser, the share of the sample with the largest.
    ceiling: log of the number of pairs in the normaliser, above which no value has support.
    limited: of the drawn pairs, the share with about the largest score that pairs can show.
    """

    value: float
    influence: np.ndarray
    bound: float
    bound_influence: np.ndarray
    largest: float
    ceiling: float = math.inf
    limited: float = 0.0


def measure(matrices: Sequence[np.ndarray], log_baseline: float, most: float = math.inf) -> Held:
    """Of the matrices of one fold's chunks.

    Args:
      log_baseline: `log_mean` on validation samples.
      most: the largest score that the pairs of these can show.
    """
    log_normaliser = log_mean(matrices)
    drawn, shares, pairs = [], [], 0
    for scores in matrices:
        kept = _without_drawn(scores).astype(np.float64)
        weights = np.exp(kept - log_normaliser)
        others = np.sum(kept > -np.inf) / len(scores)
        pairs += others * len(scores)
        shares.append((weights.sum(axis=0) + weights.sum(axis=1)) / others)
        drawn.append(np.diagonal(scores).astype(np.float64))
    drawn, shares = np.concatenate(drawn), np.concatenate(shares)
    held_out = float(np.mean(drawn)) - log_normaliser
    # The mean of the shares is 2: each pair counts for both of its samples.
    influence = drawn - log_normaliser - (shares - 2)
    ratio = np.exp(min(log_normaliser - log_baseline, 50.0))
    bound = float(np.mean(drawn)) - log_baseline + 1 - ratio
    bound_influence = drawn - log_baseline + 1 - ratio * (shares - 1)
    largest = float(shares.max() / shares.sum())
    ceiling = math.log(pairs)
    limited = float(np.mean(drawn > most - _NEAR))
    return Held(held_out, influence, bound, bound_influence, largest, ceiling, limited)


def permuted_means(
    matrices: Sequence[np.ndarray], count: int, blocks: np.ndarray | None, random
) -> np.ndarray:
    """f64[count]: the mean score of the pairs where y is permuted, in all chunks.

    blocks: i[m] of the samples of all chunks, in order; whole blocks are then permuted.
    """
    sums, start = np.zeros(count), 0
    for scores in matrices:
        size = len(scores)
        inside = None if blocks is None else blocks[start : start + size]
        rows = np.arange(size)
        for index in range(count):
            sums[index] += scores[rows, permutation(size, inside, random)].sum(dtype=np.float64)
        start += size
    return sums / start


def permutation(size: int, blocks: np.ndarray | None, random) -> np.ndarray:
    """i[size], at random; of whole blocks with labels i[size] where these are given."""
    if blocks is None:
        return random.permutation(size)
    order = np.argsort(blocks, kind="stable")
    starts = np.flatnonzero(np.diff(blocks[order], prepend=-1))
    pieces = np.split(order, starts[1:])
    shuffled = np.concatenate([pieces[i] for i in random.permutation(len(pieces))])
    permuted = np.empty(size, int)
    permuted[order] = shuffled
    return permuted
