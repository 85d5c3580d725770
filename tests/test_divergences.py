"""Divergences against closed forms in NumPy, the gradient penalty against a hand-made gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import divergences

SCORES = np.array([-1e4, -30.0, -1.5, 0.0, 0.3, 2.0, 30.0, 1e4])


def _log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def test_gan_terms_are_log_probabilities():
    positive = divergences.gan_positive(jnp.asarray(SCORES))
    negative = divergences.gan_negative(jnp.asarray(SCORES))
    np.testing.assert_allclose(positive, _log_sigmoid(SCORES), rtol=1e-6)
    np.testing.assert_allclose(negative, -_log_sigmoid(-SCORES), rtol=1e-6)


def test_jensen_shannon_is_the_divergence_at_the_optimal_critic():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    middle = (p + q) / 2
    twice_js = np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle))
    critic = jnp.asarray(np.log(p / q))
    shifted = np.sum(p * divergences.jensen_shannon_positive(critic)) - np.sum(
        q * divergences.jensen_shannon_negative(critic)
    )
    unshifted = np.sum(p * divergences.gan_positive(critic)) - np.sum(
        q * divergences.gan_negative(critic)
    )
    np.testing.assert_allclose(shifted, twice_js, rtol=1e-6)
    np.testing.assert_allclose(unshifted, twice_js - 2 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize(
    "term",
    [
        divergences.gan_positive,
        divergences.gan_negative,
        divergences.jensen_shannon_positive,
        divergences.jensen_shannon_negative,
    ],
)
def test_terms_and_slopes_are_finite_at_large_scores(term):
    scores = jnp.asarray(SCORES, jnp.float32)
    assert np.isfinite(term(scores)).all()
    slopes = jax.vmap(jax.grad(term))(scores)
    assert np.isfinite(slopes).all()
    assert (np.abs(slopes) <= 1).all()


@pytest.mark.parametrize("column", [False, True])
def test_gradient_penalty_equals_the_hand_made_gradient(column):
    rng = np.random.default_rng(0)
    inputs, hidden = rng.standard_normal((6, 4)), rng.standard_normal((4, 5))
    out = rng.standard_normal(5)

    def score_fn(x):
        scores = jnp.tanh(x @ hidden) @ out
        return scores[:, None] if column else scores

    slopes = ((1 - np.tanh(inputs @ hidden) ** 2) * out) @ hidden.T
    expected = np.mean(np.sum(slopes**2, axis=1))
    value = divergences.gradient_penalty(score_fn, jnp.asarray(inputs, jnp.float32))
    assert value.shape == () and value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(
        jax.jit(lambda x: divergences.gradient_penalty(score_fn, x))(inputs), expected, rtol=1e-5
    )


def test_gradient_penalty_trains_the_critic():
    """d/dw of mean_i |w|^2 is 2 w for a linear critic, whatever the inputs."""
    w = jnp.array([1.0, -2.0, 0.5])
    slopes = jax.grad(lambda w: divergences.gradient_penalty(lambda x: x @ w, jnp.ones((7, 3))))(w)
    np.testing.assert_allclose(slopes, 2 * w, rtol=1e-6)


def test_gradient_penalty_sums_over_all_input_axes():
    value = divergences.gradient_penalty(lambda x: 3 * x.sum((1, 2)), jnp.zeros((2, 4, 5)))
    np.testing.assert_allclose(value, 9 * 20, rtol=1e-6)


def test_gradient_penalty_wants_one_score_per_input():
    with pytest.raises(ValueError, match=r"shape \(6, 2\) for inputs \(6, 3\).*one score per"):
        divergences.gradient_penalty(lambda x: x[:, :2], jnp.ones((6, 3)))
