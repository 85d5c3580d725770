"""A run folder belongs to one config."""

import errno
import json
import os
import pathlib
import shutil

import pytest

from dim_jax import contracts
from dim_jax.rundir import lock, workdir, writing

CONFIG = {"seed": 0, "train": {"epochs": 2, "warmup": 5, "keep": 2}}


@pytest.fixture
def folder(tmp_path):
    made = workdir.Workdir(str(tmp_path / "run"))
    made.claim(CONFIG)
    return made


@pytest.mark.parametrize(
    ("train", "difference"),
    [
        ({"epochs": 2, "warmup": 6, "keep": 2}, "train.warmup is 5 there and 6 here"),
        ({"epochs": 2, "keep": 2}, "train.warmup is 5 there and not set here"),
        (
            {"epochs": 2, "warmup": 5, "keep": 2, "decay": 1},
            "train.decay is not set there and 1 here",
        ),
    ],
)
def test_keys_that_changed_came_or_went_are_named(folder, train, difference):
    with pytest.raises(contracts.UserError, match=difference):
        folder.check({**CONFIG, "train": train})


def test_evaluations_may_change_until_there_are_results_of_this_length(folder):
    folder.results.write_text("{}")
    other = {**CONFIG, "evals": {"knn": {"name": "knn"}}}
    with pytest.raises(contracts.UserError, match="to evaluate the same training anew"):
        folder.check(other)
    folder.check({**other, "train": {**CONFIG["train"], "epochs": 3}})


def test_what_is_no_part_of_an_experiment_may_change(folder):
    folder.check({**CONFIG, "train": {**CONFIG["train"], "keep": 7}})
    folder.check({**CONFIG, "train": {**CONFIG["train"], "epochs": 3}})
    folder.check(CONFIG)


def contents(folder: pathlib.Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the content of files."""
    paths = (folder, *sorted(folder.rglob("*")))
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "encoder/mine.txt", "evaluations/mine.json", "checkpoints/3/x", "results.json"],
)
def test_a_folder_of_other_files_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    before = contents(tmp_path)
    with pytest.raises(contracts.UserError, match=f"holds {name.split('/')[0]} and no config.json"):
        workdir.Workdir(tmp_path).check(CONFIG)
    assert contents(tmp_path) == before


def test_a_run_without_its_config_is_refused(folder):
    folder.results.write_text("{}")
    folder.config.unlink()
    with pytest.raises(contracts.UserError, match=r"holds results\.json and no config\.json"):
        folder.check(CONFIG)


def test_what_a_run_leaves_that_is_killed_at_its_start_is_no_obstacle(tmp_path):
    with lock.Lock(tmp_path / "lock", pytest.fail) as held:
        held.take()
    for name in (writing.draft_of(pathlib.Path("config.json")).name, ".DS_Store", "lost+found"):
        (tmp_path / name).write_text('{"half')
    workdir.Workdir(tmp_path).check(CONFIG)
    (tmp_path / "lock").write_text("the key is under the mat")
    with pytest.raises(contracts.UserError, match="holds lock and no"):
        workdir.Workdir(tmp_path).check(CONFIG)


def test_a_file_that_the_command_prints_to_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "log.txt").write_text("")
    state = (tmp_path / "log.txt").stat()
    monkeypatch.setattr(os, "fstat", lambda descriptor: state)
    workdir.Workdir(tmp_path).check(CONFIG)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(contracts.UserError, match="holds link and no"):
        workdir.Workdir(tmp_path).check(CONFIG)


@pytest.mark.parametrize("content", ["", "[]", "3", '{"train": 3}', '{"model_type": "bert"}', "{"])
def test_a_foreign_or_damaged_config_is_refused(folder, content):
    folder.config.write_text(content)
    with pytest.raises(contracts.UserError, match="is not the config of a run, or damaged"):
        folder.check(CONFIG)
    assert folder.config.read_text() == content


FILES = ("config.json", "data.json", "metrics.jsonl", "results.json", "report.html", "lock")
FOLDERS = ("checkpoints", "figures", "encoder", "evaluations", "tensorboard", "profile")


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_refused(folder, name):
    path = folder.path / name
    path.unlink(missing_ok=True)
    path.mkdir() if name in FILES else path.write_text("x")
    with pytest.raises(
        contracts.UserError, match=f"{name} is no {'file' if name in FILES else 'f'}"
    ):
        folder.check(CONFIG)
    shutil.rmtree(path) if name in FILES else path.unlink()
    path.symlink_to(folder.path / "nowhere")
    with pytest.raises(contracts.UserError, match=f"{name} is no f"):
        folder.check(CONFIG)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "--workdir is empty"),
        ("~nosuchuser/x", "no such user"),
        ("{tmp}/file", "is no folder"),
        ("{tmp}/file/run", "/file is no folder that may be written to"),
        ("{tmp}/link", "is no folder"),
        ("{tmp}/" + 300 * "x", "File name too long"),
        ("{tmp}/folder/" + 20 * (250 * "y" + "/"), "File name too long"),
    ],
)
def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path, path, words):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(contracts.UserError, match=words):
        made = workdir.Workdir(path.format(tmp=tmp_path))
        made.check(CONFIG)
        made.claim(CONFIG)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, code):
    def refuse(path, *arguments, **options):
        raise OSError(code, os.strerror(code), str(path))

    made = workdir.Workdir(tmp_path / "run")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(contracts.UserError, match="is no folder that may be written to"):
        made.check(CONFIG)
    monkeypatch.undo()
    for name in ("write_bytes", "mkdir"):
        monkeypatch.setattr(pathlib.Path, name, refuse)
        with pytest.raises(contracts.UserError, match=f"could not be .*{os.strerror(code)}"):
            made.claim(CONFIG)
        monkeypatch.undo()
        made.claim(CONFIG)


def test_a_folder_that_is_gone_is_said(folder):
    folder.check_exists()
    folder.path.rename(folder.path.with_name("elsewhere"))
    with pytest.raises(contracts.UserError, match="is gone: it was deleted or moved"):
        folder.check_exists()


def test_results_are_written_in_one_move(folder):
    folder.write_json(folder.results, {"rows": []})
    assert json.loads(folder.results.read_text()) == {"rows": []}
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.json", "results.json"]
