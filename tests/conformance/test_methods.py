"""Every config's method, in its smoke form, against the contract; configs are discovered.

The images are the embedded digits, resized and repeated over channels: a method sees the shapes
that its config asks for, and no data set needs to be on disk.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dim_jax import build, contracts, data, optim, steps
from dim_jax.methods import probe

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "common")
SEED = 3


@functools.cache
def images_of(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    split = data.load("digits", image_size=side).splits["train"]
    return np.repeat(split.images[:64], channels, axis=-1), split.labels[:64]


def shape_of(config) -> tuple[int, int]:
    """The image size and channels that a config trains on."""
    known = {"cifar10": (32, 3), "cifar100": (32, 3), "mnist": (28, 1), "digits": (8, 1)}
    side, channels = known.get(config["data"]["name"], (None, 3))
    return config["augment"]["crop"] or config["data"]["image_size"] or side, channels


class Case:
    """One config's method with one batch of 16, built and compiled once for all its tests."""

    def __init__(self, config):
        self.config = config
        self.method = build.make("method", config["method"])
        images, labels = images_of(*shape_of(config))
        self.images = images[:16]
        pixels = data.normalise(jnp.asarray(self.images), (0.5,), (0.5,))
        self.batch = contracts.Batch(
            images=pixels[None], labels=jnp.asarray(labels[:16]), index=jnp.arange(16)
        )
        self.initial = steps.initial_state(
            self.method,
            lambda params: optim.make(config["players"], total_steps=4, steps_per_epoch=2),
            SEED,
            self.batch,
        )
        self.step = jax.jit(steps.train_step)
        self.first, self.metrics = self.step(self.initial, self.batch, SEED)


@pytest.fixture(params=CONFIGS, scope="module")
def case(request, config):
    """One config after the other, and nothing that one compiled stays for the next."""
    yield Case(config(request.param))
    jax.clear_caches()


def differs(before, after) -> bool:
    """Whether any leaf changed."""
    same = jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), before, after)
    return not all(jax.tree.leaves(same))


def test_two_steps_are_finite_and_every_player_moves(case):
    second, metrics = case.step(case.first, case.batch, SEED)
    for name, value in {**case.metrics, **metrics}.items():
        assert np.isfinite(value), name
    for player in case.initial.params:
        assert differs(case.initial.params[player], case.first.params[player]), player
        assert differs(case.first.params[player], second.params[player]), player
    assert second.step == 2


def test_losses_belong_to_players(case):
    assert {f"loss/{player}" for player in case.initial.params} <= case.metrics.keys()
    assert set(case.config["players"]) == set(case.initial.params)


def test_each_player_moves_under_its_own_loss_only(case):
    """With the other players' losses scaled a thousandfold, a player's gradient keeps its bits."""
    rng = jax.random.key(1)
    players = list(case.initial.params)

    def gradients(factors):
        def loss(*arguments):
            step = case.method.loss(*arguments)
            scaled = {name: factors[name] * value for name, value in step.losses.items()}
            return step._replace(losses=scaled)

        return steps.player_gradients(
            loss, case.initial.params, case.initial.state, case.batch, rng, 0
        )[0]

    compiled = jax.jit(gradients)
    plain = compiled({name: 1.0 for name in players})
    for player in players:
        found = compiled({name: 1.0 if name == player else 1000.0 for name in players})
        assert not differs(plain[player], found[player]), player
        if len(players) > 1:
            other = next(name for name in players if name != player)
            assert differs(plain[other], found[other])


def test_gradient_is_that_of_the_players_own_loss(case):
    """The shared pull-back equals one jax.grad per player."""
    rng = jax.random.key(1)
    arguments = (case.initial.state, case.batch, rng, 0)
    shared = jax.jit(
        lambda params: steps.player_gradients(case.method.loss, params, *arguments)[0]
    )(case.initial.params)
    for player in case.initial.params:

        def own(part, player=player):
            params = {**case.initial.params, player: part}
            return case.method.loss(params, *arguments).losses[player]

        alone = jax.jit(jax.grad(own))(case.initial.params[player])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5),
            shared[player],
            alone,
        )


def test_state_keeps_its_structure(case):
    assert jax.tree.structure(case.initial.state) == jax.tree.structure(case.first.state)
    shapes = [
        jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
        for tree in (case.initial.state, case.first.state)
    ]
    assert shapes[0] == shapes[1]


def test_taps_exist_and_one_image_does_not_depend_on_the_others(case):
    represent = jax.jit(case.method.represent)
    pixels = case.batch["images"][0]
    taps = represent(case.first.params, case.first.state, pixels)
    assert set(contracts.PROBED_TAPS) <= taps.keys()
    alone = represent(case.first.params, case.first.state, pixels[:1])
    for name, features in taps.items():
        assert features.shape[0] == len(pixels) and features.dtype == jnp.float32
        np.testing.assert_allclose(features[:1], alone[name], rtol=1e-4, atol=1e-5)


def test_the_exported_encoder_is_where_the_contract_says(case):
    spec = case.config["method"]
    while "method" in spec:
        spec = spec["method"]
    net = build.make("encoder", spec["encoder"])
    pixels = case.batch["images"][0]
    taps, _ = net.apply(
        case.first.params["encoder"]["encoder"], case.first.state["encoder"], pixels, train=False
    )
    represented = case.method.represent(case.first.params, case.first.state, pixels)
    for name in contracts.PROBED_TAPS:
        np.testing.assert_allclose(taps[name], represented[name], rtol=1e-5, atol=1e-6)


def test_eight_devices_equal_one(case):
    """Two steps on resident data, 16 images a batch over 1 and over 8 devices.

    By gradient descent, not Adam: its first step is the sign of the gradient, so that a weight
    whose gradient is rounding noise moves either way. Clipped: a loss that is a sum over pixels
    has gradients in the thousands.
    """
    split = data.Split(*images_of(*shape_of(case.config)))
    descent = optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(0.01))
    initial = case.initial.replace(tx=descent, opt_state=descent.init(case.initial.params))

    def run(devices):
        mesh = steps.mesh(devices)
        dispatch = steps.make_dispatch(((0.5,), (0.5,)), SEED, 16, len(split.images), mesh)
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        state = jax.device_put(jax.tree.map(jnp.copy, initial), whole)
        arrays = jax.device_put((split.images, split.labels), whole)
        return dispatch(state, *arrays, count=2)

    one, one_metrics = run(jax.devices()[:1])
    eight, eight_metrics = run(jax.devices()[:8])
    for name, values in one_metrics.items():
        np.testing.assert_allclose(values, eight_metrics[name], rtol=1e-4, atol=1e-4, err_msg=name)
    kept = jax.device_get(((one.params, one.state), (eight.params, eight.state)))
    jax.tree.map(same_but_for_rounding, *kept)


def same_but_for_rounding(one, eight) -> None:
    """Equal to a thousandth, but for a unit in a hundred.

    One whose input lies at the threshold of its ReLU is on after one rounding and off after
    another, so that the few weights below it get other gradients: still of one example only.
    """
    apart = np.abs(one - eight)
    assert np.max(apart, initial=0.0) < 1e-3
    assert np.mean(apart > 1e-5 + 1e-3 * np.abs(eight)) <= 0.01


def test_a_probe_leaves_the_wrapped_method_bit_equal(config):
    """The monitored method's own parameters move exactly as without the monitor."""
    plain = config("quickstart")["method"]["method"]
    method = build.make("method", plain)
    classifier = build.make("classifier", config("quickstart")["method"]["classifier"])
    watched = probe.make(method=method, classifier=classifier, taps=("y",))
    images, labels = images_of(32, 1)
    batch = contracts.Batch(
        images=data.normalise(jnp.asarray(images[:16]), (0.5,), (0.5,))[None],
        labels=jnp.asarray(labels[:16]),
        index=jnp.arange(16),
    )
    params, state = method.init(jax.random.split(jax.random.key(0), 3)[0], batch)
    rng = jax.random.key(5)
    alone, _ = jax.jit(functools.partial(steps.player_gradients, method.loss))(
        params, state, batch, jax.random.split(rng)[0], 0
    )
    both, both_state = watched.init(jax.random.key(0), batch)
    beside, _ = jax.jit(functools.partial(steps.player_gradients, watched.loss))(
        both, both_state, batch, rng, 0
    )
    for player in params:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            alone[player],
            beside[player],
        )
