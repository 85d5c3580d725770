"""Losses against NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dim_jax import contracts, losses


def test_classification_loss_leaves_out_the_unlabelled():
    logits = np.random.default_rng(0).normal(size=(6, 4))
    labels = np.array([0, -1, 3, 2, -1, 1])
    rows = np.flatnonzero(labels >= 0)
    log_probabilities = logits - special.logsumexp(logits, axis=1, keepdims=True)
    expected = -np.mean(log_probabilities[rows, labels[rows]])
    right = np.mean(np.argmax(logits[rows], 1) == labels[rows])
    value, accuracy = losses.classification_loss(jnp.asarray(logits), jnp.asarray(labels))
    assert value == pytest.approx(expected, rel=1e-6)
    assert accuracy == pytest.approx(right)


def test_clipped_logits_and_their_penalty():
    logits = 20 * np.random.default_rng(1).normal(size=(6, 4))
    labels = np.array([0, -1, 3, 2, -1, 1])
    rows = np.flatnonzero(labels >= 0)
    clipped = 10 * np.tanh(logits / 10)
    log_probabilities = clipped - special.logsumexp(clipped, axis=1, keepdims=True)
    expected = -np.mean(log_probabilities[rows, labels[rows]]) + 1e-3 * np.mean(logits[rows] ** 2)
    value, accuracy = losses.classification_loss(
        jnp.asarray(logits), jnp.asarray(labels), clip=10.0, penalty=1e-3
    )
    assert value == pytest.approx(expected, rel=1e-5)
    assert accuracy == pytest.approx(np.mean(np.argmax(logits[rows], 1) == labels[rows]))
    np.testing.assert_allclose(losses.soft_clip(jnp.asarray(logits), 10.0), clipped, rtol=1e-5)
    assert losses.soft_clip(logits, None) is logits


def test_a_batch_without_labels_weighs_nothing():
    value, accuracy = losses.classification_loss(jnp.ones((3, 2)), jnp.full(3, -1))
    assert value == 0 and accuracy == 0
    value, _ = losses.classification_loss(jnp.ones((3, 2)), jnp.full(3, -1), clip=10.0, penalty=1.0)
    assert value == 0


def test_a_label_without_a_class_is_named_where_labels_are_not_traced():
    logits, labels = jnp.zeros((3, 2)), np.array([0, 2, -1])
    with pytest.raises(contracts.UserError, match="a label is 2 and the classifier has 2 classes"):
        losses.classification_loss(logits, labels)
    assert np.isnan(jax.jit(losses.classification_loss)(logits, labels)[0])


def test_batch_entropy_is_of_the_mean():
    rows = np.random.default_rng(5).dirichlet(0.2 * np.ones(6), size=(3, 4))
    mean = rows.reshape(-1, 6).mean(axis=0)
    value = losses.batch_entropy(jnp.asarray(rows))
    assert value == pytest.approx(-np.sum(mean * np.log(mean)), rel=1e-5)
    assert value > np.mean(special.entr(rows).sum(axis=-1)) + 0.1  # not the mean of entropies
    assert losses.batch_entropy(jnp.eye(6)) == pytest.approx(np.log(6), rel=1e-6)


def test_batch_entropy_of_one_channel_is_0_with_a_finite_gradient():
    one = jnp.tile(jnp.eye(6)[2], (5, 1))
    value, slope = jax.value_and_grad(losses.batch_entropy)(one)
    assert value == pytest.approx(0, abs=1e-6)
    assert np.isfinite(slope).all()
    assert (slope[:, 0] > slope[:, 2]).all()  # away from the channel that is used
