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


def held_out(names, seed=0) -> set[str]:
    labels = np.array([{"c": 0, "d": 1}[name[0]] for name in names])
    train, test = holdout.hold_out_by_name(names, labels, 0.2, seed)
    assert sorted([*train, *test]) == list(range(len(names)))
    return {names[row] for row in test}


NAMES = [f"c/{i}" for i in range(50)] + [f"d/{i}" for i in range(10)]


def test_by_name_the_share_of_each_class():
    chosen = held_out(NAMES)
    assert sum(name[0] == "c" for name in chosen) == 10 and len(chosen) == 12
    assert held_out(NAMES[::-1]) == chosen  # whatever the order
    assert held_out(NAMES, seed=1) != chosen


def test_by_name_one_image_more_moves_at_most_one_other():
    before = held_out(NAMES)
    for new in range(50, 80):
        moved = (held_out([f"c/{new}", *NAMES]) ^ before) - {f"c/{new}"}
        assert len(moved) <= 1 and not any(name.startswith("d") for name in moved)


def test_the_hash_of_names_is_pinned():
    # Written down: another hash would change the test images of everybody's folders.
    assert held_out([f"c/{i}.png" for i in range(10)]) == {"c/8.png", "c/9.png"}
