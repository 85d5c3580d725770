"""Training on streamed images: the batches, losses and bits of the resident road, and resuming."""

import json
import os
import signal

import jax
import numpy as np
import pytest
import training

from dim_jax import contracts, data, encoder, main, settings
from dim_jax.rundir import checkpoint
from dim_jax.training import input_pipeline, stopping, train_step


@pytest.fixture(scope="module")
def cifar(tfds_dir) -> dict[str, data.Dataset]:
    """The same 160 images of CIFAR-10 on both roads."""
    splits = dict(train_split="train[:160]", test_split="test[:16]")
    roads = ("resident", "streaming")
    return {road: data.load("cifar10", data_dir=tfds_dir, road=road, **splits) for road in roads}


def changed(config) -> dict:
    """24 steps, 5 an epoch; 4 a dispatch, after which is saved: in the middle of an epoch."""
    small = config("dim_cifar10")
    small["method"] = small["method"]["method"]
    small["augment"] |= dict(flip=True)
    small["train"] |= dict(batch_size=32, epochs=4.8, steps_per_dispatch=4, save_epochs=0.8)
    return small


@pytest.fixture
def small(config) -> dict:
    return changed(config)


def stopped_at_8(run, config, dataset, folder) -> training.Outputs:
    """A run that a signal ends in its second epoch."""
    outputs = training.Outputs()
    append = outputs.append

    def signal_at_8(row):
        append(row)
        if row["step"] == 8:
            os.kill(os.getpid(), signal.SIGTERM)

    outputs.append = signal_at_8
    with pytest.raises(stopping.Stopped):
        run(config, dataset, folder, outputs)
    outputs.append = append
    return outputs


@pytest.fixture(scope="module")
def run():
    return training.Trainer()


@pytest.fixture(scope="module")
def whole(run, cifar, config, tmp_path_factory):
    """Uninterrupted runs by road."""
    folder = tmp_path_factory.mktemp("whole")
    return {road: run(changed(config), each, folder / road) for road, each in cifar.items()}


def test_both_roads_train_alike_on_changed_images(whole):
    (one, first), (other, second) = whole["resident"], whole["streaming"]
    assert [row["step"] for row in second.rows] == [4, 8, 12, 16, 20, 24]
    for a, b in zip(training.untimed(first), training.untimed(second), strict=True):
        for name, value in a.items():
            assert b[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), one.params, other.params)


def test_an_interrupted_streamed_run_equals_an_uninterrupted_one(
    run, whole, small, cifar, tmp_path
):
    outputs = stopped_at_8(run, small, cifar["streaming"], tmp_path)
    newest = checkpoint.Checkpoints(tmp_path).steps()[-1]
    assert newest % 5, "saved in the middle of an epoch"
    notes = json.loads((tmp_path / str(newest) / "notes.json").read_text())
    assert notes["stream"]["first"] + notes["stream"]["grain"]["next_index"] == newest
    continued, _ = run(small, cifar["streaming"], tmp_path, outputs, anew=True)
    training.same(whole["streaming"][0], continued)
    assert training.untimed(whole["streaming"][1]) == training.untimed(outputs)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("streaming", "resident"),
        pytest.param("resident", "streaming", marks=pytest.mark.slow),
    ],
)
def test_a_run_may_continue_on_the_other_road(run, whole, small, cifar, tmp_path, before, after):
    outputs = stopped_at_8(run, small, cifar[before], tmp_path)
    continued, _ = run(small, cifar[after], tmp_path, outputs)
    for a, b in zip(training.untimed(whole[after][1]), training.untimed(outputs), strict=True):
        assert b["loss/encoder"] == pytest.approx(a["loss/encoder"], rel=1e-5)
    assert int(continued.step) == 24


def test_batches_are_split_over_eight_devices(cifar, small):
    mesh = train_step.mesh(jax.devices())
    assert input_pipeline.rows_of(mesh, 32) is None  # this process has all devices
    options = dict(batch_size=32, total_steps=10, dispatch_steps=4)
    typed = settings.Config.of(small)
    (images, labels, index), (whole_images, *_) = (
        made.arguments(4, following=0)
        for made in (
            started(
                input_pipeline.open_(cifar["streaming"].splits["train"], typed, mesh, **options)
            ),
            started(
                input_pipeline.open_(cifar["resident"].splits["train"], typed, mesh, **options)
            ),
        )
    )
    assert images.shape == (4, 32, 32, 32, 3) and labels.shape == index.shape == (4, 32)
    assert {shard.data.shape for shard in images.addressable_shards} == {(4, 4, 32, 32, 3)}
    np.testing.assert_array_equal(images, np.asarray(whole_images)[np.asarray(index)])


def started(one):
    one.start(2, None)
    return one


def test_a_record_that_cannot_be_read_ends_the_run_and_loses_nothing(
    run, small, cifar, tmp_path, monkeypatch
):
    source = cifar["streaming"].splits["train"].images.source
    read = type(source).read

    def broken(self, rows):
        if broken.after < 0:
            raise contracts.UserError("record 3 of cifar10, split train, is not a readable image")
        broken.after -= 1
        return read(self, rows)

    broken.after = 1 + 14
    monkeypatch.setattr(type(source), "read", broken)
    small["data"]["worker_threads"] = 1
    with pytest.raises(contracts.UserError, match="record 3 of cifar10, split train"):
        run(small, cifar["streaming"], tmp_path)
    assert checkpoint.Checkpoints(tmp_path).steps()


LIGHT = """
from configs import dim_cifar10


def get_config():
    config = dim_cifar10.get_config("smoke")
    config.method = config.method.method
    del config.players["probe"]
    for key in list(config.evals):
        if key not in ("knn", "uniformity"):
            del config.evals[key]
    return config
"""


@pytest.mark.slow
def test_a_whole_run_on_the_streaming_road_ends_with_report_and_encoder(
    tfds_dir, tmp_path, monkeypatch, pytestconfig
):
    monkeypatch.chdir(pytestconfig.rootpath)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "light.py").write_text(LIGHT)
    overrides = dict(road="streaming", data_dir=tfds_dir, eval_train_images=200)
    code = main.main(
        [
            *("main.py", f"--config={tmp_path}/configs/light.py", f"--workdir={tmp_path}/run"),
            *(f"--config.data.{key}={value}" for key, value in overrides.items()),
        ]
    )
    assert code == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["run"]["train_examples"] == 512
    assert "use 200 of the 512 training images" in results["run"]["notes"][0]
    named = {row["representation"] for row in results["rows"] if row["eval"] == "knn"}
    assert named == {"trained", "untrained", "pixels", "pca"}
    assert "200 of the 512" in (tmp_path / "run" / "report.html").read_text()
    assert encoder.load_encoder(tmp_path / "run").card["image_shape"] == [32, 32, 3]
