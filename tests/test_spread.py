"""Effective rank, deviation, uniformity and alignment of features against their definitions."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax.losses import spread

RANDOM = np.random.default_rng(0)
CASES = {
    "tall": RANDOM.normal(size=(24, 6)),
    "wide": RANDOM.normal(size=(12, 40)),
    "few directions": RANDOM.normal(size=(20, 2)) @ RANDOM.normal(size=(2, 16)),
    "one direction and a mean": 5 + RANDOM.normal(size=(20, 1)) @ RANDOM.normal(size=(1, 16)),
    "positive": np.maximum(RANDOM.normal(size=(16, 30)), 0),
    "equal": np.ones((5, 7)),
}


def rank(rows) -> float:
    singular = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
    share = singular / singular.sum()
    return np.exp(-sum(p * np.log(p) for p in share if p > 1e-12))


def unit(rows):
    return np.array([row / np.linalg.norm(row) for row in rows])


def uniformity(rows) -> float:
    pairs = itertools.permutations(unit(rows), 2)
    return np.log(np.mean([np.exp(-2 * np.sum((u - v) ** 2)) for u, v in pairs]))


@jax.jit
def measures(rows, others):
    return (
        *(spread.effective_rank(rows), spread.deviation(rows), spread.uniformity(rows)),
        *(spread.alignment(rows, others), jax.grad(lambda x: spread.uniformity(x))(rows)),
    )


@pytest.mark.parametrize("case", CASES)
def test_against_the_definitions_in_float64(case):
    rows = CASES[case]
    others = rows + 0.3
    found = measures(jnp.asarray(rows, jnp.float32), jnp.asarray(others, jnp.float32))
    # Singular values of float32 features below a thousandth of the largest one are noise.
    assert found[0] == pytest.approx(0 if case == "equal" else rank(rows), rel=0.02)
    deviation = np.sqrt(rows.shape[1]) * np.mean([np.std(column) for column in unit(rows).T])
    assert found[1] == pytest.approx(deviation, abs=1e-5)
    assert found[2] == pytest.approx(uniformity(rows), abs=1e-5)
    apart = np.mean([np.sum((u - v) ** 2) for u, v in zip(unit(rows), unit(others), strict=True)])
    assert found[3] == pytest.approx(apart, abs=1e-5)
    assert np.isfinite(found[4]).all()


def test_the_deviation_of_isotropic_features_is_one():
    rows = RANDOM.normal(size=(400, 50))
    assert spread.deviation(jnp.asarray(rows)) == pytest.approx(1, abs=0.02)
    assert spread.largest_rank(400, 50) == 50 and spread.largest_rank(40, 50) == 39
