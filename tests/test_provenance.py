"""A checkpoint is bound to its step and its run; what is in a folder is of one training."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from configs import quickstart
from dim_jax import contracts, settings
from dim_jax.rundir import checkpoint, checksums, provenance, workdir


def make_config(**train) -> dict:
    config = quickstart.get_config("smoke").to_dict()
    config["train"] |= train
    return config


CONFIG = make_config()


def tree(step: int) -> dict:
    return {"step": np.int32(step), "w": np.full(3, step)}


@pytest.fixture
def run(tmp_path):
    """Checkpoints 10 and 20 of a run."""
    checkpoints = checkpoint.Checkpoints(tmp_path / "checkpoints", config=CONFIG)
    for step in (10, 20):
        checkpoints.save(step, tree(step))
    return checkpoints


def names(run) -> list[str]:
    return sorted(path.relative_to(run._directory).as_posix() for path in run._directory.rglob("*"))


def refused(run, words: str, config=CONFIG, log=pytest.fail) -> None:
    """Asserts one sentence, and that nothing was moved."""
    before = names(run)
    with pytest.raises(contracts.UserError, match=words) as error:
        checkpoint.Checkpoints(run._directory, config=config).restore_latest(tree(0), log=log)
    assert "\n" not in str(error.value)
    assert names(run) == before


def as_older_versions(run, step: int) -> None:
    """Leaves out what they did not write."""
    (run._path(step) / provenance.FILE).unlink()
    checksums.write(run._path(step))


def test_a_checkpoint_under_the_name_of_another_step_is_refused(run):
    shutil.rmtree(run._path(20))
    run._path(10).rename(run._path(20))
    refused(run, r"checkpoint .*/20 is that of step 10; move it out of this folder")
    with pytest.raises(contracts.UserError, match="is that of step 10"):
        run.read(["w"])


def test_an_older_one_is_known_by_the_step_of_its_state(run):
    shutil.rmtree(run._path(20))
    run._path(10).rename(run._path(20))
    as_older_versions(run, 20)
    refused(run, r"checkpoint .*/20 holds the state of step 10; move")
    with pytest.raises(contracts.UserError, match="holds the state of step 10"):
        run.read(["w"])


def test_an_older_one_in_its_place_is_used(run):
    as_older_versions(run, 20)
    step, restored = run.restore_latest(tree(0), log=pytest.fail)
    assert step == restored["step"] == 20


def test_a_checkpoint_of_another_run_is_refused_wherever_it_is(run):
    words = r"/{} is of another run: seed is 0 there and 1 here"
    refused(run, words.format("(10|20)"), {**CONFIG, "seed": 1})
    other = checkpoint.Checkpoints(run._directory.parent / "other", config={**CONFIG, "seed": 1})
    other.save(10, tree(10))
    shutil.rmtree(run._path(10))
    other._path(10).rename(run._path(10))
    refused(run, r"/10 is of another run: seed is 1 there and 0 here")


def test_a_longer_run_on_another_machine_with_other_evaluations_is_the_same(run):
    other = make_config(epochs=17.0, keep=5, max_minutes=3.0)
    other["evals"], other["data"]["worker_threads"] = {}, 3
    same = checkpoint.Checkpoints(run._directory, config=other)
    assert same.restore_latest(tree(0), log=pytest.fail)[0] == 20


def test_damage_is_not_taken_for_another_run(run):
    path = run._path(20) / provenance.FILE
    path.write_text(path.read_text().replace('"step": 20', '"step": 21'))
    lines = []
    assert run.restore_latest(tree(0), log=lines.append)[0] == 10
    assert "unreadable" in lines[0] and "provenance.json" in lines[0]


def test_a_later_format_is_refused(run):
    path = run._path(20) / provenance.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    checksums.write(run._path(20))
    refused(run, "has format 2 and this version of dim_jax reads 1")


@pytest.mark.parametrize("entry", ["file", "link to nothing"])
def test_what_stands_in_the_place_of_a_checkpoint_is_refused(run, entry):
    if entry == "file":
        run._path(30).write_text("mine")
    else:
        run._path(30).symlink_to("nowhere")
    refused(run, "/30 is not a folder")


def test_what_is_only_like_a_checkpoint_is_left_alone(run):
    (run._directory / "draft-notes.txt").write_text("mine")
    for name in ("0040", "²", "50.old"):
        shutil.copytree(run._path(20), run._directory / name)
    assert run.steps() == [10, 20]
    run.save(30, tree(30))
    run.save(40, tree(40))
    assert run.restore_latest(tree(0), log=pytest.fail)[0] == 40
    left = {path.name for path in run._directory.iterdir()}
    assert left == {"30", "40", "draft-notes.txt", "0040", "²", "50.old"}


def test_checkpoints_behind_links_are_read_and_what_they_point_to_stays(run):
    elsewhere = run._directory.parent / "elsewhere"
    run._path(10).rename(elsewhere)
    run._path(10).symlink_to(elsewhere)
    linked = run._directory.parent / "linked"
    linked.symlink_to(run._directory)
    through = checkpoint.Checkpoints(linked, config=CONFIG)
    assert through.restore_latest(tree(0), log=pytest.fail)[0] == 20
    through.save(30, tree(30))
    assert through.steps() == [20, 30] and (elsewhere / "arrays").is_dir()


@pytest.mark.parametrize("metrics", ['{"m": NaN}', '{"m": "9"}', '{"m": true, "n', "[9]"])
def test_odd_metrics_of_a_checkpoint_are_never_the_best(tmp_path, metrics):
    checkpoints = checkpoint.Checkpoints(tmp_path, 3, "m")
    for step in (1, 2, 3):
        checkpoints.save(step, tree(step), metrics={"m": step})
    (tmp_path / "3" / "metrics.json").write_text(metrics)
    (tmp_path / "best.json").write_text('{"step": 9')
    assert checkpoints.find_best().step == 2
    checkpoints.save(4, tree(4), metrics={"m": 0})
    assert json.loads((tmp_path / "best.json").read_text())["step"] == 2


def test_the_digest_is_that_of_the_settings_of_the_training():
    digest = provenance.digest(CONFIG)
    assert digest == provenance.digest(dataclasses.asdict(settings.Config.of(CONFIG)))
    reordered = {key: CONFIG[key] for key in reversed(CONFIG)}
    reordered["train"] = {key: value for key, value in CONFIG["train"].items() if value != 1}
    reordered["augment"] = {}
    assert reordered["train"] != CONFIG["train"]
    assert provenance.digest(reordered) == digest
    assert provenance.digest(provenance.plain(make_config(batch_size=64.0))) == digest
    assert provenance.digest(make_config(epochs=9.0, keep=9, max_minutes=1.0)) == digest
    assert provenance.digest({**CONFIG, "evals": {}}) == digest
    later = make_config()
    later["method"]["method"]["encoder"]["norm"] = "batch"
    without = make_config()
    del without["method"]["method"]["encoder"]["norm"]
    assert provenance.digest(later) == provenance.digest(without)
    for changed in (
        {**CONFIG, "seed": 1},
        make_config(batch_size=32),
        {**CONFIG, "players": {**CONFIG["players"], "probe": {}}},
    ):
        assert provenance.digest(changed) != digest


@pytest.mark.parametrize("part", ["results.json", "encoder/card.json", "encoder_best/card.json"])
def test_parts_of_another_training_are_refused(tmp_path, part):
    folder = workdir.Workdir(str(tmp_path / "run"))
    folder.claim(CONFIG)
    path = folder.path / part
    path.parent.mkdir(exist_ok=True)
    for digest, fits in (
        (provenance.digest(CONFIG), True),
        (provenance.digest({**CONFIG, "seed": 1}), False),
        (None, True),  # of an older version
    ):
        origin = {"training": digest} if digest else {}
        path.write_text(json.dumps({"run": origin} if part == "results.json" else origin))
        if fits:
            folder.check(CONFIG)
            continue
        with pytest.raises(contracts.UserError, match=f"{part} is of another training than"):
            folder.check(CONFIG)
