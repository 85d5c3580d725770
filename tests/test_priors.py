"""Priors: samples have the stated law, squashing lands on the support, gradients are finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import contracts
from dim_jax.losses import priors

N, D = 4000, 3


def samples(name: str) -> np.ndarray:
    return np.asarray(getattr(priors, name)().sample(jax.random.key(0), (N, D)), np.float64)


@pytest.mark.parametrize(("name", "law"), [("uniform", "uniform"), ("gaussian", "norm")])
def test_marginals(name, law):
    for column in samples(name).T:
        assert stats.kstest(column, law).pvalue > 1e-3


def test_sphere_is_uniform_on_the_sphere():
    drawn = samples("sphere")
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-5)
    # Archimedes: each coordinate of the 2-sphere is uniform on [-1, 1].
    for column in drawn.T:
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_ball_is_uniform_in_the_ball():
    radii = np.linalg.norm(samples("ball"), axis=1)
    assert stats.kstest(radii**D, "uniform").pvalue > 1e-3


def test_sigreg_is_for_methods_that_match_without_draws():
    prior = priors.sigreg(directions=16)
    with pytest.raises(contracts.UserError, match="and this method draws from its prior; set"):
        prior.sample(jax.random.key(0), (N, D))
    y = 2 * jax.random.normal(jax.random.key(1), (64, D))
    assert (prior.squash(y) == y).all()
    value, metrics = jax.jit(prior.distance)(y, jax.random.key(2))
    assert metrics.keys() == {"sigreg", "sigreg_level"} and metrics["sigreg"] == value
    assert value > 5 * metrics["sigreg_level"]


@pytest.mark.parametrize("name", ["uniform", "gaussian", "ball", "sphere"])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3])
def test_squashing_lands_on_the_support_with_finite_gradients(name, scale):
    squash = getattr(priors, name)().squash
    y = scale * jax.random.normal(jax.random.key(1), (16, D))
    z = np.asarray(squash(y))
    radii = np.linalg.norm(z, axis=1)
    if name == "uniform":
        assert z.min() >= 0 and z.max() <= 1
    if name == "ball":
        assert radii.max() <= 1 + 1e-6
    if name == "sphere" and scale:
        np.testing.assert_allclose(radii, 1, rtol=1e-5)
    gradient = jax.grad(lambda y: jnp.sum(jnp.sin(squash(y))))(y)
    assert np.isfinite(gradient).all()
