"""Optimizers by player: schedules, `every`, and a player that never sees another's gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dim_jax import contracts
from dim_jax.training import optimizers

ADAM = dict(
    name="adam", learning_rate=0.1, b1=0.5, b2=0.999, schedule=dict(name="constant"), every=1
)


def moves(tx, steps, params, gradients):
    state, path = tx.init(params), []
    for _ in range(steps):
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        path.append(params)
    return path


def test_adam_is_that_of_the_definition():
    """Two steps of Adam on gradients 3 and then -1, in NumPy float64."""
    tx = optimizers.player(ADAM, total_steps=10, steps_per_epoch=5)
    parameter, state = jnp.array(1.0), tx.init(jnp.array(1.0))
    expected, m, v = 1.0, 0.0, 0.0
    for step, gradient in enumerate((3.0, -1.0), start=1):
        updates, state = tx.update(jnp.array(gradient), state, parameter)
        parameter = parameter + updates
        m, v = 0.5 * m + 0.5 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.1 * (m / (1 - 0.5**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        assert parameter == pytest.approx(expected, rel=1e-5)


def test_decay_in_the_gradient_and_a_warm_up_in_steps():
    """Seven steps of PyTorch's Adam with weight decay, in NumPy float64."""
    schedule = dict(name="multistep", at_epochs=(2.5,), factor=0.2, warmup_steps=4)
    spec = dict(name="adam_l2", learning_rate=0.1, b1=0.8, b2=0.999, l2=0.3, schedule=schedule)
    tx = optimizers.player({**spec, "every": 1}, total_steps=8, steps_per_epoch=2)
    parameter, state = jnp.array(1.0), tx.init(jnp.array(1.0))
    expected, m, v = 1.0, 0.0, 0.0
    for step, gradient in enumerate((3.0, -1.0, 0.5, 0.5, -2.0, 1.0, 1.0)):
        updates, state = tx.update(jnp.array(gradient), state, parameter)
        parameter = parameter + updates
        rate = 0.1 * min(1, (step + 1) / 4) * (1 if step <= 4 else 0.2)
        decayed = gradient + 0.3 * expected
        m, v = 0.8 * m + 0.2 * decayed, 0.999 * v + 0.001 * decayed**2
        scale = np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8
        expected -= rate * (m / (1 - 0.8 ** (step + 1))) / scale
        assert parameter == pytest.approx(expected, rel=1e-5), step


@pytest.mark.parametrize("name", ["sgd_l2", "adam_l2"])
def test_weight_decay_is_part_of_the_gradient(name):
    """As in PyTorch: both see gradient + 0.1 * parameter, momentum or moments included."""
    own = dict(momentum=0.9) if name == "sgd_l2" else dict(b1=0.5, b2=0.999)
    spec = dict(name=name, learning_rate=0.1, schedule=dict(name="constant"), every=1, **own)
    decayed = optimizers.player({**spec, "l2": 0.1}, total_steps=10, steps_per_epoch=5)
    found = moves(decayed, 3, jnp.array([2.0, -1.0]), jnp.array([1.0, 3.0]))
    parameter, first, second = np.array([2.0, -1.0]), np.zeros(2), np.zeros(2)
    for step in range(3):
        gradient = np.array([1.0, 3.0]) + 0.1 * parameter
        if name == "sgd_l2":
            first = 0.9 * first + gradient
            parameter = parameter - 0.1 * first
        else:
            first, second = 0.5 * first + 0.5 * gradient, 0.999 * second + 0.001 * gradient**2
            hats = first / (1 - 0.5 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
            parameter = parameter - 0.1 * hats[0] / (np.sqrt(hats[1]) + 1e-8)
        np.testing.assert_allclose(found[step], parameter, rtol=1e-5)


def test_players_are_partitioned():
    specs = {"encoder": ADAM, "discriminator": {**ADAM, "learning_rate": 0.3}}
    params = {"encoder": {"w": jnp.ones(2)}, "discriminator": {"w": jnp.ones(2)}}
    gradients = jax.tree.map(jnp.ones_like, params)
    after = moves(optimizers.make(specs, 10, 5), 1, params, gradients)[-1]
    np.testing.assert_allclose(after["encoder"]["w"], 0.9, rtol=1e-5)
    np.testing.assert_allclose(after["discriminator"]["w"], 0.7, rtol=1e-5)
    alone = moves(
        optimizers.make(specs, 10, 5),
        1,
        params,
        {**gradients, "discriminator": {"w": jnp.full(2, 1e6)}},
    )[-1]
    np.testing.assert_array_equal(after["encoder"]["w"], alone["encoder"]["w"])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (dict(name="cosine", warmup_epochs=0.0), [1.0, 0.5]),
        (dict(name="multistep", at_epochs=(1,), factor=0.1), [1.0, 0.1]),
    ],
)
def test_schedules_of_a_player_that_moves_on_every_kth_step_are_read_in_time(schedule, expected):
    """Four steps, two an epoch, of which it moves on the first and on the third."""
    spec = dict(name="sgd", learning_rate=1.0, schedule=schedule, every=2)
    tx = optimizers.player(spec, total_steps=4, steps_per_epoch=2)
    path = [0.0, *map(float, moves(tx, 4, jnp.array(0.0), jnp.array(-1.0)))]
    np.testing.assert_allclose(np.diff(path), [expected[0], 0, expected[1], 0], rtol=1e-6)


def test_every_moves_a_player_on_every_kth_step_only():
    spec = dict(name="sgd", learning_rate=1.0, schedule=dict(name="constant"), every=3)
    tx = optimizers.player(spec, total_steps=9, steps_per_epoch=3)
    path = moves(tx, 7, jnp.array(0.0), jnp.array(-1.0))
    assert [float(value) for value in path] == [1, 1, 1, 2, 2, 2, 3]
    later = optimizers.player({**spec, "offset": 1}, total_steps=9, steps_per_epoch=3)
    path = moves(later, 7, jnp.array(0.0), jnp.array(-1.0))
    assert [float(value) for value in path] == [0, 1, 1, 1, 2, 2, 2]


def test_clip_norm_bounds_the_gradient_of_a_player_as_one_vector():
    spec = dict(name="sgd", learning_rate=1.0, schedule=dict(name="constant"), every=1)
    tx = optimizers.player({**spec, "clip_norm": 1.0}, total_steps=9, steps_per_epoch=3)
    for gradient, expected in ([3.0, 4.0], [0.6, 0.8]), ([0.3, 0.4], [0.3, 0.4]):
        tree = {"a": jnp.array(gradient[0]), "b": jnp.array(gradient[1])}
        updates, _ = tx.update(tree, tx.init(tree))
        np.testing.assert_allclose([-updates["a"], -updates["b"]], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam_l2", "adamw", "lamb", "lars", "sgd_l2"])
def test_excluded_vectors_are_not_decayed_or_scaled(name):
    """Without a gradient only decay moves a parameter; LARS takes a vector's gradient as it is."""
    decay = "l2" if name.endswith("_l2") else "weight_decay"
    spec = dict(name=name, learning_rate=0.1, schedule=dict(name="constant"), every=1)
    spec |= {decay: 0.5} | (dict(b1=0.9, b2=0.999) if name == "adam_l2" else {})
    spec |= dict(momentum=0.0) if name in ("sgd_l2", "lars") else {}
    params = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 3.0)}
    for excluded in (True, False):
        tx = optimizers.player({**spec, "exclude_vectors": excluded}, 9, 3)
        zero = jax.tree.map(jnp.zeros_like, params)
        updates, _ = tx.update(zero, tx.init(params), params)
        assert np.all(updates["kernel"] < 0)
        assert np.all(updates["bias"] == 0) == excluded
    if name == "lars":
        tx = optimizers.player({**spec, "exclude_vectors": True}, 9, 3)
        ones = jax.tree.map(jnp.ones_like, params)
        updates, _ = tx.update(ones, tx.init(params), params)
        np.testing.assert_allclose(updates["bias"], -0.1, rtol=1e-6)
        decayed = 1 + 0.5 * 3.0
        ratio = 0.001 * 6.0 / (2 * decayed)  # norms of four threes and of four gradients
        np.testing.assert_allclose(updates["kernel"], -0.1 * ratio * decayed, rtol=1e-5)


def test_exclude_vectors_needs_an_optimizer_that_decays():
    spec = dict(name="adam", learning_rate=0.1, schedule=dict(name="constant"), every=1)
    with pytest.raises(contracts.UserError, match="optimizer 'adam' has no weight decay"):
        optimizers.player({**spec, "exclude_vectors": True}, 9, 3)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (dict(name="constant"), {0: 1.0, 50: 1.0, 99: 1.0}),
        (dict(name="cosine", warmup_epochs=0.0), {0: 1.0, 50: 0.5, 100: 0.0}),
        (dict(name="cosine", warmup_epochs=2.0), {0: 0.0, 10: 0.5, 20: 1.0, 60: 0.5, 100: 0.0}),
        (dict(name="cosine", warmup_epochs=0.0, end=0.1), {0: 1.0, 50: 0.55, 100: 0.1}),
        (
            dict(name="multistep", at_epochs=(5, 8), factor=0.1),
            {0: 1.0, 49: 1.0, 51: 0.1, 81: 0.01},
        ),
        (
            dict(name="multistep", at_epochs=(5,), factor=0.1, warmup_steps=20),
            {0: 0.05, 9: 0.5, 19: 1.0, 30: 1.0, 51: 0.1},
        ),
    ],
)
def test_schedules_count_in_epochs(spec, expected):
    rate = optimizers.schedule(spec, 1.0, total_steps=100, steps_per_epoch=10)
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, abs=1e-6), step
    longer = optimizers.schedule(spec, 1.0, total_steps=200, steps_per_epoch=10)
    depends = any(float(longer(step)) != float(rate(step)) for step in expected)
    assert depends == (spec["name"] in optimizers.OF_LENGTH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(name="adamm"), "unknown optimizer 'adamm': did you mean 'adam'"),
        (dict(schedule=dict(name="cosin")), "unknown schedule 'cosin': did you mean 'cosine'"),
        (dict(b3=0.1), "unknown argument of the optimizer 'adam' 'b3'"),
        (dict(name="adam_l2"), "optimizer 'adam_l2' cannot be built"),
        (dict(schedule=dict(name="cosine")), "schedule 'cosine' cannot be built"),
    ],
)
def test_mistakes_are_one_sentence(change, message):
    with pytest.raises(contracts.UserError) as error:
        optimizers.player({**ADAM, **change}, 10, 5)
    assert message in str(error.value)
