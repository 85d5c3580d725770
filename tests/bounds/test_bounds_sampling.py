"""Fewer negatives: all of them give the bound itself, fewer an average over draws."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from dim_jax import bounds, contracts


def scores(shape=(3, 3, 2)):
    return np.random.default_rng(0).standard_normal(shape)


def test_all_negatives_are_the_reference_objective():
    """R without its constant: log(count + 1) takes the place of log n."""
    value = bounds.with_fewer_negatives(bounds.infonce, scores(), 4, jax.random.key(0))
    expected = bounds.infonce(scores()) - math.log(3) + math.log(5)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for bound in (bounds.jensen_shannon, bounds.donsker_varadhan):
        value = bounds.with_fewer_negatives(bound, scores((4, 4)), 3, jax.random.key(0))
        if bound is bounds.jensen_shannon:
            np.testing.assert_allclose(value, bound(scores((4, 4))), rtol=1e-5)
    value = bounds.with_fewer_negatives(bounds.jensen_shannon, scores(), 4, jax.random.key(0))
    np.testing.assert_allclose(value, bounds.jensen_shannon(scores()), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_the_mean_over_draws_is_that_over_all_choices(count):
    t = scores()
    terms = []
    for i in range(3):
        others = np.concatenate([t[i, j] for j in range(3) if j != i])
        for chosen in itertools.combinations(others, count):
            for l in range(2):
                own = t[i, i, l]
                terms.append(math.log(count + 1) + own - logsumexp([own, *chosen]))

    @jax.jit
    @jax.vmap
    def draw(key):
        return bounds.with_fewer_negatives(bounds.infonce, jnp.asarray(t), count, key)

    values = draw(jax.random.split(jax.random.key(1), 4000))
    np.testing.assert_allclose(values.mean(), np.mean(terms), atol=4 * values.std() / 4000**0.5)
    assert values.max() < math.log(count + 1)


def test_more_than_there_are():
    with pytest.raises(contracts.UserError, match=r"5 negatives.*batch of 3 with 2 loc.*has 4;"):
        bounds.with_fewer_negatives(bounds.infonce, scores(), 5, jax.random.key(0))
