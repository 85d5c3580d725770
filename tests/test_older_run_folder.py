"""A run folder of version 0.1.0, stopped at step 11 of 44, continues as that version would have."""

import importlib
import json
import pathlib
import sys
import tarfile

import pytest

from dim_jax import commandline, experiment
from dim_jax.rundir import workdir

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "fixtures" / "run_folder_0.1.0.tar.gz"
ARGUMENTS = (
    "--config.train.steps_per_dispatch=11",
    "--config.train.keep=1",
    "--config.method.method.discriminator.widths=(4,4)",
    "--config.method.classifier.hidden=4",
    "--config.method.method.encoder.hidden=8",
    "--config.method.method.encoder.width=2",
    "--config.method.method.encoder.features=4",
    "--config.method.method.local_critic.width=4",
    "--config.method.method.global_critic.widths=(4,4)",
)
LAST_ROW = {  # of version 0.1.0
    "local/bound": -4.550699190659956,
    "local/nats": -0.40747987682169134,
    "loss/discriminator": 1.4423813711513171,
    "loss/encoder": 4.6059063564647325,
    "loss/probe": 7.049491578882391,
    "probe/y_accuracy": 0.14204545454545456,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with tarfile.open(FOLDER) as archive:
        archive.extractall(tmp_path / "run", filter="data")
    return tmp_path / "run"


def config() -> dict:
    return commandline.parse(["main", "--config=configs/quickstart.py:smoke", *ARGUMENTS]).config


def test_it_belongs_to_the_same_config(folder):
    workdir.Workdir(folder).check(config())
    older = json.loads((folder / "config.json").read_text())
    assert older["evals"]["map2d"]["name"] == "map2d"  # a former name
    (folder / "results.json").write_text("{}")
    workdir.Workdir(folder).check(config())  # also with results, where nothing may differ


def test_it_continues_and_reports(folder, monkeypatch):
    """With a tracker, which that version did not know, and which gets the earlier rows too."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "report" / "trackers")
    monkeypatch.setitem(sys.modules, "trackio", None)  # so that it is as before at the end
    del sys.modules["trackio"]
    evals = {"uniformity": dict(name="prior_fit")}  # may change before there are results
    changed = {**config(), "evals": evals, "track": "trackio"}
    results = experiment.train_and_evaluate(changed, str(folder), "older")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [11, 22, 33, 44]
    # Not to the bit: tests compile without optimisations.
    assert {key: rows[-1][key] for key in LAST_ROW} == pytest.approx(LAST_ROW, rel=1e-3)
    assert results["rows"][0]["eval"] == "uniformity"
    (run,) = importlib.import_module("trackio").runs.values()
    assert [step for step, _ in run.rows] == [11, 22, 33, 44, 44]
    assert run.rows[3][1]["loss/encoder"] == rows[-1]["loss/encoder"]
    assert "eval/uniformity/y/kolmogorov_uniform/trained" in run.rows[4][1]
    assert (folder / "report.html").exists()
