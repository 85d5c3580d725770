"""Facts of a run in results.json and in the lines that it opens with, on numbers made by hand."""

import json
import types

import jax
import numpy as np
import pytest

from dim_jax import contracts, data, run_metadata, settings
from dim_jax.data import fingerprint
from dim_jax.rundir import workdir
from dim_jax.training import trainer

CONFIG = dict(
    seed=3,
    data=dict(name="made"),
    method=dict(name="dim"),
    players={},
    train=dict(batch_size=32, epochs=2.5, steps_per_dispatch=5, save_epochs=0.5),
    evals={},
)
TYPED = settings.Config.of(CONFIG)
DURATIONS = trainer.Plan(
    batch_size=32, epoch_steps=20, total_steps=50, dispatch_steps=5, save_steps=10
)
STATE = types.SimpleNamespace(
    params={"encoder": {"w": np.zeros((5, 300)), "b": np.zeros(5)}, "probe": {"w": np.zeros(7)}}
)


@pytest.fixture
def dataset() -> data.Dataset:
    images, labels = np.zeros((1647, 8, 6, 3), np.uint8), np.zeros(1647, np.int32)
    splits = {
        "train": data.Split(images[:647], labels[:647]),
        "test": data.Split(images[647:], labels[647:]),
    }
    return data.Dataset(data.Facts("made", (8, 6, 3), None, None, None), splits)


def test_facts_of_the_run(dataset):
    loop = types.SimpleNamespace(train_seconds=8.0, compile_seconds=2.0)
    facts = run_metadata.facts(
        TYPED, "configs/dim_cifar10.py:local", dataset, DURATIONS, STATE, loop
    )
    expected = dict(
        **dict(config="dim_cifar10", config_string="configs/dim_cifar10.py:local"),
        **dict(steps=50, epochs=2.5, batch_size=32, seed=3, compute_dtype="float32"),
        **dict(train_seconds=8.0, compile_seconds=2.0, images_per_second=200.0),
        **dict(parameters={"encoder": 1505, "probe": 7}, dataset="made"),
        **dict(train_examples=647, test_examples=1000, processes=1, notes=[]),
        devices=jax.device_count(),
    )
    assert {name: facts[name] for name in expected} == expected
    loop.train_seconds = 0.0
    again = run_metadata.facts(TYPED, "a.py", dataset, DURATIONS, STATE, loop)
    assert again["images_per_second"] is None


FINGERPRINT = fingerprint.of("mnist/3.0.1", ("a", "b"), {"train": 9, "test": 2})


def test_data_that_have_changed_are_refused(tmp_path):
    folder = workdir.Workdir(tmp_path)
    run_metadata.check_data(folder, FINGERPRINT)  # a new run
    folder.write_json(folder.data, FINGERPRINT)
    other = {**FINGERPRINT, "name": "mnist/4.0.0"}
    run_metadata.check_data(folder, other)  # nothing was learned from the data as they were
    (folder.checkpoints / "11").mkdir(parents=True)
    run_metadata.check_data(folder, FINGERPRINT)
    with pytest.raises(
        contracts.UserError, match=r"other data: the data set was mnist/3\.0\.1 and"
    ):
        run_metadata.check_data(folder, other)
    folder.data.write_text("{")
    with pytest.raises(contracts.UserError, match=r"data\.json, .* is damaged"):
        run_metadata.check_data(folder, FINGERPRINT)


def test_test_images_may_be_mended_until_there_are_results(tmp_path):
    def of(train: int, test: int) -> dict:
        files = {"train": (["0.png", "1.png"], [5, train]), "test": (["2.png"], [test])}
        return json.loads(json.dumps(fingerprint.of_files("folder:x", None, files, None)))

    folder = workdir.Workdir(tmp_path)
    folder.write_json(folder.data, of(7, 9))
    (folder.checkpoints / "11").mkdir(parents=True)
    assert run_metadata.check_data(folder, of(7, 9)) == ""
    line = "test images have changed since the run began: 2.png had 9 bytes and has 8"
    assert run_metadata.check_data(folder, of(7, 8)) == line
    with pytest.raises(contracts.UserError, match=r"1\.png had 7 bytes and has 6"):
        run_metadata.check_data(folder, of(6, 8))
    folder.results.write_text("{}")
    with pytest.raises(contracts.UserError, match=r"2\.png had 9 bytes and has 8"):
        run_metadata.check_data(folder, of(7, 8))


def test_a_folder_of_images_of_an_older_run_is_refused(tmp_path):
    folder = workdir.Workdir(tmp_path)
    files = {"train": (["0.png"], [5]), "test": (["1.png"], [5])}
    of_files = json.loads(json.dumps(fingerprint.of_files("folder:x", None, files, None)))
    run_metadata.check_data(folder, of_files)
    (folder.checkpoints / "11").mkdir(parents=True)
    run_metadata.check_data(folder, FINGERPRINT)  # digits and TFDS are split as they were
    with pytest.raises(contracts.UserError, match="an older version"):
        run_metadata.check_data(folder, of_files)


def test_notes_are_opening_lines(dataset):
    lines = run_metadata.opening(TYPED, dataset, DURATIONS, STATE, ("One.", "Two."))
    assert lines[2:4] == ["note: One.", "note: Two."]


def test_a_wrapped_method_is_named_first(dataset):
    spec = dict(name="probe", method=dict(name="dim"))
    typed = settings.Config.of({**CONFIG, "method": spec})
    _, _, method, _ = run_metadata.opening(typed, dataset, DURATIONS, STATE)
    assert method.startswith("method: dim, with probe; parameters")


@pytest.mark.parametrize(
    ("method", "augment", "line"),
    [
        (
            dict(),
            dict(crop=48),
            "48x48 images: 3 blocks of stride 2, local features 6x6, last map 6x6",
        ),
        (
            dict(local=0),
            dict(crop=32),
            "32x32 images: 3 blocks of stride 2, local features 16x16, ",
        ),
    ],
)
def test_the_blocks_of_an_encoder_that_follow_from_the_images(dataset, method, augment, line):
    """Of crops where they are trained on; of an encoder within an encoder and a method."""
    views = dict(name="colour_views", encoder=dict(name="auto", **method))
    spec = dict(name="probe", method=dict(name="cmc", encoder=views))
    typed = settings.Config.of({**CONFIG, "method": spec, "augment": augment})
    _, _, _, _, encoder, *_ = run_metadata.opening(typed, dataset, DURATIONS, STATE)
    assert encoder.startswith(f"encoder: auto for {line}")


def test_opening_lines(dataset):
    first, classes, method, training = run_metadata.opening(TYPED, dataset, DURATIONS, STATE)
    assert first == "data: made, 647 training and 1,000 test images of 8x6x3; resident"
    assert classes == "classes: none, the images have no labels"
    assert method == "method: dim; parameters by player: encoder 1,505, probe 7"
    devices = jax.device_count()
    assert training.startswith("training: 50 steps = 2.5 epochs of 20; global batch 32 on ")
    assert training.endswith(
        f" ({32 // devices} each), products in float32; 5 steps per dispatch, a "
        "checkpoint every 10; seed 3"
    )
    assert f" on {devices} x " in training
