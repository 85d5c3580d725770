"""The held-out split."""

import numpy as np
import pytest

from dim_jax.data import holdout


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.9])
def test_a_partition_with_the_right_share_of_each_class(fraction):
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(4), [100, 50, 20, 10]))
    train, test = holdout.hold_out(labels, fraction, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(180))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    wanted = np.round(np.array([100, 50, 20, 10]) * fraction)
    np.testing.assert_array_equal(np.bincount(labels[test]), wanted)


def test_depends_on_the_seed_only():
    labels = np.full(100, -1)
    one, again, other = (holdout.hold_out(labels, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert len(other) == 20 and (one != other).any()


def test_the_permutation_is_pinned():
    # Numbers written down: a change here would silently change everybody's test sets.
    np.testing.assert_array_equal(holdout.hold_out(np.full(10, -1), 0.3, seed=0)[1], [2, 4, 8])


@pytest.mark.parametrize(
    ("labels", "held"),
    [([-1, -1], 1), ([0, 1, 2], 1), ([0, 0, 1, 1], 2), ([0, 0, 0, 1], 1), ([0] * 9 + [1] * 2, 3)],
)
def test_small_sets_leave_something_on_both_sides(labels, held):
    train, test = holdout.hold_out(np.array(labels), 0.2, seed=0)
    assert len(test) == held and len(train) == len(labels) - held
