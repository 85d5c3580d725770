"""What a caller can get wrong: one sentence that says what came, what is needed, what to change."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references

from dim_jax import bounds
from dim_jax.bounds import blockwise, pairs

every = pytest.mark.parametrize("name", references.ESTIMATORS)
TWO_POSITIVES = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], bool)
SHARED_CANDIDATE = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]], bool)

MISTAKES = {
    "rank": (np.zeros(4), {}, ValueError, r"shape \(4,\).*\[anchors, candidates, \*locations\]"),
    "empty": (np.zeros((4, 4, 0)), {}, ValueError, r"shape \(4, 4, 0\).*none of them empty"),
    "integers": (np.zeros((4, 4), int), {}, TypeError, r"int32\[4, 4\].*floating-point.*astype"),
    "not square": (np.zeros((4, 6, 2)), {}, ValueError, r"\(4, 6, 2\).*pass positives b\[4, 6\]"),
    "batch of 1": (np.zeros((1, 1)), {}, ValueError, r"\(1, 1\): a batch of 1 .*larger"),
    "mask shape": (
        np.zeros((4, 4)),
        {"positives": np.eye(3, dtype=bool)},
        ValueError,
        r"\(3, 3\).*\(4, 4\)",
    ),
    "mask type": (np.zeros((4, 4)), {"positives": np.eye(4)}, TypeError, r"float64\[4, 4\].*bool"),
    "empty row": (
        np.zeros((3, 3)),
        {"positives": np.eye(3, k=1, dtype=bool)},
        ValueError,
        "0 True in row 2.*exactly one",
    ),
    "two in a row": (
        np.zeros((3, 3)),
        {"positives": TWO_POSITIVES},
        ValueError,
        "2 True in row 0.*exactly one",
    ),
    "columns shape": (
        np.zeros((3, 3)),
        {"positives": np.zeros((3, 1), int)},
        ValueError,
        r"\(3, 1\) and scores \(3, 3\).*pass shape \(3,\)",
    ),
    "no such column": (
        np.zeros((3, 3)),
        {"positives": np.array([0, 1, 3])},
        ValueError,
        "column 3 for row 2 and scores have 3 columns.*0 to 2",
    ),
    "no axis": (np.zeros((4, 4)), {"axis_name": "data"}, ValueError, "'data' is not an axis here"),
    "sharded": (np.zeros((4, 4)), {"sharded": "rows"}, ValueError, "'rows' is unknown"),
}


@every
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_raise_at_trace_time(name, mistake):
    scores, options, error, message = MISTAKES[mistake]
    with pytest.raises(error, match=message) as raised:
        jax.eval_shape(lambda scores: references.call(name, scores, **options), scores)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name", [name for name, estimator in references.ESTIMATORS.items() if estimator.unique]
)
def test_two_positives_for_one_candidate(name):
    with pytest.raises(ValueError, match=r"column 0 for 2 anchors.*at most one"):
        references.call(name, np.zeros((3, 3)), SHARED_CANDIDATE)
    with pytest.raises(ValueError, match=r"\(1, 5\).*along axis 0"):
        references.call(name, np.zeros((1, 5)), np.eye(1, 5, dtype=bool))


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_interpolated_needs_a_positive_for_every_candidate(alpha):
    with pytest.raises(ValueError, match="3 anchors with 8 candidates; pass a square matrix"):
        bounds.interpolated(np.zeros((3, 8)), np.eye(3, 8, dtype=bool), alpha=alpha)
    with pytest.raises(ValueError, match="column 0 for 2 anchors"):
        bounds.interpolated(np.zeros((3, 3)), SHARED_CANDIDATE, alpha=alpha)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (partial(bounds.infonce, negatives="rows"), ValueError, "'rows' is unknown; use one of"),
        (partial(bounds.smile, tau=0.0), ValueError, "tau is 0.0;.*positive tau"),
        (partial(bounds.nwj, clip=-1.0), ValueError, r"clip is -1.0;.*pass a positive"),
        (partial(bounds.interpolated, alpha=1.5), ValueError, "alpha is 1.5;.*from 0 to 1"),
        (
            partial(bounds.mine, state=bounds.mine_state(), decay=1.0),
            ValueError,
            "decay is 1.0;.*0 <= decay < 1",
        ),
        (
            partial(bounds.tuba, log_baseline=np.zeros(2)),
            ValueError,
            r"log_baseline has shape \(2,\) and scores \(3, 3\).*pass shape \(3,\)",
        ),
    ],
)
def test_mistakes_of_single_estimators(call, error, message):
    with pytest.raises(error, match=message):
        jax.eval_shape(call, np.zeros((3, 3)))


def test_a_dense_bound_takes_scores_and_no_pairs():
    with pytest.raises(TypeError, match="Matrix"):
        bounds.infonce(pairs.Matrix(np.zeros((3, 3))))
    with pytest.raises(TypeError, match=r"infonce\(\) got an unexpected keyword argument 'tau'"):
        bounds.infonce(np.zeros((3, 3)), tau=1.0)
    with pytest.raises(TypeError, match=r"smile\(\) missing a required.*argument: 'tau'"):
        bounds.smile(np.zeros((3, 3)))


def test_mistakes_of_likelihoods():
    with pytest.raises(ValueError, match=r"\(3,\) and log_conditional \(4,\).*equal shapes"):
        bounds.difference_of_entropies(np.zeros(3), np.zeros(4))
    with pytest.raises(TypeError, match=r"int32\[3\].*floats"):
        bounds.barber_agakov(np.zeros(3, int), entropy=1.0)
    with pytest.raises(ValueError, match=r"shape \(\).*one number per sample"):
        bounds.barber_agakov(np.zeros(()), entropy=1.0)


@pytest.mark.parametrize(
    ("shape", "sharded", "message"),
    [
        ((8, 2, 9), "anchors", "2 anchors per device need 16 candidates"),
        ((8, 9, 2), "candidates", "2 candidates per device need 16 anchors"),
        ((8, 2, 16), "candidates", "16 candidates per device need 128 anchors"),
    ],
)
def test_a_block_that_is_no_share_of_a_square_matrix(shape, sharded, message):
    f = partial(bounds.infonce, axis_name="data", sharded=sharded)
    with pytest.raises(ValueError, match=rf"on each of 8 devices of axis 'data'.*{message}"):
        jax.vmap(f, axis_name="data")(np.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros((4, 2)), np.zeros((4, 2))), {"block": 0}, "block is 0;"),
        ((np.zeros(()), np.zeros((4, 2))), {}, r"anchors have shapes \[\(\)\]"),
        (({"a": np.zeros((4, 2)), "b": np.zeros(3)}, np.zeros((4, 2))), {}, "anchors have shapes"),
        ((np.zeros((4, 2)), np.zeros((0, 2))), {}, "candidates have shapes"),
        ((np.zeros((4, 2)), np.zeros((6, 2))), {}, r"\(4, 6\) and positives are missing"),
        (
            (np.zeros((4, 2)), np.zeros((4, 2)), lambda a, c: jnp.sum(a * c, 1)),
            {"block": 2},
            r"critic gives shape \(2,\) for 2 anchors and 2 candidates.*score all pairs",
        ),
        ((np.zeros((1, 2)), np.zeros((1, 2))), {}, "a batch of 1 has no negatives"),
    ],
)
def test_mistakes_of_blockwise(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        blockwise.infonce(*arguments, **options)


def test_integer_scores_of_a_critic():
    with pytest.raises(TypeError, match=r"scores are int32\[4, 4\]"):
        blockwise.infonce(
            np.zeros((4, 2)), np.zeros((4, 2)), lambda a, c: jnp.zeros((len(a), len(c)), int)
        )


def test_a_mask_over_another_number_of_pairs():
    with pytest.raises(ValueError, match=r"\(3, 3\).*pass shape \(4, 4\)"):
        blockwise.infonce(np.zeros((4, 2)), np.zeros((4, 2)), positives=np.eye(3, dtype=bool))


NO_POSITIVE = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1]], bool)


@pytest.mark.parametrize(
    "positives", [TWO_POSITIVES, NO_POSITIVE, np.array([0, 1, 3]), np.array([0, -1, 2])]
)
def test_traced_positives_that_are_not_one_per_anchor_make_every_value_nan(positives):
    scores = np.ones((3, 3), np.float32)

    @jax.jit
    def values(positives):
        return {name: references.call(name, scores, positives) for name in references.ESTIMATORS}

    for name, value in values(positives).items():
        assert np.isnan(value), name


@pytest.mark.parametrize("sharded", ["anchors", "candidates"])
def test_devices_with_two_positives_of_an_anchor_or_none_all_hold_nan(sharded):
    def value(positives):
        axis = 0 if sharded == "anchors" else 1
        blocks = np.stack(np.split(positives, 2, axis))
        scores = np.ones(blocks.shape, np.float32)
        f = partial(bounds.infonce, axis_name="data", sharded=sharded)
        return jax.vmap(f, axis_name="data")(scores, blocks)

    right = np.eye(4, dtype=bool)
    assert np.isfinite(value(right)).all()
    two, none = right.copy(), right.copy()
    two[0, 3] = True  # on another device, if candidates are sharded
    none[2, 2] = False
    assert np.isnan(value(two)).all() and np.isnan(value(none)).all()
