"""Noise as targets: loss and gradient, which steps exchange what, resuming, sizes, learning."""

import functools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training
from scipy import optimize

from dim_jax import build, contracts, data
from dim_jax.methods import nat
from dim_jax.nets import pure
from dim_jax.rundir import checkpoint
from dim_jax.training import stopping, train_step, trainer

EXAMPLES, WIDTH = 40, 6
RNG = jax.random.key(4)


def stub() -> pure.Net:
    """An encoder whose y is a parameter times the flattened image, so that features are known."""

    def init(rng, images):
        return {"kernel": jnp.eye(images[0].size, WIDTH)}, {"seen": jnp.zeros(())}

    def apply(params, stats, images, *, train, rng=None):
        del rng
        y = images.reshape(len(images), -1) @ params["kernel"]
        return dict(conv=images, fc=y, y=y), {"seen": stats["seen"] + train}

    return pure.Net(init, apply)


def batch_of(features: np.ndarray, index) -> contracts.Batch:
    """A batch whose y is `features`, f[n, WIDTH], with the stub's first kernel."""
    images = jnp.asarray(features, jnp.float32).reshape(1, len(features), 1, WIDTH, 1)
    labels = jnp.zeros(len(features), jnp.int32)
    return contracts.Batch(images=images, labels=labels, index=jnp.asarray(index))


def drawn(seed: int, n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    index = generator.permutation(EXAMPLES)[:n]
    return generator.normal(size=(n, WIDTH)).astype(np.float32), index


def started(every: int = 1, n: int = 8):
    method = nat.make(encoder=stub(), examples=EXAMPLES, every=every)
    params, state = jax.jit(method.init)(RNG, batch_of(*drawn(0, n)))
    return method, params, state, jax.jit(method.loss)


def unit(y: np.ndarray) -> np.ndarray:
    y = np.asarray(y, np.float64)
    return y / np.linalg.norm(y, axis=-1, keepdims=True)


def test_targets_are_drawn_on_the_sphere_once():
    method, _, state, _ = started()
    assert state["targets"].shape == (EXAMPLES, WIDTH) and method.examples == EXAMPLES
    assert not method.per_example
    np.testing.assert_allclose(np.linalg.norm(state["targets"], axis=-1), 1, rtol=1e-6)
    assert np.abs(np.mean(state["targets"], axis=0)).max() < 4 / np.sqrt(EXAMPLES * WIDTH)


@pytest.mark.parametrize("epoch", [0, 1], ids=["exchange", "none"])
def test_loss_and_gradient_are_those_of_numpy(epoch):
    """By the closed form: d cost / d y = -2 (t - (t . u) u) / |y| / n, u = y / |y|."""
    _, params, state, loss = started(every=2)
    features, index = drawn(1)
    step = epoch * (EXAMPLES // 8)
    batch = batch_of(features, index)
    gradient, found = jax.jit(functools.partial(train_step.player_gradients, loss))(
        params, state, batch, RNG, step
    )
    u, targets = unit(features), np.asarray(state["targets"], np.float64)[index]
    before = np.mean(np.sum((u - targets) ** 2, axis=-1))
    if epoch == 0:
        targets = targets[optimize.linear_sum_assignment(u @ targets.T, maximize=True)[1]]
    cosines = np.sum(u * targets, axis=-1)
    cost = np.mean(np.sum((u - targets) ** 2, axis=-1))
    assert found.losses["encoder"] == pytest.approx(cost, rel=1e-5)
    assert found.metrics["nat/cost"] == pytest.approx(2 - 2 * cosines.mean(), rel=1e-5)
    assert found.metrics["nat/cosine"] == pytest.approx(cosines.mean(), abs=1e-6)
    assert found.metrics["nat/gain"] == pytest.approx(before - cost, abs=1e-6)
    moved = np.any(np.asarray(state["targets"])[index] != found.state["targets"][index], axis=-1)
    assert found.metrics["nat/moved"] == pytest.approx(moved.mean())
    of_y = -2 * (targets - cosines[:, None] * u) / len(u)
    of_y /= np.linalg.norm(np.float64(features), axis=-1, keepdims=True)
    np.testing.assert_allclose(
        gradient["encoder"]["encoder"]["kernel"], features.T @ of_y, rtol=1e-4, atol=1e-6
    )


def test_an_exchange_never_raises_the_cost_and_moves_only_the_batch():
    _, params, state, loss = started()
    initial = np.asarray(state["targets"])
    gains = []
    for seed in range(30):
        features, index = drawn(seed)
        before = np.asarray(state["targets"])
        found = loss(params, state, batch_of(features, index), RNG, seed)
        state = found.state
        after = np.asarray(state["targets"])
        costs = [np.sum((unit(features) - rows[index]) ** 2) / 8 for rows in (before, after)]
        assert costs[1] <= costs[0] + 1e-6
        assert found.metrics["nat/gain"] == pytest.approx(costs[0] - costs[1], abs=1e-5)
        assert found.metrics["nat/gain"] >= 0
        others = np.setdiff1d(np.arange(EXAMPLES), index)
        np.testing.assert_array_equal(before[others], after[others])
        assert rows_of(before[index]) == rows_of(after[index])
        gains.append(float(found.metrics["nat/gain"]))
    assert rows_of(initial) == rows_of(state["targets"])
    assert min(gains[:5]) > 0.1 and np.any(initial != state["targets"])


def rows_of(targets) -> list[tuple]:
    """The multiset of targets."""
    return sorted(map(tuple, np.asarray(targets).tolist()))


def test_every_third_epoch_exchanges_from_the_first_on():
    """40 images in batches of 12: 3 steps an epoch, 4 images left over."""
    _, params, state, loss = started(every=3, n=12)
    exchanged = []
    for step in range(21):
        found = loss(params, state, batch_of(*drawn(step, 12)), RNG, step)
        if found.metrics["nat/moved"] > 0:
            exchanged.append(step)
        else:
            assert found.metrics["nat/gain"] == 0
            np.testing.assert_array_equal(state["targets"], found.state["targets"])
    assert exchanged == [0, 1, 2, 9, 10, 11, 18, 19, 20]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_features_of_zero_have_a_finite_gradient_and_of_nan_an_end(value):
    _, params, state, loss = started()
    features, index = drawn(1)
    features[3] = value
    batch = batch_of(features, index)
    gradient, found = jax.jit(functools.partial(train_step.player_gradients, loss))(
        params, state, batch, RNG, 0
    )
    finite = np.isfinite(jax.tree.leaves(gradient)[0]).all()
    assert finite == np.isfinite(value)
    assert rows_of(found.state["targets"]) == rows_of(state["targets"])


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    dataset = data.load("digits", image_size=32)
    few = data.Split(*(part[:160] for part in dataset.splits["train"][:2]))
    return dataset._replace(splits={**dataset.splits, "train": few})


def run(config, dataset, folder, outputs, *, examples: int = 160):
    """Trains the smoke form on the digits: 5 steps an epoch, exchanges in epochs 0, 2, ..."""
    spec = config("nat")
    spec["method"] = spec["method"]["method"] | dict(examples=examples, every=2)
    spec["train"] |= dict(batch_size=32, epochs=4.0, steps_per_dispatch=4, save_epochs=1.0)
    checkpoints = checkpoint.Checkpoints(folder, keep=2)
    initial, loop = training.start(spec, dataset, checkpoints, outputs)
    final = loop.run()
    assert not outputs.lines
    return initial, final


@pytest.fixture(scope="module")
def whole(config, digits, tmp_path_factory):
    """An uninterrupted run: (initial state, final state, rows of metrics)."""
    outputs = training.Outputs()
    initial, final = run(config, digits, tmp_path_factory.mktemp("whole"), outputs)
    return initial, final, outputs.rows


@pytest.mark.slow
def test_a_run_interrupted_in_an_exchanging_epoch_keeps_every_target(
    config, digits, whole, tmp_path, monkeypatch
):
    initial, final, _ = whole
    interrupted, read, signalled = training.Outputs(), trainer.Loop._read, []

    def stop_at_12(loop, step, *arguments):  # steps 10 to 14 exchange
        read(loop, step, *arguments)
        if step == 12 and not signalled:
            signalled.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer.Loop, "_read", stop_at_12)
    with pytest.raises(stopping.Stopped):
        run(config, digits, tmp_path / "parts", interrupted)
    _, continued = run(config, digits, tmp_path / "parts", interrupted)
    assert int(continued.step) == 20 and signalled
    np.testing.assert_array_equal(final.state["targets"], continued.state["targets"])
    assert rows_of(initial.state["targets"]) == rows_of(continued.state["targets"])
    assert np.any(initial.state["targets"] != continued.state["targets"])
    jax.tree.map(np.testing.assert_array_equal, final.params, continued.params)


def test_another_number_of_images_is_one_sentence(config, digits, tmp_path):
    with pytest.raises(contracts.UserError, match=r"data has 160; set its number .* to 160"):
        run(config, digits, tmp_path, training.Outputs(), examples=512)


def test_a_batch_larger_than_the_data_is_refused():
    method = nat.make(encoder=stub(), examples=7, every=1)
    with pytest.raises(contracts.UserError, match=r"8 images and method\.examples is 7"):
        method.init(RNG, batch_of(np.ones((8, WIDTH)), np.arange(8)))


def test_the_cosine_rises(whole):
    rows = whole[2]
    cosines = [row["nat/cosine"] for row in rows]
    assert np.mean(cosines[-3:]) > np.mean(cosines[:3]) + 0.05
    assert all(row["nat/gain"] >= 0 for row in rows)


def test_the_config_gives_every_image_a_target(config):
    for words, examples, every in (
        ("budget=paper", 50_000, 3),
        ("data=stl10,budget=paper,inputs=gradients", 105_000, 3),
        ("data=tiny_imagenet,budget=cpu", 100_000, 1),
    ):
        found = config("nat", words)
        method = found["method"]["method"]
        assert (method["examples"], method["every"]) == (examples, every)
        gradients = "gradients" in words
        assert method["encoder"]["inputs"] == ("gradients" if gradients else "colour")
        assert ("filters" in found["evals"]) != gradients


def test_gradients_are_part_of_the_encoder(config):
    """What is exported sees images: those of the same grey image are the same to it."""
    spec = config("nat", "smoke,inputs=gradients")["method"]["method"]
    encoder = build.make("encoder", spec["encoder"])
    pixels = jax.random.uniform(RNG, (4, 32, 32, 3), minval=-1)
    params, stats = jax.jit(encoder.init)(RNG, pixels)

    @jax.jit
    def y(images):
        return encoder.apply(params, stats, images, train=False)[0]["y"]

    np.testing.assert_allclose(y(pixels), y(pixels + jnp.array([0.1, -0.1, 0.0])), atol=1e-5)
    assert np.abs(y(pixels) - y(0.5 * pixels)).max() > 1e-2
