"""The terms of likelihoods and of adversarial prior matching, against SciPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from dim_jax import losses

RANDOM = np.random.default_rng(0)
MEAN, LOG_DEVIATION = RANDOM.normal(size=(2, 5, 3))


def test_kl_is_the_integral_of_the_definition():
    """Coordinate by coordinate on a fine grid, and 0 at the prior itself."""
    grid = np.linspace(-60.0, 60.0, 400_001)
    expected = np.zeros(len(MEAN))
    for row, column in np.ndindex(MEAN.shape):
        law = stats.norm(MEAN[row, column], np.exp(LOG_DEVIATION[row, column]))
        values = law.pdf(grid) * (law.logpdf(grid) - stats.norm.logpdf(grid))
        expected[row] += np.trapezoid(values, grid)
    found = losses.gaussian_kl(jnp.asarray(MEAN), jnp.asarray(LOG_DEVIATION))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(losses.gaussian_kl(jnp.zeros((2, 3)), jnp.zeros((2, 3))), 0.0)


def test_kl_does_not_round_to_a_negative_number_near_the_prior():
    near = jnp.full((1, 64), 1e-4)
    assert 0 < float(losses.gaussian_kl(near, near)[0]) == pytest.approx(64 * 1.5e-8, rel=1e-2)


def test_log_densities():
    x = RANDOM.normal(size=(5, 3))
    expected = stats.norm(MEAN, np.exp(LOG_DEVIATION)).logpdf(x).sum(axis=-1)
    found = losses.gaussian_log_density(*map(jnp.asarray, (x, MEAN, LOG_DEVIATION)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    standard = losses.gaussian_log_density(jnp.asarray(x))
    np.testing.assert_allclose(standard, stats.norm.logpdf(x).sum(axis=-1), rtol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 1 / 48])
def test_images_are_normal_around_the_decoded_ones(weight):
    decoded, images = RANDOM.uniform(-1, 1, size=(2, 5, 4, 4, 3))
    errors = losses.squared_errors(jnp.asarray(decoded), jnp.asarray(images))
    np.testing.assert_allclose(errors, ((decoded - images) ** 2).sum((1, 2, 3)), rtol=1e-6)
    law = stats.norm(decoded, np.sqrt(1 / (2 * weight)))
    expected = law.logpdf(images).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.image_log_density(errors, weight, 48), expected, rtol=1e-5)


def test_adversarial_losses():
    real, fake = RANDOM.normal(size=(2, 8))
    sigmoid = stats.logistic.cdf
    confusion, discrimination = losses.adversarial_losses(jnp.asarray(real), jnp.asarray(fake))
    np.testing.assert_allclose(confusion, -np.log(sigmoid(fake)).mean(), rtol=1e-5)
    expected = -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()
    np.testing.assert_allclose(discrimination, expected, rtol=1e-5)
    # The encoder wants its codes to look real, the discriminator does not.
    own, other = jax.jacobian(losses.adversarial_losses, argnums=1)(*map(jnp.asarray, (real, fake)))
    assert np.all(own < 0) and np.all(other > 0)
