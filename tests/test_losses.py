"""Losses against NumPy float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from dim_jax import losses


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
