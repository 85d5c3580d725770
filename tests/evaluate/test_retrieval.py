"""Retrieval by scores whose answer is known, and by a method's own critics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import bounds, build, contracts, experiment
from dim_jax.evaluate import suite
from dim_jax.evaluate.measures import retrieval
from dim_jax.training import preprocessing

PREPARED = preprocessing.Preprocessing((0.5,), (0.5,))


def scored(scores) -> contracts.Frozen:
    """A representation whose critic is `scores(views)`."""
    method = contracts.Method(None, None, None, scores=lambda params, state, views: scores(views))
    return experiment.freeze(method, {}, {}, PREPARED)


def cosines(views):
    rows = views[0].reshape(views.shape[1], -1)
    rows = rows / jnp.linalg.norm(rows, axis=1, keepdims=True)
    return {"copy": 50 * rows @ rows.T}


def test_known_answers(digits, rng):
    found = retrieval.evaluate(scored(cosines), digits.splits, rng, candidates=16)
    assert found["copy/retrieval"] == 1
    assert found["copy/retrieval_chance"] == 1 / 16
    rows = digits.splits["test"].images[:16].reshape(16, -1) / 255 * 2 - 1
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    matrix = 50 * rows @ rows.T
    once = retrieval.evaluate(scored(cosines), digits.splits, rng, candidates=16, images=16)
    others = np.where(np.eye(16), -np.inf, matrix)
    log_sum = np.log(np.exp(np.diag(matrix)) + np.exp(others).sum(1))
    expected = np.log(16) + np.mean(np.diag(matrix) - log_sum)
    assert once["copy/nats"] == pytest.approx(expected, abs=1e-4)


def test_equal_scores_are_chance(digits, rng):
    frozen = scored(lambda views: {"none": jnp.zeros((views.shape[1],) * 2)})
    found = retrieval.evaluate(frozen, digits.splits, rng, candidates=8)
    assert found["none/retrieval"] == pytest.approx(1 / 8)
    assert found["none/nats"] == pytest.approx(0, abs=1e-6)


def test_wrong_pairs_are_never_found(digits, rng):
    frozen = scored(lambda views: {"wrong": jnp.roll(jnp.eye(views.shape[1]), 1, axis=1)})
    found = retrieval.evaluate(frozen, digits.splits, rng, candidates=8)
    assert found["wrong/retrieval"] == 0
    assert found["wrong/nats"] < 0


def test_retrieved_by_loops(rng):
    scores = np.array(jax.random.randint(rng, (7, 7, 3), 0, 5), np.float64)  # with ties
    total = 0.0
    for i in range(7):
        for place in range(3):
            best = np.flatnonzero(scores[i, :, place] == scores[i, :, place].max())
            total += (i in best) / len(best)
    assert float(retrieval.retrieved(jnp.asarray(scores))) == pytest.approx(total / 21, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("dim_mnist", "smoke"),
        pytest.param("dim_strided", "globals=multiple,smoke", marks=pytest.mark.slow),
    ],
)
def test_deep_infomax(config, digits, rng, name, argument):
    """DIM's scores are those that its bound is computed from, with several globals too."""
    block = config(name, argument)["method"]["method"]
    method = build.make("method", block)
    side = 28 if name == "dim_mnist" else 32
    channels = 1 if name == "dim_mnist" else 3
    images = jax.random.normal(rng, (6, side, side, channels))
    batch = dict(images=images[None], labels=jnp.zeros(6, int), index=jnp.arange(6))
    params, state = jax.jit(method.init)(rng, batch)
    scores = jax.jit(method.scores)(params, state, images[None])["local"]
    assert scores.shape[:2] == (6, 6)
    assert np.prod(scores.shape[2:]) == (25 * 49 if name == "dim_strided" else 49)
    # Of one pair alone the scores are the same: nothing in them is of the other images.
    pair = jax.jit(method.scores)(params, state, images[None, 2:4])["local"]
    np.testing.assert_allclose(pair, scores[2:4, 2:4], rtol=1e-4, atol=1e-4)
    assert np.isfinite(bounds.infonce(scores, negatives="candidates"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(candidates=1), "candidates is 1"),
        (dict(candidates=100_000), "candidates is 100000"),
        (dict(candidates=8, images=7), "images is 7"),
    ],
)
def test_impossible_groups(digits, rng, options, words):
    with pytest.raises(contracts.UserError, match=words):
        retrieval.evaluate(scored(cosines), digits.splits, rng, **options)


def test_methods_without_scores(digits):
    method = contracts.Method(None, None, None)
    with pytest.raises(contracts.UserError, match="compares no examples"):
        suite.check({"retrieval": dict(name="retrieval")}, digits, method)
