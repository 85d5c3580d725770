import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dim_jax.evaluate import fit

TRANSFORMATION = optax.sgd(0.1, momentum=0.9)


def squared(params, state, rows, targets, key):
    del key
    return jnp.mean((rows @ params - targets) ** 2), state + 1


@pytest.fixture
def examples():
    random = np.random.default_rng(0)
    rows = random.normal(size=(20, 3))
    return rows, rows @ [1.0, -2.0, 0.5]


def by_hand(params, examples, batches):
    """The same steps in NumPy float64."""
    rows, targets = examples
    velocity = np.zeros(3)
    for members in batches:
        error = rows[members] @ params - targets[members]
        velocity = 0.9 * velocity + 2 * rows[members].T @ error / len(members)
        params = params - 0.1 * velocity
    return params


@pytest.mark.parametrize("own_batches", [False, True])
def test_each_fit_is_what_it_would_be_alone(examples, own_batches):
    members = np.arange(20)
    if own_batches:
        members = np.stack([np.arange(0, 10), np.arange(10, 20)])
    keys = jax.random.split(jax.random.key(1), 2)
    begun = np.random.default_rng(1).normal(size=(2, 3))
    fits = fit.start(begun.astype(np.float32), np.zeros(2), TRANSFORMATION)
    arrays = tuple(jnp.asarray(array, jnp.float32) for array in examples)
    batches = [[], []]
    orders = fit.orders(members, 4, np.random.default_rng(0))
    for order in itertools.islice(orders, 3):
        fits = fit.one_pass(fits, arrays, order, keys, loss=squared, transformation=TRANSFORMATION)
        for index in range(2):
            batches[index] += list(order[:, index] if own_batches else order)
    for index in range(2):
        expected = by_hand(begun[index], examples, batches[index])
        np.testing.assert_allclose(fits.params[index], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(fits.state, len(batches[0]))


def test_orders_pass_over_all_and_shuffle_anew():
    first, second = itertools.islice(fit.orders(np.arange(10), 5, np.random.default_rng(0)), 2)
    assert first.shape == (2, 5)
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order.ravel()), np.arange(10))
    assert not np.array_equal(first, second)


def test_orders_of_several_fits_stay_within_their_members():
    members = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    order = next(iter(fit.orders(members, 2, np.random.default_rng(0))))
    assert order.shape == (2, 2, 2)  # the fifth example is left out of this pass
    assert (order[:, 0] < 5).all() and (order[:, 1] >= 5).all()
    assert len(set(order[:, 0].ravel())) == 4


def test_fewer_examples_than_a_batch_are_one_batch():
    assert next(iter(fit.orders(np.arange(3), 64, np.random.default_rng(0)))).shape == (1, 3)


@pytest.mark.parametrize(
    ("examples", "expected"),
    [(1000, (31, 10)), (40, (1, 100)), (64, (2, 50)), (96, (3, 34)), (5, (1, 100))],
)
def test_few_examples_are_passed_over_until_there_are_as_many_steps(examples, expected):
    settings = types.SimpleNamespace(batch=32, epochs=10, min_steps=100)
    assert fit.duration(settings, examples) == expected
