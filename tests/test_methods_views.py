"""Methods across views: losses by NumPy, target networks, queues, prototypes, kill and resume."""

import functools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import training

from dim_jax import contracts, data, losses
from dim_jax.methods import barlow, byol, moco, sigreg, simclr, swav, vicreg
from dim_jax.nets import averages, heads, pure
from dim_jax.rundir import checkpoint
from dim_jax.training import stopping, train_step, trainer

N, WIDTH = 6, 5
RNG = jax.random.key(4)


def linear(outputs: int = WIDTH) -> pure.Net:
    """A network f[n,...] -> the product with a kernel, without batch statistics."""

    def init(rng, x):
        return {"kernel": jax.random.normal(rng, (x[0].size, outputs))}, {"seen": jnp.zeros(())}

    def apply(params, stats, x, *, train, rng=None):
        del rng
        return x.reshape(len(x), -1) @ params["kernel"], {"seen": stats["seen"] + train}

    return pure.Net(init, apply)


def encoder() -> pure.Net:
    """A linear encoder of which conv, fc and y are equal."""
    net = linear(4)

    def apply(params, stats, images, *, train, rng=None):
        y, stats = net.apply(params, stats, images, train=train)
        return dict(conv=y[:, None, None], fc=y, y=y), stats

    return pure.Net(net.init, apply)


def batch_of(views: int = 2, seed: int = 0) -> contracts.Batch:
    images = jax.random.normal(jax.random.key(seed), (views, N, 2, 2, 1))
    return contracts.Batch(images=images, labels=jnp.zeros(N, int), index=jnp.arange(N))


def kernels(tree) -> np.ndarray:
    """The product of the encoder's and the projector's kernels, in float64."""
    return np.asarray(tree["encoder"]["kernel"], np.float64) @ np.asarray(
        tree["projector"]["kernel"], np.float64
    )


def projections(tree, batch) -> np.ndarray:
    """z f64[v,n,d] of a batch."""
    images = np.asarray(batch["images"], np.float64)
    return images.reshape(*images.shape[:2], -1) @ kernels(tree)


def unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def start(method, batch):
    """(params, state, a compiled loss of params, state, batch and step)."""
    params, state = method.init(RNG, batch)
    return params, state, jax.jit(lambda *arguments: method.loss(*arguments[:3], RNG, arguments[3]))


def make(module, **arguments) -> contracts.Method:
    return module.make(encoder=encoder(), projector=linear(), **arguments)


def test_simclr_is_nt_xent_with_the_self_pair_in_neither_part():
    method, batch, temperature = make(simclr, temperature=0.5), batch_of(), 0.5
    params, state, loss = start(method, batch)
    rows = unit(projections(params["encoder"], batch)).reshape(2 * N, WIDTH)
    total, hits = 0.0, 0
    for i in range(2 * N):
        scores = {k: rows[i] @ rows[k] / temperature for k in range(2 * N) if k != i}
        positive = (i + N) % (2 * N)
        total -= scores[positive] - np.log(np.sum(np.exp([*scores.values()])))
        hits += max(scores, key=scores.get) == positive
    step = loss(params, state, batch, 0)
    np.testing.assert_allclose(step.losses["encoder"], total / (2 * N), rtol=1e-5)
    np.testing.assert_allclose(step.metrics["views/accuracy"], hits / (2 * N), rtol=1e-6)
    assert step.metrics["views/nats"] <= np.log(N)
    np.testing.assert_array_equal(
        step.features[contracts.POSITIVE], encoder_outputs(params, batch["images"][1])
    )


def encoder_outputs(params, images):
    return encoder().apply(params["encoder"]["encoder"], {"seen": 0}, images, train=False)[0]["y"]


def two_steps_of_moco():
    queue = 2 * N - 1  # not a multiple of the batch
    method = make(moco, queue=queue, decay=0.75, temperature=0.2, shuffle=True)
    batches = batch_of(seed=0), batch_of(seed=1)
    params, state, loss = start(method, batches[0])
    steps = [loss(params, state, batches[0], 0)]
    moved = jax.tree.map(lambda leaf: leaf + 0.1, params)
    steps.append(loss(moved, steps[0].state, batches[1], 1))
    return queue, batches, (params, moved), (state, *(step.state for step in steps)), steps


def test_moco_compares_with_the_queue_of_earlier_keys():
    queue, batches, weights, states, steps = two_steps_of_moco()
    average = jax.tree.map(np.float64, dict(weights[0]["encoder"]))
    for number, step in enumerate(steps):
        online = weights[number]["encoder"]
        average = jax.tree.map(lambda mean, new: 0.75 * mean + 0.25 * new, average, dict(online))
        query = unit(projections(online, batches[number])[0])
        key = unit(projections(average, batches[number])[1])
        total = 0.0
        for i in range(N):
            among = np.concatenate([[query[i] @ key[i]], states[number]["queue"] @ query[i]]) / 0.2
            total -= among[0] - np.log(np.sum(np.exp(among)))
        np.testing.assert_allclose(step.losses["encoder"], total / N, rtol=1e-5)
        expected = np.array(states[number]["queue"])
        expected[(number * N + np.arange(N)) % queue] = key
        np.testing.assert_allclose(step.state["queue"], expected, atol=1e-6)
        saved = step.state["keys"]["params"]
        np.testing.assert_allclose(kernels(saved), kernels(average), rtol=1e-4)
    assert int(steps[-1].state["oldest"]) == 2 * N % queue


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(unit(a) * unit(b), axis=-1)


@pytest.mark.parametrize("with_predictor", [True, False])
def test_byol_predicts_the_target_of_the_other_view(with_predictor):
    predictor = linear() if with_predictor else None
    method, batch = make(byol, predictor=predictor, decay=0.75), batch_of()
    params, state, loss = start(method, batch)
    moved = jax.tree.map(lambda leaf: leaf + 0.1, params)
    step = loss(moved, state, batch, 0)
    online = moved["encoder"]
    parts = ("encoder", "projector")
    target = {
        part: jax.tree.map(
            lambda a, b: 0.75 * np.float64(a) + 0.25 * np.float64(b),
            params["encoder"][part],
            online[part],
        )
        for part in parts
    }
    z, targets = projections(online, batch), projections(target, batch)
    if with_predictor:
        z = z @ np.asarray(online["predictor"]["kernel"], np.float64)
    expected = 2 - np.mean([cosine(z[0], targets[1]), cosine(z[1], targets[0])]) * 2
    np.testing.assert_allclose(step.losses["encoder"], expected, rtol=1e-5)
    np.testing.assert_allclose(kernels(step.state["target"]["params"]), kernels(target), rtol=1e-4)

    def cost(shift):  # of the encoder's first weight, with the target held
        kernel = np.array(online["encoder"]["kernel"], np.float64)
        kernel[0, 0] += shift
        z = projections({**online, "encoder": {"kernel": kernel}}, batch)
        if with_predictor:
            z = z @ np.asarray(online["predictor"]["kernel"], np.float64)
        return 2 - np.mean([cosine(z[0], targets[1]), cosine(z[1], targets[0])]) * 2

    gradient, _ = train_step.player_gradients(method.loss, moved, state, batch, RNG, 0)
    slope = (cost(1e-5) - cost(-1e-5)) / 2e-5
    np.testing.assert_allclose(gradient["encoder"]["encoder"]["kernel"][0, 0], slope, rtol=1e-3)


def test_the_decay_of_the_target_rises_along_a_cosine_to_1():
    assert averages.rising_decay(0.9, 7) == np.float32(0.9)  # of no known length
    with averages.total_steps(8):
        decays = [float(averages.rising_decay(0.9, step)) for step in range(9)]
        assert averages.rising_decay(0, 4) == 0  # SimSiam
    expected = 1 - 0.1 * (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(decays, expected, rtol=1e-6)


SWAV = dict(prototypes=4, temperature=0.1, epsilon=0.05, iterations=3, frozen_steps=1)


def test_swav_predicts_assignments_of_full_views_from_all_views():
    method, batch = make(swav, **SWAV, queue=N + 2, queue_from=1), batch_of()
    batch["crops"] = jax.random.normal(jax.random.key(9), (1, N, 2, 2, 1))
    params, state, loss = start(method, batch)
    steps = [loss(params, state, batch, 0)]
    for number in (1, 2):  # the queue is full after two steps
        steps.append(loss(params, steps[-1].state, batch, number))
    views = batch | {"images": jnp.concatenate([batch["images"], batch["crops"]])}
    rows = unit(projections(params["encoder"], views))
    centres = unit(np.asarray(params["encoder"]["prototypes"], np.float64))
    for number, step in enumerate(steps):
        total = []
        for t in range(2):
            queue = np.asarray(steps[1].state["queue"][t]) if number == 2 else rows[t][:0]
            scores = np.concatenate([rows[t], queue]) @ centres.T
            codes = losses.sinkhorn(jnp.asarray(scores), epsilon=0.05, steps=3)[:N]
            for s in {0, 1, 2} - {t}:
                logits = rows[s] @ centres.T / 0.1
                logs = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
                total.append(-np.mean(np.sum(np.asarray(codes) * logs, axis=1)))
        np.testing.assert_allclose(step.losses["encoder"], np.mean(total), rtol=1e-4)
    kept = np.concatenate([rows[:2], rows[:2, :2]], axis=1)
    np.testing.assert_allclose(steps[1].state["queue"], kept, atol=1e-6)
    gradient = jax.jit(functools.partial(train_step.player_gradients, method.loss))
    for number, moves in ((0, False), (1, True)):
        slope = gradient(params, state, batch, RNG, number)[0]["encoder"]["prototypes"]
        assert bool(np.any(slope)) == moves
        radial = np.sum(slope * params["encoder"]["prototypes"], axis=1)
        np.testing.assert_allclose(radial, 0, atol=1e-5)


@pytest.mark.parametrize("name", ["barlow", "vicreg", "sigreg"])
def test_regularised_methods_apply_their_loss_to_the_projections(name):
    if name == "barlow":
        method = make(barlow, off_diagonal=0.01, scale=0.5)
    elif name == "vicreg":
        weights = dict(invariance=3.0, variance=2.0, covariance=1.0)
        method = make(vicreg, **weights)
    else:
        method = make(sigreg, weight=0.25, directions=8)
    batch = batch_of()
    params, state, loss = start(method, batch)
    step = loss(params, state, batch, 0)
    first, second = (jnp.asarray(z, jnp.float32) for z in projections(params["encoder"], batch))
    if name == "barlow":
        expected = 0.5 * losses.barlow_twins(first, second, off_diagonal=0.01)[0]
    elif name == "vicreg":
        expected = losses.vicreg(first, second, **weights)[0]
    else:
        key = jax.random.split(RNG)[1]
        distance = np.mean((np.asarray(first) - np.asarray(second)) ** 2) / 4
        statistics = [losses.sigreg(z, key, directions=8) for z in (first, second)]
        expected = 0.75 * distance + 0.25 * np.mean(statistics)
    np.testing.assert_allclose(step.losses["encoder"], expected, rtol=1e-4)


@pytest.mark.parametrize("module", [simclr, moco, byol, swav])
@pytest.mark.parametrize("views", [1, 3])
def test_another_number_of_views_is_one_sentence(module, views):
    arguments = {
        simclr: dict(temperature=0.1),
        moco: dict(queue=8, decay=0.9, temperature=0.2, shuffle=False),
        byol: dict(predictor=None, decay=0.9),
        swav: SWAV,
    }
    method = make(module, **arguments[module])
    with pytest.raises(contracts.UserError, match=rf"{views} views? .* augment\.views=2"):
        method.init(RNG, batch_of(views))


def test_networks_that_do_not_fit_are_one_sentence():
    with pytest.raises(contracts.UserError, match=r"6 images and method\.queue is 5"):
        make(moco, queue=5, decay=0.9, temperature=0.2, shuffle=False).init(RNG, batch_of())
    with pytest.raises(contracts.UserError, match=r"method\.predictor\.features=5"):
        make(byol, predictor=linear(3), decay=0.9).init(RNG, batch_of())
    crops = batch_of() | {"crops": jnp.zeros((1, N, 3, 3, 1))}  # the linear encoder has one size
    for method in (make(swav, **SWAV), make(sigreg, weight=0.25, directions=8)):
        with pytest.raises(contracts.UserError, match=r"of 2x2 .* crops of 3x3; choose"):
            method.init(RNG, crops)


def test_a_projector_ends_in_a_linear_layer_or_in_a_norm():
    x = jax.random.normal(RNG, (16, 3))
    for last_norm in (False, True):
        net = heads.projector(widths=(7,), features=5, last_norm=last_norm)
        params, stats = net.init(RNG, x)
        z, _ = net.apply(params, stats, x, train=True)
        assert z.shape == (16, 5) and ("bias" in params["features"]) != last_norm
        normed = np.allclose(z.mean(axis=0), 0, atol=1e-5) and np.allclose(z.std(0), 1, atol=1e-2)
        assert normed == last_norm


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moco", "byol", "swav"])
def test_a_killed_run_keeps_queue_target_and_prototypes(config, name, tmp_path, monkeypatch):
    """Bit for bit, also of the decay that depends on the length of the training."""
    dataset = data.load("digits")
    few = data.Split(*(part[:160] for part in dataset.splits["train"][:2]))
    dataset = dataset._replace(splits={**dataset.splits, "train": few})
    spec = config(name)
    method = spec["method"]["method"] | dict(encoder=dict(name="linear", features=8))
    spec |= dict(method=method, players=dict(encoder=spec["players"]["encoder"]))
    spec["augment"] |= dict(jitter=None, grey=0.0, blur=0.0, solarise=0.0)
    spec["data"] |= dict(name="digits", train_split="train", test_split="test")
    spec["train"] |= dict(batch_size=32, epochs=3.0, steps_per_dispatch=3, save_epochs=1.0)

    def run(folder):
        outputs = training.Outputs()
        checkpoints = checkpoint.Checkpoints(folder, keep=2)
        return training.start(spec, dataset, checkpoints, outputs)[1].run()

    complete = run(tmp_path / "complete")
    read, signalled = trainer.Loop._read, []

    def stop_at_6(loop, step, *arguments):
        row = read(loop, step, *arguments)
        if step == 6 and not signalled:
            signalled.append(step)
            os.kill(os.getpid(), signal.SIGTERM)
        return row

    monkeypatch.setattr(trainer.Loop, "_read", stop_at_6)
    with pytest.raises(stopping.Stopped):
        run(tmp_path / "parts")
    continued = run(tmp_path / "parts")
    assert int(continued.step) == 15 and signalled
    training.same(complete, continued)
