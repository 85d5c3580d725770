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


def test_a_batch_without_labels_weighs_nothing():
    value, accuracy = losses.classification_loss(jnp.ones((3, 2)), jnp.full(3, -1))
    assert value == 0 and accuracy == 0
