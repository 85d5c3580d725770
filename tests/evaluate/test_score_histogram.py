"""Scores with distributions that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.figures import score_histogram


def scored(targets, width=1) -> contracts.Frozen:
    """y is the first pixel; generated images are the code, a standard normal number, minus 1."""

    def represent(params, state, images):
        return {"y": jnp.repeat(jnp.asarray(images).reshape(len(images), -1)[:, :1], width, 1)}

    def decode(params, state, codes):
        return codes.reshape(-1, 1, 1, 1) - 1

    generative = contracts.Generative(decode, draw=jax.random.normal, width=1, targets=targets)
    method = contracts.Method(None, None, represent, generative)
    return contracts.Frozen(lambda images: represent(None, None, images), method, {}, {})


@pytest.fixture(scope="module")
def splits():
    def split(seed):
        values = np.random.default_rng(seed).normal(1, 1, (3000, 1, 1, 1)).astype(np.float32)
        return dataset.Split(values, np.zeros(3000, np.int32))

    return {"train": split(0), "test": split(1)}


def test_moments_and_overlap_of_two_gaussians(splits, rng):
    found = score_histogram.evaluate(scored((1.0, -1.0)), splits, rng)
    real = splits["test"].images.ravel().astype(np.float64)
    assert found["y/score_mean_real"] == pytest.approx(real.mean(), rel=1e-5)
    assert found["y/score_std_real"] == pytest.approx(real.std(), rel=1e-5)
    assert found["y/score_mean_generated"] == pytest.approx(-1, abs=0.06)
    assert found["y/score_std_generated"] == pytest.approx(1, abs=0.05)
    expected = 2 * stats.norm.cdf(-1)
    assert found["y/score_overlap_targets"] == pytest.approx(expected, rel=1e-12)
    assert found["y/score_overlap"] == pytest.approx(expected, abs=0.03)
    assert found["scores"].dtype == np.uint8 and found["scores"].shape[-1] == 3
    without = score_histogram.evaluate(scored(None), splits, rng)
    assert set(found) - set(without) == {"y/score_overlap_targets"}


def test_overlap_is_the_sum_of_the_smaller_shares():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    one, other = np.array([-5.0, 0.5, 1.5, 2.5]), np.array([1.2, 1.4, 1.6, 2.5, 9.0])
    # Shares 2/4, 1/4, 1/4 and 0, 3/5, 2/5: what lies beyond is in the outermost bins.
    assert score_histogram.overlap(one, other, edges) == pytest.approx(0.5)
    assert score_histogram.overlap(one, one, edges) == 1
    assert score_histogram.overlap(one - 10, one + 10, edges) == 0


def test_scores_without_spread_are_drawn(splits, rng):
    constant = {name: split._replace(images=0 * split.images) for name, split in splits.items()}
    found = score_histogram.evaluate(scored((1.0, -1.0)), constant, rng)
    assert found["y/score_std_real"] == 0 and 0 <= found["y/score_overlap"] < 0.2


def test_wide_representations_are_refused(splits):
    with pytest.raises(
        contracts.UserError, match=r"y has 3 coordinates .* remove 'score_histogram'"
    ):
        score_histogram.check_frozen(scored(None, width=3), splits)
