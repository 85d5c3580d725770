"""A finished run is shown again from its folder alone: damaged, read-only, or with other files."""

import errno
import importlib
import importlib.util
import io
import json
import os
import pathlib
import sys

import numpy as np
import pytest

from dim_jax import commandline, experiment, main, report
from dim_jax.evaluate import cache
from dim_jax.rundir import workdir

ROW = {
    **dict(eval="knn", protocol="knn-v1", tap="y", dim=64, labels="all", metric="accuracy"),
    **dict(std=None, fits=1, split="test", published=None),
}
RESULTS = {
    "format": 1,
    "run": {"config": "quickstart", "steps": 44, "dataset": "digits", "notes": []},
    "rows": [
        {**ROW, "representation": "trained", "value": 0.75},
        {**ROW, "representation": "untrained", "value": 0.5},
    ],
    "published_source": None,
    "figures": [],
}


@pytest.fixture
def command(monkeypatch, pytestconfig, tmp_path) -> list[str]:
    monkeypatch.chdir(pytestconfig.rootpath)
    sys.modules.pop("config_config", None)
    config = "--config=configs/quickstart.py:smoke"
    return ["main.py", config, f"--workdir={tmp_path / 'run'}"]


@pytest.fixture
def folder(command) -> workdir.Workdir:
    """The folder of a finished run, as far as a report needs it."""
    made = workdir.Workdir(command[-1].partition("=")[2])
    made.claim(commandline.parse(command).config)
    made.write_json(made.results, RESULTS)
    made.metrics.write_text('{"step": 11, "loss/encoder": 2}\n{"step": 22, "loss/encoder": 1}\n')
    return made


def test_it_is_shown_and_its_report_written(command, folder, capsys):
    assert main.main(command) == 0
    out = capsys.readouterr().out
    assert "this run is finished" in out and "y: 75.0 %" in out and "profile" not in out
    assert "75.0" in folder.report.read_text()


def test_a_tracker_gets_it_once(command, folder, monkeypatch, pytestconfig):
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "tests" / "report" / "trackers")
    monkeypatch.setitem(sys.modules, "mlflow", None)  # so that it is as before at the end
    del sys.modules["mlflow"]
    for _ in range(2):
        assert main.main([*command, "--config.track=mlflow"]) == 0
    mlflow = importlib.import_module("mlflow")
    (run,) = mlflow.runs.values()
    assert [step for step, _ in run.rows] == [11, 22, 44]
    assert run.rows[-1][1] == {"eval/knn/y/trained": 0.75, "eval/knn/y/untrained": 0.5}
    assert [call[0] for call in mlflow.calls] == ["init", "finish"]


def test_a_tracker_without_its_package_is_refused_before_the_data_are_read(
    command, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(experiment, "load_data", lambda config: 1 / 0)
    assert main.main([*command, "--config.track=wandb"]) == 2
    assert "the package wandb is not installed; pip install wandb" in capsys.readouterr().err
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_profile_of_it_is_not_silently_left_out(command, folder, capsys):
    assert main.main([*command, "--profile"]) == 0
    assert "no profile: nothing is left to train" in capsys.readouterr().out
    assert not folder.profile.exists()


def test_a_reader_that_went_away_hinders_nothing(command, folder, monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main.main(command) == 0
    assert folder.report.exists() and not capsys.readouterr().err


def test_it_is_printed_in_ascii(command, folder, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main.main(command) == 0
    assert b"knn-v1 ? all labels ? 1 fit" in written.getvalue()


DAMAGED = {
    "empty": "",
    "cut short": json.dumps(RESULTS)[:-30],
    "foreign": '{"accuracy": 0.5}',
    "list": "[]",
    "no rows": json.dumps({**RESULTS, "rows": None}),
    "row": json.dumps({**RESULTS, "rows": [{**RESULTS["rows"][0], "value": "much"}]}),
    "missing": json.dumps({**RESULTS, "rows": [{"eval": "knn"}]}),
    "run": json.dumps({**RESULTS, "run": {"steps": "many"}}),
    "figures": json.dumps({**RESULTS, "figures": ["filters.png"]}),
    "not text": b"\xff\xfe{}",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_results_are_said_and_the_report_stays(command, folder, capsys, damage):
    content = DAMAGED[damage]
    folder.results.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder.report.write_text("the good report")
    assert main.main(command) == 2
    captured = capsys.readouterr()
    assert "results.json is damaged or not of a run: it" in captured.err
    assert captured.err.count("\n") == 1 and not captured.out
    assert folder.report.read_text() == "the good report"


def test_results_of_older_versions_may_lack_facts(folder):
    bare = {key: ROW[key] for key in ("eval", "tap", "metric")}
    row = {**bare, "representation": "trained", "value": None}
    folder.write_json(folder.results, {"run": {}, "rows": [row], "figures": []})
    assert report.read_results(folder.results)["rows"] == [row]
    assert report.write_html(folder.path) == folder.report


@pytest.mark.parametrize("line", ["{half", "3", '{"loss/encoder": 1}', '{"step": "x"}', "\x00"])
def test_a_damaged_line_of_the_metrics_is_said(command, folder, capsys, line):
    folder.metrics.write_text(f'{{"step": 11}}\n{line}\n{{"step": 22, "loss/encoder": 1}}\n{{"st')
    assert main.main(command) == 0
    out = capsys.readouterr().out
    assert "metrics.jsonl has damaged lines, which are left out: line 2\n" in out
    assert folder.report.exists()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_it_can_be_looked_at_where_nothing_can_be_written(
    command, folder, capsys, monkeypatch, code
):
    really = pathlib.Path.open

    def refuse(path, mode="r", *arguments, **options):
        if set(mode) & set("wa+x"):
            raise OSError(code, os.strerror(code), str(path))
        return really(path, mode, *arguments, **options)

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    assert main.main(command) == 0
    out = capsys.readouterr().out
    assert f"report.html could not be written anew ({os.strerror(code)})" in out
    assert "y: 75.0 %" in out


def test_files_that_no_run_wrote_stay(command, folder):
    store = cache.Store(folder.evaluations)
    image = np.zeros((2, 2, 3), np.uint8)
    figure = {"file": "map.png", "title": "", "caption": "", "image": image}
    store.keep("knn-trained", {}, cache.Finished([], [figure], 0.0))
    assert len(list(folder.evaluations.iterdir())) == 2
    for name in ("mine.json", "mine.txt", "map.png"):
        (folder.evaluations / name).write_text('{"mine": 1}')
    (folder.path / "notes.txt").write_text("mine")
    assert main.main(command) == 0
    kept = sorted(path.name for path in folder.evaluations.iterdir())
    assert kept == ["map.png", "mine.json", "mine.txt"]
    assert (folder.path / "notes.txt").read_text() == "mine"
    for path in folder.evaluations.iterdir():
        path.unlink()
    assert main.main(command) == 0
    assert not folder.evaluations.exists()
