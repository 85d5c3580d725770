"""Coordinates and their loss against loops."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dim_jax import losses


def features(n=3, side=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 5)), rng.standard_normal((n, side, side, 2))


def test_absolute_task():
    y, local = features()
    task = losses.coordinate_task("absolute", jnp.asarray(y), jnp.asarray(local), jax.random.key(0))
    assert task.classes == 4 and task.inputs.shape == (3, 16, 7)
    for image in range(3):
        for row in range(4):
            for column in range(4):
                place = row * 4 + column
                assert tuple(task.targets[image, place]) == (row, column)
                expected = np.concatenate([y[image], local[image, row, column]])
                np.testing.assert_allclose(task.inputs[image, place], expected, rtol=1e-6)


def test_relative_task():
    y, local = features(n=40)
    task = losses.coordinate_task("relative", jnp.asarray(y), jnp.asarray(local), jax.random.key(1))
    assert task.classes == 7 and task.inputs.shape == (40, 16, 9)
    sources = set()
    for image in range(40):
        (source,) = [
            place for place in range(16) if tuple(task.targets[image, place]) == (3, 3)
        ]  # offset 0
        sources.add(source)
        own = local[image].reshape(16, 2)
        for place in range(16):
            offset = (place // 4 - source // 4 + 3, place % 4 - source % 4 + 3)
            assert tuple(task.targets[image, place]) == offset
            expected = np.concatenate([y[image], own[source], own[place]])
            np.testing.assert_allclose(task.inputs[image, place], expected, rtol=1e-6)
    assert len(sources) > 8  # another one in each image


def test_loss_is_the_sum_of_two_cross_entropies():
    rng = np.random.default_rng(2)
    logits, targets = rng.standard_normal((3, 16, 14)), rng.integers(0, 7, (3, 16, 2))
    loss, accuracy = losses.coordinate_loss(jnp.asarray(logits), jnp.asarray(targets))
    terms, right = [], []
    for index in np.ndindex(3, 16):
        halves = logits[index].reshape(2, 7)
        terms.append(
            -sum(special.log_softmax(h)[t] for h, t in zip(halves, targets[index], strict=True))
        )
        right.append(all(h.argmax() == t for h, t in zip(halves, targets[index], strict=True)))
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)
    np.testing.assert_allclose(accuracy, np.mean(right), rtol=1e-6)
