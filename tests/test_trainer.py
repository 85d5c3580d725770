"""The trainer: plans, resuming to the bit, stopping, diverging, randomness from (seed, step)."""

import itertools
import json
import math
import os
import signal
import time

import jax
import numpy as np
import optax
import pytest
import training

from dim_jax import build, contracts, data, run_metadata, settings
from dim_jax.rundir import checkpoint
from dim_jax.training import preprocessing, stopping, train_step, trainer


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    dataset = data.load("digits", image_size=32)
    few = data.Split(*(part[:160] for part in dataset.splits["train"][:2]))
    return dataset._replace(splits={**dataset.splits, "train": few})


def small_config(config) -> dict:
    changed = config("quickstart")
    changed["method"] = changed["method"]["method"]  # without the probe
    del changed["players"]["probe"]
    changed["train"] |= dict(batch_size=32, epochs=5.0, steps_per_dispatch=4, save_epochs=1.0)
    return changed


@pytest.fixture
def small(config) -> dict:
    """5 epochs of 5 steps, 4 steps a dispatch: the last dispatch is shorter."""
    return small_config(config)


@pytest.fixture(scope="module")
def run():
    return training.Trainer()


@pytest.fixture(scope="module")
def untouched(run, config, digits, tmp_path_factory):
    """The final state and the outputs of the small config on one device."""
    return run(small_config(config), digits, tmp_path_factory.mktemp("untouched") / "run")


def test_plan_resolves_epochs_and_aligns_saves_with_dispatches():
    block = training.block(epochs=1.5, steps_per_dispatch=7)
    plan = trainer.plan(block, examples=1000, devices=8)
    assert plan == trainer.Plan(64, 15, 23, 7, 14)


@pytest.mark.parametrize(
    ("batch", "devices", "message"),
    [
        (100, 8, "batch 100 on 8 devices does not divide; set train.batch_size to 96 or 104"),
        (4, 8, "batch 4 on 8 devices does not divide; set train.batch_size to 8"),
        (2400, 8, "batch_size is 2400 and there are 1000 training images"),
    ],
)
def test_plan_refuses_batches_that_do_not_fit(batch, devices, message):
    block = training.block(batch_size=batch)
    with pytest.raises(contracts.UserError, match=message):
        trainer.plan(block, examples=1000, devices=devices)


def test_an_interrupted_run_equals_an_uninterrupted_one(
    run, untouched, small, digits, tmp_path, monkeypatch
):
    whole, outputs = untouched
    assert [row["step"] for row in outputs.rows] == outputs.saves == [4, 8, 12, 16, 20, 24, 25]
    interrupted = training.Outputs()
    read = trainer.Loop._read

    def stop_at_12(loop, step, *arguments):
        read(loop, step, *arguments)
        if step == 12 and not interrupted.lines:
            interrupted.lines.append("signalled")
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer.Loop, "_read", stop_at_12)
    with pytest.raises(
        stopping.Stopped, match="saved; run the same command to continue"
    ) as stopped:
        run(small, digits, tmp_path / "parts", interrupted)
    assert stopped.value.exit_code == 143
    continued, _ = run(small, digits, tmp_path / "parts", interrupted, anew=True)
    training.same(whole, continued)
    assert training.untimed(outputs) == training.untimed(interrupted)


def test_a_longer_training_continues_a_shorter_one(small, digits, tmp_path):
    """With a constant learning rate to the bit, if the shorter one ends with a complete dispatch.

    After another end, one dispatch is divided and the following ones are those of the longer one.
    """
    for player in small["players"].values():
        player["schedule"] = dict(name="constant")
    initial, programs = None, {}

    def train(name, outputs, steps, **limits):
        nonlocal initial
        config = {**small, "train": {**small["train"], "epochs": steps / 5, **limits}}
        checkpoints = checkpoint.Checkpoints(tmp_path / name, config=config)
        initial, loop = training.start(config, digits, checkpoints, outputs, initial=initial)
        loop._compiled = programs
        return loop.run()

    outputs, extended, divided = (training.Outputs() for _ in range(3))
    whole = train("whole", outputs, 12)
    train("extended", extended, 4)
    with pytest.raises(stopping.Stopped, match="at step 8"):
        train("extended", extended, 12, max_minutes=1e-9)
    training.same(whole, train("extended", extended, 12))
    assert training.untimed(outputs) == training.untimed(extended)
    train("divided", divided, 6)
    train("divided", divided, 12)
    assert [row["step"] for row in divided.rows] == [4, 6, 8, 12]
    assert divided.rows[-1]["loss/encoder"] == pytest.approx(outputs.rows[-1]["loss/encoder"], 1e-3)


def test_a_damaged_newest_checkpoint_costs_one_line_and_no_bit(run, small, digits, tmp_path):
    whole, outputs = run(small, digits, tmp_path)
    newest = tmp_path / str(checkpoint.Checkpoints(tmp_path).steps()[-1])
    largest = max(newest.rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-100])
    again, outputs = run(small, digits, tmp_path, outputs)
    training.same(whole, again)
    assert len(outputs.lines) == 1 and "unreadable" in outputs.lines[0]


def test_eight_devices_train_like_one(run, untouched, small, digits, tmp_path):
    _, first = untouched
    second, soon = training.Outputs(), {**small["train"], "max_minutes": 1e-9}
    with pytest.raises(stopping.Stopped):
        run(small, digits, tmp_path / "eight", second, devices=8, train=soon)
    # The same first losses; later ones drift apart by rounding that Adam amplifies.
    for name in ("loss/encoder", "loss/discriminator"):
        assert first.rows[0][name] == pytest.approx(second.rows[0][name], rel=2e-3)


def test_a_batch_depends_on_seed_and_step_only(run, untouched, small, digits, tmp_path):
    """Other dispatch sizes give the same run up to rounding."""
    whole, _ = untouched
    other = {**small["train"], "steps_per_dispatch": 25}
    single, _ = run(small, digits, tmp_path / "all", train=other)
    y = whole.params["encoder"]["encoder"]["y"]["kernel"]
    np.testing.assert_allclose(y, single.params["encoder"]["encoder"]["y"]["kernel"], atol=1e-4)
    reseeded, _ = run(small, digits, tmp_path / "seed", seed=1, train=other)
    assert np.abs(reseeded.params["encoder"]["encoder"]["y"]["kernel"] - y).max() > 1e-2


def test_random_numbers_are_those_of_the_seed_the_step_and_their_use():
    """Of the loss, and of the changes of images."""

    def loss(params, state, batch, rng, step):
        numbers = {"loss": jax.random.uniform(rng), "change": batch["images"].mean()}
        return contracts.Step({"encoder": params["encoder"] * 0.0}, numbers, state, {})

    def change(rng, images):
        return jax.numpy.full(images.shape, jax.random.uniform(rng))

    def numbers(seed, first):
        """[(of the loss, of the images)] of two steps, from step `first` on."""
        state = train_step.TrainState.create(
            apply_fn=loss, params={"encoder": jax.numpy.zeros(())}, tx=optax.sgd(0.1), state={}
        ).replace(step=jax.numpy.array(first))
        prepared = preprocessing.Preprocessing((0.0,), (1.0,), change)
        dispatch = train_step.make_dispatch(prepared, seed, 8, 8, train_step.mesh())
        images = np.zeros((8, 2, 2, 1), np.uint8)
        _, metrics = dispatch(state, images, np.zeros(8, np.int32), count=2)
        return np.stack([metrics["loss"], metrics["change"]], axis=1).round(5).tolist()

    zero, one, two = (numbers(0, first) for first in (0, 1, 2))
    assert len({*itertools.chain(*zero, *two, *numbers(1, 0))}) == 12
    assert one == [zero[1], two[0]]


def test_small_crops_reach_the_methods_that_use_them(small, digits, tmp_path):
    """In the first batch and in the parts of later ones; other methods are refused."""
    counts = []

    def init(rng, batch):
        assert batch["crops"].dtype == np.float32 and batch["images"].shape[0] == 1
        return {"encoder": {"encoder": jax.numpy.ones(())}}, {"encoder": {}}

    def loss(params, state, batch, rng, step):
        counts.append(batch["crops"].shape)
        loss = params["encoder"]["encoder"] * batch["crops"].mean()
        return contracts.Step({"encoder": loss}, {"spread": batch["crops"].std()}, state, {})

    method = contracts.Method(init, loss, None, per_example=True, uses_crops=True)
    block = dict(batch_size=32, epochs=1.0, steps_per_dispatch=5, save_epochs=1.0, accumulate=2)
    small |= dict(train=block, augment=dict(small_crops=3, small_crop=4))
    arguments = (small, digits, checkpoint.Checkpoints(tmp_path / "run", keep=1))
    _, loop = training.start(*arguments, outputs := training.Outputs(), method=method)
    loop.run()
    assert {*counts} == {(3, 32, 4, 4, 1), (3, 16, 4, 4, 1)} and outputs.rows[0]["spread"] > 0.1
    with pytest.raises(contracts.UserError, match="small_crops is 3 and this method does not use"):
        training.start(*arguments, outputs, method=method._replace(uses_crops=False))


def test_images_per_second_are_of_the_images_and_the_seconds_of_a_row(untouched):
    rows = untouched[1].rows
    for before, row in itertools.pairwise(rows):
        images = 32 * (row["step"] - before["step"])
        seconds = row["time/seconds"] - before["time/seconds"]
        assert row["time/images_per_second"] * seconds == pytest.approx(images)


def test_a_row_has_means_over_its_steps_and_the_epoch(monkeypatch):
    """Of steps 5 to 8 where an epoch has 5; and its seconds are those since the row before."""
    loop = object.__new__(trainer.Loop)
    loop._durations, loop._outputs = trainer.Plan(32, 5, 25, 4, 4), training.Outputs()
    loop._last_read, loop.train_seconds, loop.compile_seconds = 90.0, 7.0, 3.0
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: 100.0)
    metrics = {"loss/encoder": np.float32([1, 2, 3, 6]), "rate": np.float32([0, 0, 0, 1])}
    row = loop._read(8, 4, metrics, began=80.0)
    assert loop._outputs.rows == [row]
    assert row == {
        **{"step": 8, "epoch": 1.6, "loss/encoder": 3.0, "rate": 0.25},
        **{
            "time/images_per_second": 4 * 32 / 10,
            "time/seconds": 17.0,
            "time/compile_seconds": 3.0,
        },
    }


class Compiling:
    """A dispatch whose compilation takes 7 seconds of a clock and whose run takes 5."""

    def __init__(self):
        self.now = 0.0

    def lower(self, *arguments, count):
        return self

    def compile(self):
        self.now += 7
        return self

    def __call__(self, state, *arguments):
        self.now += 5
        return state, {}

    def arguments(self, count, following):
        """As an input source: waits 3 seconds for images."""
        self.now += 3
        return ()


def test_seconds_of_training_count_waiting_for_images_but_no_compilation(monkeypatch):
    loop, fake = object.__new__(trainer.Loop), Compiling()
    loop._durations, loop._outputs = trainer.Plan(32, 5, 8, 4, 4), training.Outputs()
    loop._last_read = loop.train_seconds = loop.compile_seconds = 0.0
    loop._dispatch = loop._source = fake
    loop._compiled, loop._recorder, loop.train_state, loop.step = {}, None, None, 0
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: fake.now)
    for _ in range(2):
        loop._read(*loop._launch())
    assert (loop.step, loop.compile_seconds) == (8, 7)
    assert [row["time/seconds"] for row in loop._outputs.rows] == [8, 16]


def test_times_of_a_continued_run_go_on(run, small, digits, tmp_path):
    outputs, soon = training.Outputs(), {**small["train"], "max_minutes": 1e-9}
    for step in (4, 8):
        with pytest.raises(stopping.Stopped, match=f"at step {step}, saved"):
            run(small, digits, tmp_path, outputs, train=soon)
        outputs.rows[-1]["time/seconds"] += 1000 * (step == 4)
        outputs.rows[-1]["time/compile_seconds"] += 500 * (step == 4)
    before, after = outputs.rows
    assert before["time/seconds"] < after["time/seconds"] < before["time/seconds"] + 500
    assert after["time/compile_seconds"] >= before["time/compile_seconds"] >= 500
    without_rows = training.Outputs()
    with pytest.raises(stopping.Stopped, match="at step 12, saved"):
        run(small, digits, tmp_path, without_rows, train=soon)
    assert without_rows.rows[-1]["time/seconds"] > after["time/seconds"]


def test_divergence_names_player_and_step_and_keeps_the_last_good_state(
    run, small, digits, tmp_path, monkeypatch
):
    original = train_step.update

    def broken(train_state, batch, seed):
        train_state, metrics, features = original(train_state, batch, seed)
        # From the step after it on, the other player's loss is not finite either.
        first = {"loss/encoder": 15, "loss/discriminator": 16}
        bad = {
            name: jax.numpy.where(train_state.step >= step, jax.numpy.nan, metrics[name])
            for name, step in first.items()
        }
        return train_state, {**metrics, **bad}, features

    monkeypatch.setattr(train_step, "update", broken)
    outputs = training.Outputs()
    with pytest.raises(contracts.UserError) as error:
        run(small, digits, tmp_path, outputs, anew=True)
    assert "the loss of the player 'encoder' is nan at step 15" in str(error.value)
    assert "the checkpoint of step 12 is kept" in str(error.value)
    assert checkpoint.Checkpoints(tmp_path).steps()[-1] == 12
    assert outputs.rows[-1]["step"] == 12


def test_divergence_of_several_losses_in_one_step_names_all_of_these_players(tmp_path):
    loop = object.__new__(trainer.Loop)
    loop._checkpoints = checkpoint.Checkpoints(tmp_path)
    nan, inf = float("nan"), float("inf")
    rows = dict(critic=[1, 2, nan], encoder=[1, nan, nan], generator=[1, inf, 2])
    metrics = {f"loss/{player}": np.array(values) for player, values in rows.items()}
    message = "the losses of the players 'encoder' and 'generator' are nan and inf at step 9"
    with pytest.raises(contracts.UserError, match=message):
        loop._check_finite(7, metrics)
    loop._check_finite(7, {name: each[:1] for name, each in metrics.items()})


def test_parameters_that_are_not_finite_are_never_saved(run, small, digits, tmp_path):
    hot = json.loads(json.dumps(small))
    hot["players"]["encoder"] |= dict(name="sgd", learning_rate=1e38)
    for key in ("b1", "b2"):
        del hot["players"]["encoder"][key]
    with pytest.raises(contracts.UserError, match=r"not finite|(is|are) (nan|-?inf)"):
        run(hot, digits, tmp_path)
    assert checkpoint.Checkpoints(tmp_path).steps() == []


def test_batch_statistics_that_are_not_finite_are_never_saved(
    run, small, digits, tmp_path, monkeypatch
):
    original = train_step.update

    def broken(train_state, batch, seed):
        train_state, metrics, features = original(train_state, batch, seed)
        infinite = jax.tree.map(
            lambda leaf: jax.numpy.where(train_state.step == 15, jax.numpy.inf, leaf),
            train_state.state["encoder"],
        )
        state = {**train_state.state, "encoder": infinite}
        return train_state.replace(state=state), metrics, features

    monkeypatch.setattr(train_step, "update", broken)
    with pytest.raises(contracts.UserError) as error:
        run(small, digits, tmp_path, anew=True)
    assert "state/encoder/conv0_norm/mean is not finite after step 16" in str(error.value)
    assert "the checkpoint of step 12 is kept" in str(error.value)
    assert checkpoint.Checkpoints(tmp_path).steps()[-1] == 12


def test_players_need_optimizers(run, small, digits, tmp_path):
    players = {key: value for key, value in small["players"].items() if key != "discriminator"}
    with pytest.raises(contracts.UserError, match=r"no players\.discriminator; add its optimizer"):
        run(small, digits, tmp_path, players=players)


def test_a_plan_has_a_number_of_steps_that_can_be_counted():
    message = r"epochs is 1e\+300, which are more than 2,147,483,647 steps .* 143,165,576 or less"
    with pytest.raises(contracts.UserError, match=message):
        trainer.plan(training.block(epochs=1e300), examples=1000, devices=1)


def test_too_few_classes_are_named_before_training(config, digits):
    """Also if no image of the first batch has the label that is too large."""
    spec = dict(
        name="supervised",
        encoder=dict(name="linear", features=4),
        classifier=dict(name="affine", outputs=5),
        tap="y",
    )
    typed = settings.Config.of({**small_config(config), "method": spec})
    labels = np.zeros(160, np.int32)
    labels[-1] = 5
    split = digits.splits["train"]._replace(labels=labels)
    durations, method = trainer.plan(typed.train, 160, 1), build.make("method", spec)
    prepared = preprocessing.Preprocessing.of(typed, digits.facts)
    with pytest.raises(contracts.UserError, match=r"a label is 5 and the classifier has 5 classes"):
        trainer.initial_state(method, typed, split, prepared, durations)


def test_an_optimizer_of_no_player_is_refused(config, digits):
    changed = small_config(config)
    typed = settings.Config.of(changed)
    prepared = preprocessing.Preprocessing.of(typed, digits.facts)
    durations = trainer.plan(typed.train, 160, 1)
    split = digits.splits["train"]

    def initial(spec, **players):
        typed = settings.Config.of({**changed, "method": spec, "players": players})
        method = build.make("method", spec)
        return jax.eval_shape(
            lambda: trainer.initial_state(method, typed, split, prepared, durations)
        )

    adam = changed["players"]["encoder"]
    message = "no player 'discriminatr' of the block players: did you mean 'discriminator'"
    with pytest.raises(contracts.UserError, match=message):
        initial(changed["method"], encoder=adam, discriminatr=adam)
    without = {**changed["method"], "gamma": 0.0}
    state = initial(without, encoder=adam, discriminator=adam)  # its term has weight 0
    assert set(state.params) == {"encoder"}
    assert "so not used: players.discriminator" in "".join(
        run_metadata.opening(
            settings.Config.of({**changed, "method": without}), digits, durations, state
        )
    )


def test_a_time_limit_stops_saved_and_changes_no_bit(run, untouched, small, digits, tmp_path):
    whole, outputs = untouched
    limited = training.Outputs()
    soon = {**small["train"], "max_minutes": 1e-9}  # over after the first dispatch
    for step in (4, 8):
        with pytest.raises(stopping.Stopped, match=f"max_minutes at step {step}, saved") as stopped:
            run(small, digits, tmp_path / "parts", limited, train=soon)
        assert stopped.value.exit_code == 75
    later = {**small["train"], "max_minutes": 60.0}
    continued, _ = run(small, digits, tmp_path / "parts", limited, train=later)
    training.same(whole, continued)
    assert training.untimed(outputs) == training.untimed(limited)


@pytest.mark.slow
def test_saved_on_four_devices_continued_on_one_and_back(run, small, digits, tmp_path):
    """Plain gradient descent: Adam makes steps of the full rate out of rounding of small slopes.

    At ten times the rate, training amplifies the rounding of the second step to 1e-3.
    """
    small["train"]["epochs"] = 12 / 5
    for player in small["players"].values():
        player |= dict(name="sgd", learning_rate=1e-3)
        player.pop("b1", None), player.pop("b2", None)
    _, outputs = run(small, digits, tmp_path / "whole")
    moved = training.Outputs()
    soon = {**small["train"], "max_minutes": 1e-9}
    for devices in (4, 1):
        with pytest.raises(stopping.Stopped):
            run(small, digits, tmp_path / "moved", moved, devices, train=soon)
    final, _ = run(small, digits, tmp_path / "moved", moved, devices=4)
    assert [row["step"] for row in moved.rows] == [row["step"] for row in outputs.rows]
    for one, other in zip(outputs.rows, moved.rows, strict=True):
        for name in ("loss/encoder", "loss/discriminator"):
            assert one[name] == pytest.approx(other[name], rel=1e-5), (one["step"], name)
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(final.params)} == {4}


def test_the_best_checkpoint_can_be_had(run, small, digits, tmp_path):
    small["train"] |= dict(epochs=12 / 5, keep_best="loss/encoder")
    outputs = training.Outputs()
    checkpoints = checkpoint.Checkpoints(tmp_path, 2, "loss/encoder")
    _, loop = training.start(small, digits, checkpoints, outputs)
    final = loop.run()
    best, state = loop.best()
    row = min(outputs.rows, key=lambda row: row["loss/encoder"])
    assert (best.step, best.value) == (row["step"], row["loss/encoder"])
    assert int(state.step) == best.step and int(final.step) == 12
    assert json.loads((tmp_path / "best.json").read_text())["step"] == best.step


def test_a_signal_ends_what_comes_after_training_at_once():
    with (
        pytest.raises(stopping.Stopped, match="finished parts are kept") as stopped,
        stopping.Ends(math.inf) as ends,
    ):
        ends.check()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert stopped.value.exit_code == 143
    with (
        pytest.raises(stopping.Stopped, match="max_minutes") as stopped,
        stopping.Ends(0.0) as ends,
    ):
        ends.check()
    assert stopped.value.exit_code == 75


def test_changes_of_images_are_part_of_the_step_and_repeat_in_a_rerun(run, small, digits, tmp_path):
    changes = dict(augment=dict(crop=28, flip=True))
    small["train"]["epochs"] = 8 / 5
    small["method"]["encoder"]["name"] = "dcgan28"
    whole, outputs = run(small, digits, tmp_path / "whole", **changes)
    other, unchanged = run(small, data.centre(digits, 28), tmp_path / "other")
    assert outputs.rows[0]["loss/encoder"] != unchanged.rows[0]["loss/encoder"]
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), whole.params, other.params)
    again, _ = run(small, digits, tmp_path / "again", anew=True, **changes)
    training.same(whole, again)
    for size in (40, 0, -3):
        with pytest.raises(
            contracts.UserError, match=rf"32x32 pixels and augment\.crop is {size}; use .* 1 to 32"
        ):
            data.centre(digits, size)


def test_the_centre_is_what_is_judged(digits):
    middle = data.centre(digits, 20)
    assert middle.facts.shape == (20, 20, 1) and data.centre(digits, None) is digits
    for name in ("train", "test"):
        np.testing.assert_array_equal(
            middle.splits[name].images, digits.splits[name].images[:, 6:26, 6:26]
        )
        np.testing.assert_array_equal(middle.splits[name].labels, digits.splits[name].labels)
