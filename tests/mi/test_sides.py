"""Normal scores, distances and modulated scores of the samples."""

import numpy as np
from scipy import stats

from dim_jax.mi.sides import Side

N = 300


def test_modulated_scores_turn_with_the_distance():
    x = Side.of(np.random.default_rng(0).normal(size=(N, 2)))
    turned = x.modulated(2).scores
    place = stats.norm.cdf(x.radii[:, -1])
    columns = [x.scores]
    columns += [x.scores * np.cos(np.pi * wave * place)[:, None] for wave in (1, 2)]
    columns += [x.scores * np.sin(np.pi * wave * place)[:, None] for wave in (1, 2)]
    np.testing.assert_allclose(turned, np.concatenate(columns, axis=1), atol=1e-12)
    assert x.modulated(0) is x


def test_ranks_do_not_change_with_a_monotone_function():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 2))
    sides = Side.of(values), Side.of(np.stack([np.exp(values[:, 0]), values[:, 1] ** 3], axis=1))
    for field in ("scores", "uniform"):
        first, second = (getattr(side, field) for side in sides)
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(sides[0].radii[:, 1:], sides[1].radii[:, 1:])
    expected = stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / N)
    np.testing.assert_allclose(sides[0].scores, expected)
