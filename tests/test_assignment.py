"""The assignment: the best of all, never worse than the identity, done whatever it is given."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from dim_jax.losses import assignment
from dim_jax.training import train_step

solve = jax.jit(assignment.solve)


def total(scores: np.ndarray, columns) -> float:
    return scores.astype(np.float64)[np.arange(len(scores)), np.asarray(columns)].sum()


def test_none_of_all_permutations_is_better():
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores = generator.normal(size=(5, 5)).astype(np.float32)
        best = max(itertools.permutations(range(5)), key=lambda order: total(scores, order))
        columns, gain = solve(scores)
        assert tuple(columns) == best
        expected = (total(scores, best) - np.trace(scores)) / 5
        np.testing.assert_allclose(gain, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shared", [0.0, 5.0], ids=["scattered", "alike"])
def test_as_good_as_scipy_on_64(shared):
    """Also where all features are near one direction, as at the start of training."""
    generator = np.random.default_rng(1)
    features = generator.normal(size=(64, 16)) + shared * generator.normal(size=(1, 16))
    scores = np.float32(features @ generator.normal(size=(16, 64)))
    columns, _ = solve(scores)
    rows, best = optimize.linear_sum_assignment(scores, maximize=True)
    assert sorted(np.asarray(columns)) == list(rows)
    assert total(scores, columns) == pytest.approx(total(scores, best), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
def test_the_identity_stays_where_nothing_is_better(value):
    columns, gain = solve(np.full((7, 7), value, np.float32))
    np.testing.assert_array_equal(columns, np.arange(7))
    assert gain == 0
    columns, gain = solve(10 * np.eye(7, dtype=np.float32) + value)
    np.testing.assert_array_equal(columns, np.arange(7))
    assert gain == 0


def test_scores_that_are_not_finite_end_in_a_permutation():
    for bad in (np.nan, np.inf, -np.inf):
        for scores in (np.full((6, 6), bad), np.where(np.eye(6) > 0, bad, 1.0)):
            columns, gain = solve(np.float32(scores))
            assert sorted(np.asarray(columns)) == list(range(6)) and np.isfinite(gain)


def test_no_gradient_flows():
    def gain(scores):
        return assignment.solve(scores)[1]

    scores = jax.random.normal(jax.random.key(0), (6, 6))
    np.testing.assert_array_equal(jax.grad(gain)(scores), jnp.zeros((6, 6)))


def test_the_same_on_eight_devices_with_a_large_batch():
    """256 rows, at which a solver called back on the host never returned."""
    generator = np.random.default_rng(0)
    parts = [np.float32(generator.normal(size=(256, 16))) for _ in range(2)]
    split = jax.sharding.NamedSharding(train_step.mesh(), jax.sharding.PartitionSpec("data"))
    compiled = jax.jit(lambda features, targets: assignment.solve(features @ targets.T))
    sharded, _ = compiled(*jax.device_put(parts, split))
    best = optimize.linear_sum_assignment(parts[0] @ parts[1].T, maximize=True)[1]
    np.testing.assert_array_equal(sharded, best)
