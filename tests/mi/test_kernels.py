"""Kernel critics beside plain sums in float64."""

import numpy as np
import pytest

from dim_jax.mi import kernels
from dim_jax.mi.kernels import Kernel
from dim_jax.mi.sides import Side

N, MIXED = 300, kernels._MIXED


def pairs(seed: int = 0, columns: int = 2, rho: float = 0.7, count: int = N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, columns))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(count, columns))
    return Side.of(x), Side.of(y)


def plain_kernel(queries, rows, width):
    return np.exp(-np.sum((queries - rows) ** 2, axis=-1) / (2 * width**2))


def scores_of(x, y):
    return x.scores, y.scores


def plain_ratio(joint, left, right, count):
    ratio = np.minimum(count * joint / (left[:, None] * right), 1e6)
    return np.log((1 - MIXED) * ratio + MIXED)


def test_kernel_is_the_plain_sum():
    x, y = pairs(count=80)
    width = 0.3
    kernel = Kernel.fit(scores_of, width, x, y)
    assert kernel.counts is None
    queries = pairs(seed=1, count=20)
    near = [
        plain_kernel(query.scores[:, None], side.scores[None], width)
        for query, side in zip(queries, (x, y), strict=True)
    ]
    joint = np.zeros((20, 20))
    for i in range(20):
        for j in range(20):
            for k in range(80):
                joint[i, j] += near[0][i, k] * near[1][j, k]
    expected = plain_ratio(joint, *(each.sum(axis=1) for each in near), 80)
    np.testing.assert_allclose(kernel(*queries), expected, atol=2e-3)


def test_scores_of_training_samples_leave_their_kernels_out():
    x, y = pairs(count=60)
    width = 0.5
    kernel = Kernel.fit(scores_of, width, x, y)
    given = kernel.without_each(x, y)
    near = [plain_kernel(side.scores[:, None], side.scores[None], width) for side in (x, y)]
    joint = np.empty((60, 60))
    for i in range(60):
        for j in range(60):
            kept = [k for k in range(60) if k not in (i, j)]
            joint[i, j] = np.sum(near[0][i, kept] * near[1][j, kept])
    expected = plain_ratio(joint, *(each.sum(axis=1) - 1 for each in near), 60)
    # Sums of few terms are differences in float32; most entries have many.
    close = np.isclose(given, expected, atol=2e-3)
    assert close.mean() > 0.99

    def ratio(score):
        return (np.exp(score) - MIXED) / (1 - MIXED)

    for i in (0, 7, 31):
        rest = np.delete(np.arange(60), i)
        again = Kernel.fit(scores_of, width, x.take(rest), y.take(rest))
        alone = again(x.take([i]), y.take([i]))[0, 0]
        np.testing.assert_allclose(ratio(given[i, i]) * 59 / 60, ratio(alone), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("width", [0.08, 0.3])
def test_grid_is_close_to_the_samples(width):
    x, y = pairs(columns=1)
    on_grid = Kernel.fit(scores_of, width, x, y)
    assert on_grid.counts is not None and on_grid.counts.sum() == N
    exact = Kernel(scores_of, width, scores_of(x, y), None)
    queries = pairs(seed=1, columns=1, count=40)
    given, expected = on_grid(*queries), exact(*queries)
    inside = np.abs(queries[0].scores) < 2, np.abs(queries[1].scores[:, 0]) < 2
    inside = inside[0] & inside[1]
    difference = np.abs(np.exp(given) - np.exp(expected))[inside]
    # Points of the grid are 0.02 apart, so that a sample moves by up to 0.01.
    assert difference.mean() < 0.005 / width
