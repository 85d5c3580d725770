"""A finished run is trained on, and another run starts from its parameters."""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import dim_jax
from configs import quickstart
from dim_jax import contracts, main, settings
from dim_jax.rundir import checkpoint, exported_encoder, workdir
from dim_jax.training import continuation, train_step, trainer

CONFIG = """
from configs import quickstart


def get_config():
    config = quickstart.get_config("smoke").unlock()
    inner = config.method.method.encoder
    config.method = dict(
        name="supervised", encoder=inner, classifier=config.method.classifier, tap="fc"
    )
    config.players = dict(encoder=config.players.encoder)
    config.train.update(dict(epochs=1.0, save_epochs=0.5))
    config.evals = dict(
        prior=dict(name="prior_fit", taps=("fc",), representations=("trained",))
    )
    return config.lock()
"""


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)


def config(epochs: float) -> settings.Config:
    values = quickstart.get_config("smoke").to_dict()
    return settings.Config.of({**values, "train": {**values["train"], "epochs": epochs}})


def check(folder: workdir.Workdir, epochs: float) -> None:
    """For an epoch of 22 steps."""
    continuation.check(folder, config(epochs), trainer.plan(config(epochs).train, 1438, 1))


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def contents(folder) -> dict:
    """The bytes of the files of a run folder, but for the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_lengths_that_cannot_be_reached_are_refused(tmp_path):
    folder = workdir.Workdir(str(tmp_path))
    assert not continuation.is_finished(folder, config(1.0).train)
    for step in (11, 22):
        (folder.checkpoints / str(step)).mkdir(parents=True)
    folder.write_json(folder.results, {"run": {"steps": 22, "epochs": 1.0}})
    assert continuation.is_finished(folder, config(1.0).train)
    for epochs in (0.5, 2.0):
        assert not continuation.is_finished(folder, config(epochs).train)
    check(folder, 2.0)
    words = r"train\.epochs is 0\.5, which are 11 steps, .* has made 22; set it to 1 or more"
    with pytest.raises(contracts.UserError, match=words):
        check(folder, 0.5)
    (folder.checkpoints / "33").mkdir()  # a longer training is under way
    assert not continuation.is_finished(folder, config(1.0).train)
    shutil.rmtree(folder.checkpoints)
    assert continuation.is_finished(folder, config(1.0).train)
    with pytest.raises(contracts.UserError, match="has results and no checkpoint to train on from"):
        check(folder, 2.0)


def test_the_new_length_is_said_with_what_it_means_for_the_learning_rates(tmp_path):
    folder = workdir.Workdir(str(tmp_path / "run"))
    config = quickstart.get_config("smoke").to_dict()
    assert continuation.describe_length(folder, settings.Config.of(config)) == []
    folder.claim(config)
    assert continuation.describe_length(folder, settings.Config.of(config)) == []
    config["train"]["epochs"] = 4.0
    (line,) = continuation.describe_length(folder, settings.Config.of(config))
    assert line == (
        f"length: 4 epochs, before 2; from here on the learning rates of "
        f"{', '.join(config['players'])} follow the schedule of 4 epochs"
    )
    for player in config["players"].values():
        player["schedule"] = dict(name="constant")
    (line,) = continuation.describe_length(folder, settings.Config.of(config))
    assert line.endswith("before 2; the learning rates do not depend on it")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """(name of a run folder, arguments) -> exit code of the command."""
    folder = tmp_path_factory.mktemp("continued")
    config = folder / "configs" / "continued.py"
    config.parent.mkdir()
    config.write_text(CONFIG)

    def call(name: str, *more: str) -> int:
        return main.main(["main.py", f"--config={config}", f"--workdir={folder / name}", *more])

    call.folder = folder
    return call


@pytest.mark.slow
def test_a_run_by_the_command_line(command, capsys):
    """Finished, trained on, not evaluated with other weights, and the start of another run."""
    run = command.folder / "run"
    assert command("run") == 0
    first = results(run)
    # Trained on: the old results stay until there are new ones.
    longer = "--config.train.epochs=2"
    assert command("run", longer, "--config.train.max_minutes=1e-9") == 75
    assert "length: 2 epochs, before 1; from here on" in capsys.readouterr().out
    assert results(run) == first
    assert command("run") == 2
    assert "has made 33; set it to 1.5 or more" in capsys.readouterr().err
    assert command("run", longer) == 0
    assert results(run)["run"]["steps"] == dim_jax.load_encoder(run).card["steps"] == 44
    assert results(run)["rows"] != first["rows"]
    assert json.loads((run / "config.json").read_text())["train"]["epochs"] == 2.0
    rows = (run / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [11, 22, 33, 44]
    capsys.readouterr()
    assert command("run", longer) == 0
    assert "this run is finished" in capsys.readouterr().out
    # The weights of another step, or of another training, are not evaluated as the last ones.
    swapped = pathlib.Path(shutil.copytree(run, command.folder / "swapped"))
    (swapped / "results.json").unlink()
    shutil.rmtree(swapped / "checkpoints" / "44")
    (swapped / "checkpoints" / "33").rename(swapped / "checkpoints" / "44")
    before = contents(swapped)
    assert command("swapped", longer) == 2
    error = capsys.readouterr().err
    assert "checkpoints/44 is that of step 33; move it out of this folder" in error
    assert len(error.strip().splitlines()) == 1
    assert contents(swapped) == before
    # Another run starts from it, and needs it no more once it has a checkpoint.
    start = f"--config.train.init_from={run}"
    assert command("other", start, "--config.method.encoder.features=12") == 2
    error = capsys.readouterr().err
    assert "the encoder in checkpoint 44 of" in error and "encoder/y/" in error
    assert not (command.folder / "other" / "config.json").exists()
    assert command("other", start, "--config.train.max_minutes=1e-9") == 75
    assert f"from checkpoint 44 of {run}; the optimizers, the step anew" in capsys.readouterr().out
    run.rename(command.folder / "moved")
    assert command("other", start) == 0
    assert "start: " not in capsys.readouterr().out
    other = results(command.folder / "other")["run"]
    assert other["steps"] == 22 and str(run) in " ".join(other["notes"])
    rows = (command.folder / "other" / "metrics.jsonl").read_text().splitlines()
    rows += (command.folder / "moved" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(row)["loss/encoder"] for row in rows]
    assert losses[0] < losses[2]  # in the first steps of both
    # And so does one that takes the encoder alone.
    encoder = command.folder / "moved" / "encoder"
    start = f"--config.encoder.init={encoder}"
    assert command("third", start, "--config.train.max_minutes=1e-9") == 75
    said = f"start: the encoder {encoder} of step 44; everything else anew"
    assert said in capsys.readouterr().out
    encoder.rename(command.folder / "elsewhere")
    assert command("third", start) == 0
    assert "start: " not in capsys.readouterr().out
    assert str(encoder) in " ".join(results(command.folder / "third")["run"]["notes"])


def state(seed: int, width: int = 3, **players) -> train_step.TrainState:
    params = {
        "encoder": {
            "encoder": {"y": {"kernel": jnp.full((2, width), float(seed))}},
            "critic": {"w": jnp.full(4, float(seed))},
        },
        **players,
    }
    return train_step.TrainState.create(
        apply_fn=len,
        params=params,
        tx=optax.adam(0.1),
        state={"encoder": {"mean": jnp.full(2, float(seed))}, "bank": jnp.full(5, float(seed))},
    )


@pytest.fixture
def source(tmp_path) -> pathlib.Path:
    """A run folder with the checkpoint 7 and an exported encoder of step 9."""
    saved = state(1, probe={"head": {"w": jnp.ones(6)}})
    fields = trainer.checkpointed(saved.replace(step=jnp.int32(7)))
    (tmp_path / "source").mkdir()
    checkpoint.Checkpoints(tmp_path / "source" / "checkpoints").save(7, fields)
    nine = state(9)
    exported_encoder.write(
        tmp_path / "source" / "encoder",
        nine.params["encoder"]["encoder"],
        nine.state["encoder"],
        {"steps": 9},
    )
    return tmp_path / "source"


def test_what_fits_is_taken_and_the_rest_starts_anew(source):
    initial = state(0, probe={"head": {"w": jnp.zeros(8)}}, prior={"w": jnp.zeros(2)})
    start, line = continuation.start_from(initial, str(source))
    params = start.params
    np.testing.assert_array_equal(params["encoder"]["encoder"]["y"]["kernel"], 1)
    np.testing.assert_array_equal(params["encoder"]["critic"]["w"], 1)
    np.testing.assert_array_equal(start.state["encoder"]["mean"], 1)
    np.testing.assert_array_equal(start.state["bank"], 1)
    np.testing.assert_array_equal(params["probe"]["head"]["w"], 0)
    assert start.step == 0 and jax.tree.structure(start) == jax.tree.structure(initial)
    assert line == (
        "start: params/encoder/critic, params/encoder/encoder, state/bank, state/encoder from "
        f"checkpoint 7 of {source}; params/prior/w, params/probe/head, the optimizers, the step "
        "anew"
    )


def test_an_exported_encoder_is_a_start_too(source):
    start, line = continuation.start_from(state(0), str(source / "encoder"))
    np.testing.assert_array_equal(start.params["encoder"]["encoder"]["y"]["kernel"], 9)
    np.testing.assert_array_equal(start.state["encoder"]["mean"], 9)
    np.testing.assert_array_equal(start.params["encoder"]["critic"]["w"], 0)
    assert f"from the encoder {source / 'encoder'} of step 9; params/encoder/critic, " in line
    shutil.rmtree(source / "checkpoints")
    _, line = continuation.start_from(state(0), str(source))
    assert "of step 9" in line


def test_damaged_checkpoints_of_the_source_are_passed_over_and_stay(source):
    before = contents(source)
    seven = source / "checkpoints" / "7"
    shutil.copytree(seven, source / "checkpoints" / "8")
    (source / "checkpoints" / "8" / "leaves.json").unlink()
    assert "checkpoint 7 of" in continuation.start_from(state(0), str(source))[1]
    shutil.rmtree(source / "checkpoints" / "8")
    assert contents(source) == before


def test_an_encoder_that_does_not_fit_is_refused(source):
    words = r"checkpoint 7 of .*'params/encoder/encoder/y/kernel' is float32\[2, 3\] in it and "
    with pytest.raises(contracts.UserError, match=words):
        continuation.start_from(state(0, width=4), str(source))


def test_a_path_in_the_home_of_nobody_is_one_sentence():
    with pytest.raises(contracts.UserError, match=r"train\.init_from is .* no such user"):
        continuation.start_from(state(0), "~nosuchuser/run")


@pytest.mark.parametrize("run", ["nowhere", "empty"])
def test_nothing_to_start_from_is_one_sentence(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(contracts.UserError, match=r"train\.init_from is .* no exported encoder"):
        continuation.start_from(state(0), str(tmp_path / run))
