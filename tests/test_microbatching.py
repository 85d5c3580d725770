"""The division of a batch: what is refused, accumulated gradients, and whole runs by the config."""

import json

import jax
import numpy as np
import optax
import pytest
import training

import dim_jax
from dim_jax import build, contracts, main
from dim_jax.training import microbatching, train_step

RNG = jax.random.key(0)
ENCODER = dict(name="dcgan32", width=4, hidden=8, features=4)


def supervised(norm: str) -> contracts.Method:
    head = dict(name="classifier", hidden=8, dropout=0.0, classes=3, norm=norm)
    encoder = {**ENCODER, "norm": norm}
    spec = dict(name="supervised", encoder=encoder, classifier=head, tap="conv")
    return build.make("method", spec)


def batch_of(count: int) -> contracts.Batch:
    random = np.random.default_rng(0)
    return dict(
        images=np.float32(random.normal(size=(1, count, 32, 32, 1))),
        labels=np.arange(count) % 3,
        index=np.arange(count),
    )


def step_of(method, accumulate: int):
    initial = train_step.initial_state(
        method, lambda _: optax.sgd(0.1), 3, batch_of(24), accumulate
    )
    return initial, *jax.jit(train_step.train_step)(initial, batch_of(24), 3)


def close(one, other, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, other
    )


def test_an_accumulated_step_is_that_of_the_whole_batch():
    _, whole, metrics = step_of(supervised("none"), 1)
    _, parts, accumulated = step_of(supervised("none"), 4)
    close(parts.params, whole.params)
    close(accumulated, metrics)
    assert parts.step == whole.step == 1


def test_accumulated_parts_have_their_own_batch_statistics_in_turn():
    """The running averages move once for each part, as in four steps of a quarter."""
    method = supervised("batch")
    initial, after, metrics = step_of(method, 4)
    state, losses = initial.state, []
    loss = jax.jit(method.loss)
    for part in range(4):
        picked = np.arange(part, 24, 4)
        batch = {
            key: x[:, picked] if key == "images" else x[picked] for key, x in batch_of(24).items()
        }
        step = loss(initial.params, state, batch, RNG, 0)
        state = step.state
        losses.append(float(step.losses["encoder"]))
    close(after.state, state, 1e-4)
    assert metrics["loss/encoder"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_accumulated_parts_have_the_views_and_crops_of_their_images():
    numbers = np.arange(8)
    batch = dict(images=np.tile(numbers, (2, 1)), crops=np.tile(numbers, (3, 1)), labels=numbers)
    parts = train_step._divide(batch, 4)
    assert parts["labels"].shape == (4, 2)
    for name, views in (("images", 2), ("crops", 3)):
        expected = np.repeat(parts["labels"][:, None], views, axis=1)
        np.testing.assert_array_equal(parts[name], expected)


def test_accumulated_parts_draw_their_random_numbers_apart():
    def loss(params, state, batch, rng, number):
        drawn = jax.random.uniform(rng)
        return contracts.Step({"encoder": params["encoder"] * drawn}, {"drawn": drawn}, state, {})

    gradients, step = train_step.accumulated_gradients(
        loss, {"encoder": np.float32(1)}, {}, batch_of(8), RNG, 0, parts=4
    )
    expected = np.mean([jax.random.uniform(jax.random.fold_in(RNG, part)) for part in range(4)])
    assert step.metrics["drawn"] == pytest.approx(expected)
    assert gradients["encoder"] == pytest.approx(expected)


def test_who_may_accumulate_is_in_the_contract(config):
    probe = config("quickstart")["method"]
    dim = build.make("method", probe["method"])
    watched = build.make("method", probe)
    judged = {**probe, "method": config("supervised")["method"]["method"]}
    assert build.make("method", judged).per_example and supervised("none").per_example
    assert not dim.per_example and not watched.per_example
    train = training.block(accumulate=4)
    for method in (dim, watched):
        with pytest.raises(contracts.UserError) as error:
            microbatching.divide(method, train, devices=1)
        assert "train.accumulate is 4 and this method's loss compares" in str(error.value)
        assert "set train.microbatches=4 and train.accumulate=1" in str(error.value)
    method = supervised("none")
    assert microbatching.divide(method, train, devices=1) is method


@pytest.mark.parametrize(
    ("train", "devices", "message"),
    [
        (dict(microbatches=3), 1, "microbatches=3 does not divide; .* to 63 or 66"),
        (dict(microbatches=4, batch_size=16), 8, "batch 16 on 8 .* set train.batch_size to 32"),
        (dict(norm_groups=6), 4, "on 4 .* with norm_groups=6 .* to 60 or 72"),
        (dict(accumulate=8), 16, "with accumulate=8 does not divide; .* to 128"),
    ],
)
def test_batches_that_do_not_divide_are_one_sentence(train, devices, message):
    with pytest.raises(contracts.UserError, match=message):
        microbatching.divide(supervised("none"), training.block(**train), devices)


CONFIG = """
from configs import quickstart


def get_config():
    config = quickstart.get_config("smoke")
    config.method.method.gamma = 0.0
    del config.players.discriminator
    for name in list(config.evals):
        if name != "uniformity":
            del config.evals[name]
    return config
"""


@pytest.fixture
def command(tmp_path, monkeypatch, pytestconfig):
    """The function that runs a small config with more arguments in a new folder, on one device."""
    monkeypatch.chdir(pytestconfig.rootpath)
    one = jax.devices()[:1]
    monkeypatch.setattr(jax, "devices", lambda: one)
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "small.py"
    config.write_text(CONFIG)

    def call(*more) -> int:
        run = ["main.py", f"--config={config}", f"--workdir={tmp_path / 'run'}"]
        return main.main([*run, *(f"--config.{setting}" for setting in more)])

    return call


@pytest.mark.slow
def test_a_divided_run_exports_an_encoder_like_any_other(command, tmp_path):
    assert command("train.microbatches=2", "train.norm_groups=4", "train.epochs=0.1") == 0
    encoder = dim_jax.load_encoder(tmp_path / "run")
    assert encoder.card["encoder"].keys() == {*ENCODER, "norm"}
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    together, alone = encoder.encode(images), encoder.encode(images[:1])
    close(together["y"][:1], alone["y"], 1e-4)
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["train"]["microbatches"] == 2


def test_a_run_that_cannot_accumulate_ends_in_a_sentence_and_leaves_nothing(
    command, tmp_path, capsys
):
    assert command("train.accumulate=2") == 2
    assert "set train.microbatches=2 and train.accumulate=1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
