"""Checkpoints survive damage, kills and changes of device count; exports need no devices."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training import train_state

from dim_jax import contracts
from dim_jax.rundir import checkpoint, checksums, exported_encoder

REPOSITORY = Path(__file__).parents[1]


def _tree(value: int):
    return {"a": {"w": jnp.full((4, 3), float(value))}, "b": [jnp.arange(5) + value], "count": 7}


def _assert_identical(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert type(one) is type(other)
        assert np.asarray(one).dtype == np.asarray(other).dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def _mesh(count: int) -> jax.sharding.Mesh:
    return jax.sharding.Mesh(np.array(jax.devices()[:count]), ("data",))


def _put(tree, count: int, spec: jax.sharding.PartitionSpec):
    return jax.device_put(tree, jax.sharding.NamedSharding(_mesh(count), spec))


@pytest.fixture
def run(tmp_path):
    """Checkpoints 10 and 20 of a run."""
    checkpoints = checkpoint.Checkpoints(tmp_path / "checkpoints")
    for step in (10, 20):
        checkpoints.save(step, _tree(step), metrics={"m": 1.0}, notes={"stream": {}})
    return checkpoints


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_every_kind_of_leaf_comes_back_bit_equal_and_in_silence(tmp_path, capfd):
    tree = {
        "f32": jax.random.normal(jax.random.key(0), (3, 4)),
        "bf16": jnp.arange(3, dtype=jnp.bfloat16) / 3,
        "u8": jnp.arange(6, dtype=jnp.uint8).reshape(2, 3),
        "bool": jnp.array([True, False]),
        "scalar": jnp.float32(0.1),
        "nonfinite": jnp.array([jnp.nan, jnp.inf]),
        "empty": jnp.zeros((0, 3)),
        "numpy": np.arange(4, dtype=np.int64) << 40,
        "numpy scalar": np.float64(0.1),
        "int": 2**40,
        "float": 0.1,
        "nested": ({"x": [jnp.ones(2)]}, {}, None),
    }
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert checkpoints.restore_latest(tree) is None
    checkpoints.save(0, tree)
    template = jax.tree.map(lambda leaf: leaf if np.ndim(leaf) else leaf * 0, tree)
    step, restored = checkpoints.restore_latest(template)
    assert step == 0
    _assert_identical(restored, tree)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_train_state_continues_exactly(tmp_path):
    def create(seed):
        params = {"encoder": {"w": jax.random.normal(jax.random.key(seed), (3, 2))}}
        transformation = optax.partition({"adam": optax.adam(0.1)}, {"encoder": "adam"})
        return train_state.TrainState.create(apply_fn=len, params=params, tx=transformation)

    state = create(0)
    state = state.apply_gradients(grads=state.params)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, state)
    fresh = create(1)
    _, restored = checkpoints.restore_latest(fresh.replace(step=jnp.int32(0)))
    _assert_identical(restored.params, state.params)
    uninterrupted = state.apply_gradients(grads=state.params)
    continued = restored.apply_gradients(grads=restored.params)
    assert int(continued.step) == 2
    _assert_identical(continued.params, uninterrupted.params)
    _assert_identical(continued.opt_state, uninterrupted.opt_state)


@pytest.mark.parametrize(("before", "after"), [(8, 1), (1, 8), (8, 2)])
@pytest.mark.parametrize("spec", [(), ("data",)], ids=["replicated", "sharded"])
def test_another_number_of_devices(tmp_path, before, after, spec):
    spec = jax.sharding.PartitionSpec(*spec)
    values = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(1, {"w": _put(values, before, spec)})
    template = _put(np.zeros_like(values), after, spec)
    abstract = jax.ShapeDtypeStruct(template.shape, template.dtype, sharding=template.sharding)
    for one in (template, abstract):
        _, restored = checkpoints.restore_latest({"w": one})
        assert restored["w"].sharding == template.sharding
        np.testing.assert_array_equal(np.asarray(restored["w"]), values)


def test_an_abstract_template_without_sharding_lands_on_one_device(run):
    template = jax.eval_shape(lambda: {"a": _tree(0)["a"], "b": _tree(0)["b"]}) | {"count": 0}
    _, restored = run.restore_latest(template)
    _assert_identical(restored, _tree(20))


def test_the_template_gives_the_precision(run):
    _, restored = run.restore_latest(_tree(0) | {"a": {"w": jnp.zeros((4, 3), jnp.bfloat16)}})
    _assert_identical(restored["a"]["w"], jnp.full((4, 3), 20, jnp.bfloat16))


def test_the_newest_are_kept_and_an_existing_step_is_left_alone(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, keep=3)
    for step in (9, 10, 100, 101):
        checkpoints.save(step, _tree(step))
    assert checkpoints.steps() == [10, 100, 101]
    checkpoints.save(101, _tree(0))
    step, restored = checkpoints.restore_latest(_tree(1))
    assert step == 101
    _assert_identical(restored, _tree(101))
    assert sorted(os.listdir(tmp_path)) == ["10", "100", "101"]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _empty, _flip, Path.unlink])
def test_damage_to_any_file_is_noticed_and_the_one_before_is_used(run, tmp_path, damage):
    pristine = tmp_path / "pristine"
    shutil.copytree(run._path(20), pristine)
    for file in _files(pristine):
        if file.stat().st_size == 0 and damage is not Path.unlink:
            continue
        shutil.rmtree(run._path(20), ignore_errors=True)
        shutil.copytree(pristine, run._path(20))
        damage(run._path(20) / file.relative_to(pristine))
        if file.name == "manifest.json" and damage is _truncate:
            continue  # only the final newline is gone
        lines = []
        step, restored = run.restore_latest(_tree(0), log=lines.append)
        assert step == 10, file
        _assert_identical(restored, _tree(10))
        assert len(lines) == 1
        assert "checkpoint 20" in lines[0] and "using checkpoint 10" in lines[0]


def test_a_flipped_bit_of_the_manifest_is_noticed_or_harmless(run):
    file = run._path(20) / "manifest.json"
    content = file.read_bytes()
    harmless = 0
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 7
        file.write_bytes(changed)
        harmless += checksums.fault(run._path(20)) is None
    assert harmless < content.count(b" ") + content.count(b"\n")  # one blank for another


def test_a_file_that_was_not_saved_is_noticed(run):
    (run._path(20) / "arrays" / "more").write_text("")
    assert run.restore_latest(_tree(0), log=lambda line: None)[0] == 10


def test_after_a_fallback_the_same_step_can_be_saved_again(run):
    _truncate(run._path(20) / "leaves.json")
    lines = []
    assert run.restore_latest(_tree(0), log=lines.append)[0] == 10
    assert run.steps() == [10]
    run.save(20, _tree(21))
    assert run.steps() == [10, 20]
    step, restored = run.restore_latest(_tree(0), log=lines.append)
    assert step == 20 and len(lines) == 1
    _assert_identical(restored, _tree(21))


def test_nothing_readable_starts_from_the_beginning_with_one_line(run):
    for step in run.steps():
        _truncate(run._path(step) / "leaves.json")
    lines = []
    assert run.restore_latest(_tree(0), log=lines.append) is None
    (line,) = lines
    assert "20 (leaves.json" in line and "10 (leaves.json" in line and "beginning" in line
    assert run.steps() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a": {"w": jnp.zeros((4, 5))}}, ["'a/w'", "float32[4, 3]", "float32[4, 5]"]),
        ({"a": {"w": jnp.zeros((4, 3), jnp.int32)}}, ["'a/w'", "float32[4, 3]", "int32[4, 3]"]),
        ({"a": {"w": jnp.zeros((4, 3)), "v": jnp.zeros(2)}}, ["no 'a/v'"]),
        ({"b": []}, ["it has 'b/0', which"]),
    ],
)
def test_a_template_that_does_not_fit_names_the_first_difference(run, change, words):
    with pytest.raises(contracts.UserError) as caught:
        run.restore_latest(_tree(0) | change)
    message = str(caught.value)
    assert all(word in message for word in [*words, "--workdir", str(run._path(20))])
    assert "\n" not in message
    assert run.steps() == [10, 20]


@pytest.mark.parametrize(
    "leaf", ["text", object(), jax.random.key(0)], ids=["str", "object", "key"]
)
def test_only_numbers_are_saved(run, leaf):
    with pytest.raises(TypeError, match="'state/x'"):
        run.save(30, {"state": {"x": leaf}})
    assert run.steps() == [10, 20]


def test_paths_that_read_alike_are_refused(run):
    with pytest.raises(ValueError, match="'a/b'"):
        run.save(30, {"a": {"b": 1}, "a/b": 2})


def test_a_run_folder_that_is_gone_is_not_made_again(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path / "run" / "checkpoints")
    with pytest.raises(contracts.UserError, match=r"checkpoint 1 could not be written .* No such"):
        checkpoints.save(1, {"w": np.zeros(2)})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("moment", ["_checkpointer", "_write_json", "checksums.write"])
def test_a_save_cut_short_is_invisible_and_swept_by_the_next(run, tmp_path, monkeypatch, moment):
    def fail(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"dim_jax.rundir.checkpoint.{moment}", fail)
        with pytest.raises(KeyboardInterrupt):
            run.save(30, _tree(30))
    _assert_identical(run.restore_latest(_tree(0), log=pytest.fail)[1], _tree(20))
    run.save(30, _tree(31))
    _assert_identical(run.restore_latest(_tree(0), log=pytest.fail)[1], _tree(31))
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["20", "30"]


SAVE_FOREVER = """
import sys
import numpy as np
from dim_jax.rundir import checkpoint
checkpoints = checkpoint.Checkpoints(sys.argv[1])
step, _ = checkpoints.restore_latest({"w": np.zeros((256, 256))}, log=sys.exit) or (0, None)
while True:
    step += 1
    checkpoints.save(step, {"w": np.full((256, 256), float(step))})
    print(step, flush=True)
"""


def test_sigkill_at_any_moment_loses_nothing_that_was_saved(tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    for delay in (0.0, 0.113, 0.257):
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SAVE_FOREVER, str(tmp_path)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            child.stdout.readline()
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
            reported = [int(line) for line in child.stdout]
        assert child.returncode == -signal.SIGKILL
        step, tree = checkpoints.restore_latest({"w": np.zeros((256, 256))}, log=pytest.fail)
        assert step >= max(reported, default=1)
        np.testing.assert_array_equal(tree["w"], step)


def _network():
    params = {"conv": {"kernel": np.ones((3, 3), np.float32)}, "out": {"bias": jnp.arange(2.0)}}
    return params, {"norm": {"mean": jnp.full(2, 0.5, jnp.bfloat16)}}


def test_an_export_is_plain_arrays_and_json(tmp_path):
    params, state = _network()
    card = {"format": 1, "mean": [0.5], "data": "cifar10"}
    exported_encoder.write(tmp_path / "encoder", params, state, card)
    assert sorted(os.listdir(tmp_path / "encoder")) == ["card.json", "weights.npz"]
    with np.load(tmp_path / "encoder" / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"params/conv/kernel", "params/out/bias", "state/norm/mean"}
    found_params, found_state, found_card = exported_encoder.read(tmp_path / "encoder")
    assert found_card == card
    np.testing.assert_array_equal(found_state["norm"]["mean"], np.full(2, 0.5, np.float32))
    _assert_identical(found_params, jax.tree.map(np.asarray, params))


def test_an_export_replaces_the_older_one_and_leaves_nothing_beside_it(tmp_path):
    for value in (1, 2):
        exported_encoder.write(tmp_path / "encoder", {"w": np.full(2, value)}, {}, {"steps": value})
    params, state, card = exported_encoder.read(tmp_path / "encoder")
    np.testing.assert_array_equal(params["w"], 2)
    assert (state, card) == ({}, {"steps": 2})
    assert os.listdir(tmp_path) == ["encoder"]


def test_an_export_cut_short_leaves_the_older_one(tmp_path, monkeypatch):
    exported_encoder.write(tmp_path / "encoder", {"w": np.ones(2)}, {}, {"steps": 1})
    with pytest.raises(TypeError):
        exported_encoder.write(tmp_path / "encoder", {"w": np.ones(2)}, {}, {"steps": object()})
    assert exported_encoder.read(tmp_path / "encoder")[2] == {"steps": 1}
    exported_encoder.write(tmp_path / "encoder", {"w": np.ones(2)}, {}, {"steps": 2})
    assert os.listdir(tmp_path) == ["encoder"]


@pytest.mark.parametrize("tree", [{"w": [np.ones(2)]}, {"w": "text"}])
def test_an_export_takes_dicts_of_numbers_only(tmp_path, tree):
    with pytest.raises(TypeError, match="'params/w"):
        exported_encoder.write(tmp_path / "encoder", tree, {}, {})
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize("file", ["weights.npz", "card.json"])
@pytest.mark.parametrize("damage", [_empty, _truncate, _flip, Path.unlink])
def test_a_damaged_export_is_one_sentence(tmp_path, file, damage):
    params, state = _network()
    exported_encoder.write(tmp_path / "encoder", params, state, {})
    path = tmp_path / "encoder" / file
    if file == "card.json":
        path.write_text(json.dumps(json.loads(path.read_text())))  # without the final newline
    damage(path)
    with pytest.raises(contracts.UserError) as caught:
        exported_encoder.read(tmp_path / "encoder")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_export_is_one_sentence(tmp_path):
    with pytest.raises(contracts.UserError, match=r"has no card\.json"):
        exported_encoder.read(tmp_path)
