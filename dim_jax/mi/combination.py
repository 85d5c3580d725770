"""The sum of several critics with weights that are fitted on validation samples."""

from typing import NamedTuple

import numpy as np

from dim_jax.mi import held_out

_RIDGE = 1e-3  # nats, of a squared weight
_WORTH, _WORTH_PER_SAMPLE = 2e-3, 2.5  # nats, of a critic that is added, and over the samples
_LARGEST_WEIGHT = 1.5
_SMALLEST_SCORE = np.float32(-7.0)  # nats: less changes no normaliser, and may cost any value
_SEARCHED = 800  # samples by which critics are chosen, before all give the weights
_FEWEST_PAIRS = 200  # in effect, of the normaliser, below which no critic is added
_STEPS = 30  # of Newton's method
_ENOUGH = 5e-4  # share of the value, or nats, that a limit of the scores may cost
_GAIN = 1e-5  # nats, of a step that counts as better
_QUANTILES = (0.9, 0.97, 0.99, 1.0)  # of the drawn pairs' scores: candidates for the largest score


class Combination(NamedTuple):
    """Weights f64[k] of critics, and the largest score of their sum.

    most: the log of the number of pairs over their normaliser, which `largest` is not above.
    """

    weights: np.ndarray
    largest: float
    most: float = np.inf

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """f32[m,m] of the critics' scores f32[k,m,m]."""
        combined = np.tensordot(self.weights.astype(np.float32), scores, axes=1)
        return np.clip(combined, _SMALLEST_SCORE, np.float32(self.largest))


def fit(scores: np.ndarray) -> Combination:
    """Of scores f32[k,m,m]: few critics, with the weights of the largest Donsker-Varadhan value.

    One after the other is added, the one that adds most, until none adds more than noise, or until
    few pairs decide the normaliser, as of large information, where gains are noise. Above the
    largest score the critics extrapolate, and single pairs would decide it; it is never above the
    log of the number of pairs, over the normaliser.
    """
    few = scores[:, :_SEARCHED, :_SEARCHED]
    weights, best, pairs = np.zeros(len(scores)), 0.0, np.inf
    worth = max(_WORTH, _WORTH_PER_SAMPLE / few.shape[1])
    used: list[int] = []
    left = list(range(len(scores)))
    while left and pairs > _FEWEST_PAIRS:
        tried = {index: _fitted(few[[*used, index]]) for index in left}
        left = [index for index in left if tried[index][1] > best + worth]
        if not left:
            break
        index = max(left, key=lambda each: tried[each][1])
        used.append(index)
        left.remove(index)
        _, best, pairs = tried[index]
    if not used:
        return Combination(weights, np.inf)
    weights[used] = _fitted(scores[used])[0]
    combined = np.tensordot(weights[used].astype(np.float32), scores[used], axes=1)
    # A larger score than the pairs of the product can show would be of pairs that they lack.
    most = held_out.log_mean([np.maximum(combined, _SMALLEST_SCORE)])
    most += np.log(len(combined) * (len(combined) - 1))
    candidates = np.minimum([*np.quantile(np.diagonal(combined), _QUANTILES), np.inf], most)
    values = [held_out.value(np.minimum(combined, np.float32(each))) for each in candidates]
    # The smallest of those that are about as good: other samples have larger scores.
    enough = max(values) - _ENOUGH * max(abs(max(values)), 1.0)
    chosen = candidates[int(np.argmax(np.array(values) >= enough))]
    return Combination(weights, float(chosen), float(most))


def refitted_value(scores: np.ndarray) -> float:
    """The value of all of the scores f32[k,m,m] with the weights of the largest one, in nats."""
    return held_out.value(np.tensordot(_fitted(scores)[0].astype(np.float32), scores, axes=1))


def _fitted(scores: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Weights >= 0, the value less a ridge, which is concave in them, and the effective pairs.

    That many pairs of equal shares would make the normaliser as uncertain as these do.
    """
    count, size, _ = scores.shape
    drawn = np.diagonal(scores, axis1=1, axis2=2).mean(axis=1, dtype=np.float64)
    others = scores[:, *np.triu_indices(size, 1)]  # half of them takes half the time

    def normaliser(weights):
        combined = weights.astype(np.float32) @ others
        peak = float(combined.max())
        shares = np.exp(combined - np.float32(peak))
        mean = float(shares.mean(dtype=np.float64))
        return peak + np.log(mean), shares / np.float32(mean * shares.size)

    def objective(weights):
        log_mean, shares = normaliser(weights)
        return weights @ drawn - log_mean - _RIDGE * weights @ weights, shares

    weights = np.zeros(count)
    best, shares = objective(weights)
    for _ in range(_STEPS):
        means = (others @ shares).astype(np.float64)
        slope = drawn - means - 2 * _RIDGE * weights
        active = (weights > 0) | (slope > 0)
        if not active.any():
            break
        curvature = ((others * shares) @ others.T).astype(np.float64) - np.outer(means, means)
        curvature += 2 * _RIDGE * np.eye(count)
        step = np.zeros(count)
        step[active] = np.linalg.solve(curvature[np.ix_(active, active)], slope[active])
        for scale in (1.0, 0.5, 0.25, 0.1, 0.02):
            candidate = np.clip(weights + scale * step, 0.0, _LARGEST_WEIGHT)
            value, its_shares = objective(candidate)
            if value > best + _GAIN:
                break
        else:
            break
        weights, best, shares = candidate, value, its_shares
    return weights, best, float(1 / np.sum(shares**2, dtype=np.float64))
