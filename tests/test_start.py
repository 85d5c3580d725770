"""A training starts with the encoder of another one: what is taken, said and refused."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import quickstart
from dim_jax import contracts, settings
from dim_jax.rundir import checkpoint, encoder_files, exported_encoder, provenance
from dim_jax.training import continuation, preprocessing, start, train_step, trainer

SHAPE = (8, 8, 1)
CARD = {
    "steps": 9,
    "image_shape": [*SHAPE],
    "encoder": {"name": "linear", "features": 3},
    "mean": [0.5],
    "std": [0.5],
}


def state(value: float, width: int = 3) -> train_step.TrainState:
    params = {
        "encoder": {
            "encoder": {"y": {"kernel": jnp.full((2, width), value)}},
            "critic": {"w": jnp.full(4, value)},
        },
    }
    tree = {"encoder": {"mean": jnp.full(2, value)}, "bank": jnp.full(5, value)}
    return train_step.TrainState.create(apply_fn=len, params=params, tx=optax.adam(0.1), state=tree)


def export(folder: pathlib.Path, **card) -> pathlib.Path:
    nine = state(9.0)
    params, tree = nine.params["encoder"]["encoder"], nine.state["encoder"]
    exported_encoder.write(folder, params, tree, CARD | card)
    return folder


def config(path, **encoder) -> settings.Config:
    values = quickstart.get_config("smoke").to_dict()
    values["encoder"] = {"init": str(path)}
    values["method"]["method"]["encoder"] = {"name": "linear", "features": 3} | encoder
    return settings.Config.of(values)


def make(path, initial=None, shape=SHAPE, mean=0.5, **encoder):
    prepared = preprocessing.Preprocessing((mean,), (0.5,))
    return start.make(config(path, **encoder), initial or state(0.0), shape, prepared)


def test_the_encoder_alone_is_taken(tmp_path):
    initial = state(0.0)
    begun, line = make(export(tmp_path / "encoder"), initial)
    np.testing.assert_array_equal(begun.params["encoder"]["encoder"]["y"]["kernel"], 9)
    np.testing.assert_array_equal(begun.state["encoder"]["mean"], 9)
    np.testing.assert_array_equal(begun.params["encoder"]["critic"]["w"], 0)
    np.testing.assert_array_equal(begun.state["bank"], 0)
    assert begun.step == 0 and jax.tree.structure(begun) == jax.tree.structure(initial)
    where = tmp_path / "encoder"
    assert line == f"start: the encoder {where} of step 9; everything else anew"
    # The same of its run folder.
    assert make(tmp_path)[1] == line


def test_the_images_of_earlier_trainings(tmp_path):
    there = [{"name": "cifar10", "train_split": "train[:9]"}]
    assert start.trainings(config(export(tmp_path / "encoder", trained_on=there))) == there
    assert start.trainings(config(tmp_path)) == there
    assert start.trainings(config(export(tmp_path / "older"))) == []
    assert start.trainings(config(tmp_path / "nowhere")) == []
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"data": {"name": "mnist", "road": "resident"}}))
    continued = quickstart.get_config("smoke").to_dict()
    continued["train"]["init_from"] = str(run)
    of_run = {"name": "mnist", "fit": "resize", "test_fraction": 0.2}
    assert start.trainings(settings.Config.of(continued)) == [of_run]


def test_averages_of_the_encoder_start_from_it(tmp_path):
    initial, folder = state(0.0), export(tmp_path)
    target = {"params": initial.params["encoder"], "stats": {"encoder": initial.state["encoder"]}}
    initial = initial.replace(state=initial.state | {"target": target})
    for begun, _ in (make(folder, initial), continuation.start_from(initial, str(folder))):
        average = begun.state["target"]["params"]
        np.testing.assert_array_equal(average["encoder"]["y"]["kernel"], 9)
        np.testing.assert_array_equal(average["critic"]["w"], 0)


def test_an_encoder_in_one_file_is_taken(tmp_path):
    nine, file = state(9.0), tmp_path / "encoder.npz"
    weights = nine.params["encoder"]["encoder"], nine.state["encoder"]
    encoder_files.write(file, encoder_files.save_npz, *weights, CARD)
    begun, line = make(file)
    np.testing.assert_array_equal(begun.params["encoder"]["encoder"]["y"]["kernel"], 9)
    assert line == f"start: the encoder {file} of step 9; everything else anew"
    begun, line = continuation.start_from(state(0.0), str(file))
    np.testing.assert_array_equal(begun.params["encoder"]["encoder"]["y"]["kernel"], 9)
    assert f"from the encoder {file} of step 9; " in line


def test_a_run_without_an_exported_encoder_gives_that_of_its_checkpoint(tmp_path):
    saved = trainer.checkpointed(state(7.0).replace(step=jnp.int32(7)))
    checkpoint.Checkpoints(tmp_path / "checkpoints").save(7, saved)
    begun, line = make(tmp_path)
    np.testing.assert_array_equal(begun.params["encoder"]["encoder"]["y"]["kernel"], 7)
    np.testing.assert_array_equal(begun.params["encoder"]["critic"]["w"], 0)
    assert line == f"start: the encoder of checkpoint 7 of {tmp_path}; everything else anew"
    export(tmp_path / "encoder")
    assert "of step 9" in make(tmp_path)[1]


def test_other_images_are_said_where_the_encoder_fits(tmp_path):
    line = make(export(tmp_path), shape=(16, 16, 1), mean=0.25)[1]
    assert "it was trained on images of 8x8x1 and these are of 16x16x1; " in line
    assert line.endswith("its pixels were scaled otherwise (mean 0.5 there and 0.25 here)")
    ends = {"low": [100.0], "high": [4000.0], "clip": False}
    _, line = make(export(tmp_path / "raw", pixel_range=ends))
    assert line.endswith("otherwise (low 100 there and 0 here, high 4e+03 there and 255 here)")


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"features": 4}, "; set method.method.encoder.features to 3"),
        (
            {"shape": (8, 8, 3)},
            "; it was trained on images of 8x8x1 and these are of 8x8x3; use images of that shape "
            "(data.image_size, augment.crop), or an encoder that fits method.method.encoder",
        ),
        ({}, "; use an encoder that fits method.method.encoder"),
    ],
)
def test_an_encoder_of_other_sizes_is_one_sentence(options, advice, tmp_path):
    with pytest.raises(contracts.UserError) as error:
        make(export(tmp_path), state(0.0, width=4), **options)
    assert str(error.value) == (
        f"the encoder {tmp_path} of step 9 does not fit encoder.init of this run: "
        "'params/y/kernel' is float32[2, 3] in it and float32[2, 4] in this run" + advice
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere", "no exported encoder and no readable checkpoint; set it to an exported"),
        ("~nosuchuser/run", r"encoder\.init is .* no such user"),
        ("damaged", "the export in .* is damaged"),
    ],
)
def test_a_path_without_an_encoder_is_one_sentence(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (export(tmp_path / "damaged") / "weights.npz").write_text("")
    with pytest.raises(contracts.UserError, match=words):
        make(path)


def test_both_starts_are_refused():
    values = quickstart.get_config("smoke").to_dict()
    values["train"]["init_from"] = "one"
    values["encoder"]["init"] = "other"
    with pytest.raises(contracts.UserError, match=r"'other' and train\.init_from is 'one', and b"):
        settings.Config.of(values)


def test_a_random_start_needs_no_other_run():
    values = quickstart.get_config("smoke").to_dict()
    plain, initial = settings.Config.of(values), state(0.0)
    prepared = preprocessing.Preprocessing((0.5,), (0.5,))
    assert start.is_random(plain) and start.notes(plain) == []
    assert start.make(plain, initial, SHAPE, prepared) == (initial, "")
    other = config("runs/a")
    assert not start.is_random(other)
    assert start.notes(other) == [
        "The encoder was trained from that of runs/a; 'untrained' is random."
    ]
    # Neither another start nor a tracker changes what older versions recorded.
    older = {key: value for key, value in values.items() if key not in ("encoder", "track")}
    digest = provenance.digest(older)
    assert digest == provenance.digest(values) == provenance.digest({**values, "track": "wandb"})
    assert provenance.differences(older, {**values, "track": "wandb"}) == {}
    begun = {**values, "encoder": {"init": "runs/a"}}
    assert digest != provenance.digest(begun)
    assert "encoder.init is None there" in provenance.training_difference(older, begun)
