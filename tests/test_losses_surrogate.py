"""The split of the surrogate loss, against float64 loops."""

import jax
import numpy as np
import pytest

from dim_jax import losses


def logsumexp(row):
    most = max(row)
    return most + np.log(sum(np.exp(value - most) for value in row))


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_the_parts_are_those_of_loops_and_add_up(scale):
    views, count, classes = 3, 5, 7
    rng = np.random.default_rng(0)
    logits = scale * rng.normal(size=(views, count, classes))
    labels = rng.integers(0, classes, count)
    mean_part, whole = 0.0, 0.0
    for image, label in enumerate(labels):
        mean = [sum(logits[v, image, k] for v in range(views)) / views for k in range(classes)]
        mean_part += (logsumexp(mean) - mean[label]) / count
        for view in range(views):
            row = logits[view, image]
            whole += (logsumexp(row) - row[label]) / (count * views)
    found = jax.jit(losses.surrogate_split)(logits.astype(np.float32), labels)
    np.testing.assert_allclose(found[0], mean_part, rtol=1e-5)
    np.testing.assert_allclose(found[1], whole - mean_part, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sum(found), whole, rtol=1e-5)
    assert found[1] > 0


def test_views_that_differ_by_constants_do_not_vary():
    rng = np.random.default_rng(1)
    one = rng.normal(size=(1, 4, 6))
    logits = (one + rng.normal(size=(3, 4, 1))).astype(np.float32)
    mean_part, variation = losses.surrogate_split(logits, np.arange(4))
    np.testing.assert_allclose(variation, 0.0, atol=1e-6)
    np.testing.assert_allclose(
        mean_part, losses.surrogate_split(one.astype(np.float32), np.arange(4))[0], rtol=1e-5
    )
