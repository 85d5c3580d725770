"""Weights of critics beside those of SciPy's optimiser on the same objective."""

import numpy as np
import pytest
from scipy import optimize, special

from dim_jax.mi import combination, held_out

M = 150


def drawn(seed: int = 0, rho: float = 0.8, count: int = M):
    rng = np.random.default_rng(seed)
    x, noise = rng.normal(size=(2, count, 2))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


def critics(x, y, rho: float = 0.8) -> np.ndarray:
    """f32[2,m,m]: the log density ratio of each of two columns."""
    left, right = x.T[:, :, None], y.T[:, None]
    distances = rho**2 * (left**2 + right**2) - 2 * rho * left * right
    return (-distances / (2 * (1 - rho**2))).astype(np.float32)


def objective(weights, scores) -> float:
    """Donsker-Varadhan less a ridge, over the pairs above the diagonal."""
    scores = scores.astype(np.float64)
    positive = np.diagonal(scores, axis1=1, axis2=2).mean(axis=1)
    negative = weights @ scores[:, *np.triu_indices(M, 1)]
    log_mean = special.logsumexp(negative) - np.log(negative.size)
    return weights @ positive - log_mean - 1e-3 * weights @ weights


def test_weights_are_those_of_another_optimiser():
    scores = critics(*drawn())
    given = combination.fit(scores)
    best = optimize.minimize(
        lambda weights: -objective(weights, scores), np.ones(2), bounds=[(0, None)] * 2
    )
    assert (given.weights > 0.5).all()
    assert objective(given.weights, scores) > -best.fun - 5e-4
    np.testing.assert_allclose(given.weights, best.x, atol=0.03)


def test_combination_is_the_sum_between_its_smallest_and_largest_score():
    scores = critics(*drawn())
    given = combination.fit(scores)
    total = np.tensordot(given.weights, scores, axes=1)
    np.testing.assert_allclose(given(scores), np.clip(total, -7, given.largest), atol=1e-4)
    assert held_out.value(given(scores)) >= held_out.value(total.astype(np.float32)) - 2e-3


def test_no_weight_is_negative():
    scores = critics(*drawn())
    opposed = np.concatenate([scores, -scores, -scores[:1] / 2])
    weights = combination.fit(opposed).weights
    assert (weights[:2] > 0).all() and (weights[2:] == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_critics_of_independent_samples_have_no_weight(seed):
    x, _ = drawn(seed, count=600)
    _, y = drawn(seed + 100, count=600)
    scores = critics(x, y)
    given = combination.fit(scores)
    np.testing.assert_array_equal(given.weights, 0.0)
    np.testing.assert_array_equal(given(scores), 0.0)


def test_a_copy_of_a_critic_adds_nothing():
    scores = critics(*drawn())
    alone = combination.fit(scores)
    copied = combination.fit(np.concatenate([scores, scores]))
    assert np.count_nonzero(copied.weights) == 2
    np.testing.assert_allclose(copied.weights[:2] + copied.weights[2:], alone.weights, atol=1e-6)


def test_scores_above_the_largest_are_cut_where_that_is_better():
    scores = critics(*drawn())
    scores[:, 3, 90] = 12.0  # one pair of the product with a score that no drawn pair has
    given = combination.fit(scores)
    total = np.tensordot(given.weights.astype(np.float32), scores, axes=1)
    assert given.largest <= np.diagonal(total).max() < total.max()
    assert held_out.value(given(scores)) > held_out.value(total) + 0.01


def test_no_score_is_above_the_log_of_the_number_of_pairs():
    """A score that drawn pairs alone have would make a value of any size."""
    scores = np.zeros((1, M, M), np.float32)
    scores[0, :9] = scores[0, :, :9] = -5.0
    scores[0, range(9), range(9)] = 500.0
    given = combination.fit(scores)
    combined = given(scores)
    highest = combined.max() - held_out.log_mean([combined])
    np.testing.assert_allclose(highest, np.log(M * (M - 1)), atol=1e-3)
    assert 0.4 < held_out.value(combined) < 1.0
