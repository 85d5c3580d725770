"""Trackers get the settings, every row once and the results; a failure costs no training."""

import importlib
import json
import sys
import threading
import types

import pytest

from dim_jax import contracts, report
from dim_jax.report import tracker_runs, trackers

NAMES = [*tracker_runs.OF_NAME]
CONFIG = {"train": {"epochs": 2.0, "keep_best": None}, "evals": {}, "seed": 3}
ROW = {"eval": "knn", "tap": "y", "metric": "accuracy", "representation": "trained", "value": 0.5}
RESULTS = {
    "run": {"steps": 44},
    "rows": [
        ROW,
        {**ROW, "tap": "", "metric": "bits", "representation": "pca", "value": 1.5},
        {**ROW, "tap": "conv", "value": float("nan")},
    ],
}
SUMMARY = {"eval/knn/y/trained": 0.5, "eval/knn/bits/pca": 1.5}
VARIABLES = ("WANDB_PROJECT", "WANDB_NAME", "WANDB_FINISH_TIMEOUT", "TRACKIO_PROJECT")
VARIABLES = (*VARIABLES, "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def package(monkeypatch, pytestconfig):
    """(name of a tracker) -> a made-up package in its place."""
    monkeypatch.syspath_prepend(pytestconfig.rootpath / "tests" / "report" / "trackers")

    def load(name):
        monkeypatch.setitem(sys.modules, name, None)  # so that it is as before at the end
        del sys.modules[name]
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return load


@pytest.fixture
def writer(tmp_path):
    """(name of a tracker) -> a writer for the run folder `run`; `lines` are those it logged."""
    (tmp_path / "run").mkdir()
    lines = []

    def make(name, **options):
        path = tmp_path / "run" / "tracker.json"
        made = report.TrackerWriter(name, path, CONFIG, lines.append, **options)
        made.lines = lines
        return made

    return make


def row(step):
    return {"step": step, "loss/encoder": step / 4, "nan": float("nan"), "word": "x"}


def logged(*steps):
    return [(step, {"loss/encoder": step / 4}) for step in steps]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_stopped_continues_the_trackers_run(name, package, writer, tmp_path):
    made = package(name)
    first = writer(name)
    first.begin([])
    for step in (11, 22, 33):
        first.append(row(step))
    first.close()
    assert json.loads((tmp_path / "run" / "tracker.json").read_text()) == {
        name: {"id": "one", "step": 33, "complete": False}
    }
    # The checkpoint is of step 22, and the row of step 33 is made again.
    second = writer(name)
    second.begin([row(11), row(22)])
    for step in (33, 44):
        second.append(row(step))
    second.summarise(RESULTS)
    assert not second.is_complete()
    second.close()
    assert second.is_complete()
    (run,) = made.runs.values()
    ends = [call for call in made.calls if call[0] == "finish"]
    summary = [] if name == "wandb" else [(44, SUMMARY)]
    assert run.rows == [*logged(11, 22, 33, 44), *summary]
    assert first.lines == [f"tracker: {name}, run one"] * 2
    flat = {"train.epochs": 2.0, "train.keep_best": None, "evals": {}, "seed": 3}
    if name == "wandb":
        assert run.config == CONFIG and run.summary == SUMMARY
        opened = [("init", "dim_jax", "run", None, None), ("init", None, None, "one", "allow")]
        assert made.calls[0] == opened[0] and made.calls[2][-2:] == opened[1][-2:]
        assert ends == [("finish", 1), ("finish", 0)]
    elif name == "mlflow":
        assert run.params == {key: str(value) for key, value in flat.items()}
        assert made.calls[0] == ("init", "of dim_jax", "run")
        assert ends == [("finish", "KILLED"), ("finish", "FINISHED")]
    else:
        assert run.config == flat
        assert made.calls[0] == ("init", "dim_jax", "run", "never")
        assert made.calls[2] == ("init", "dim_jax", "run", "must")


def test_rows_that_a_killed_process_did_not_store_are_logged_again(package, writer, monkeypatch):
    made, now = package("wandb"), [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(trackers, "time", clock)
    killed = writer("wandb")
    killed.begin([])

    def log(step, seconds):
        done = threading.Event()
        killed.append(row(step))
        killed._do(lambda run: done.set())
        assert done.wait(20)
        now[0] += seconds

    log(11, 40.0)
    log(22, 10.0)  # the row before it is stored
    log(33, 0.0)
    killed._jobs.put(None)  # nothing more is done, as if it was killed
    monkeypatch.setattr(made.Run, "finish", lambda *_, **__: 1 / 0)
    killed._thread.join()
    (run,) = made.runs.values()
    assert run.rows == logged(11, 22, 33)
    del run.rows[1:]
    monkeypatch.setattr(made.Run, "finish", lambda *_, **__: None)
    second = writer("wandb")
    second.begin([row(11), row(22)])
    second.append(row(33))
    second.close()
    assert run.rows == logged(11, 22, 33)
    # What the tracker knows to have counts as well.
    monkeypatch.setattr(made.Run, "starting_step", 45)
    third = writer("wandb")
    third.begin([row(44), row(55)])
    third.close()
    assert run.rows == logged(11, 22, 33, 55)


def test_a_tracker_that_comes_later_gets_the_earlier_rows(package, writer, tmp_path):
    for name in ("trackio", "mlflow"):
        made = package(name)
        late = writer(name)
        late.begin([row(11), row(22)])
        late.close()
        assert made.runs["one"].rows == logged(11, 22)
    assert json.loads((tmp_path / "run" / "tracker.json").read_text()).keys() == {
        "trackio",
        "mlflow",
    }


def test_environment_variables_win(package, writer, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    monkeypatch.setenv("WANDB_NAME", "named")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    monkeypatch.setenv("TRACKIO_PROJECT", "theirs")
    opened = {}
    for name in NAMES:
        made, begun = package(name), writer(name)
        begun.begin([])
        begun.close()
        opened[name] = made.calls[0]
    assert opened["wandb"] == ("init", None, None, None, None)  # which wandb reads itself
    assert opened["mlflow"][1] == "of theirs" and opened["trackio"][1] == "theirs"


def fail(package, writer, **state):
    made, failed = package("wandb"), writer("wandb")
    vars(made).update(state)
    failed.begin([row(11)])
    failed.close()
    failed.append(row(22))
    return failed.lines


def test_a_tracker_that_fails_is_one_line(package, writer, tmp_path):
    (line,) = fail(package, writer, error=ConnectionError("no\nroute"))
    assert line == "wandb failed, and the run goes on without it: no route"
    (_, line) = fail(package, writer, has_login=False)
    assert "there is no login; run `wandb login`, or set WANDB_MODE=offline" in line
    for damage in ("{", "[]", '{"wandb": 3}', '{"wandb": {"id": 3, "step": 1, "complete": true}}'):
        (tmp_path / "run" / "tracker.json").write_text(damage)
        assert not writer("wandb").is_complete()
        (*_, line) = fail(package, writer)
        assert "tracker.json is damaged; remove it to begin a new run of the tracker" in line


def test_wandb_needs_no_login_offline(package, writer):
    (line,) = fail(package, writer, has_login=False, mode="offline")
    assert line == "tracker: wandb, run one"


def test_a_tracker_that_does_not_answer_is_left(package, writer, monkeypatch):
    made, begun, answer = package("trackio"), writer("trackio"), threading.Event()
    monkeypatch.setattr(trackers, "_PATIENCE_SECONDS", {False: 0.01})
    monkeypatch.setattr(made, "init", lambda **_: answer.wait(20) and None)
    begun.begin([])
    begun.append(row(11))
    (thread,) = (one for one in threading.enumerate() if one.name == "trackio")
    begun.close()
    assert begun.lines == ["trackio does not answer; the run ends without waiting for it"]
    answer.set()
    thread.join()


def test_another_run_of_the_same_name_is_not_continued(package, writer):
    made, first = package("trackio"), writer("trackio")
    first.begin([])
    first.close()
    made.runs["two"] = made.Run("two", {})
    second = writer("trackio")
    second.begin([row(11)])
    second.close()
    assert "a newer run has the name 'run', so this one cannot be" in second.lines[-1]
    assert not made.runs["two"].rows


def test_nothing_is_logged_without_a_tracker_or_in_another_process(writer, package):
    made = package("mlflow")
    for silent in (writer(None), writer("mlflow", enabled=False)):
        assert silent.is_complete()
        silent.begin([row(11)])
        silent.append(row(22))
        silent.summarise(RESULTS)
        silent.close()
    assert not made.runs and not silent.lines


@pytest.mark.parametrize("is_a_folder", [False, True])
def test_a_package_that_is_missing_is_one_sentence(is_a_folder, monkeypatch, tmp_path):
    """Also where the tracker left a folder of its name, which Python takes for a package."""
    if is_a_folder:
        (tmp_path / "wandb").mkdir()
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr(
        sys, "meta_path", [each for each in sys.meta_path if "editable" not in repr(each).lower()]
    )
    with pytest.raises(contracts.UserError, match="wandb is not installed; pip install wandb"):
        report.check_tracker("wandb")
    report.check_tracker(None)


def run_for_real(name, writer, monkeypatch, tmp_path):
    """A stopped run and its continuation with the package itself; skips where it is missing."""
    monkeypatch.setattr(trackers, "_PATIENCE_SECONDS", {True: 120.0, False: 120.0})
    # Its import takes seconds, and reads variables.
    for variable, value in {
        **{"WANDB_MODE": "offline", "WANDB_DIR": tmp_path, "TRACKIO_DIR": tmp_path / "trackio"},
        **{"WANDB_SILENT": "true", "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
    }.items():
        monkeypatch.setenv(variable, str(value))
    pytest.importorskip(name, reason=f"the extra {name} is not installed")
    report.check_tracker(name)
    first = writer(name)
    first.begin([])
    first.append(row(11))
    first.append(row(22))
    first.close()
    second = writer(name)
    second.begin([row(11)])
    for step in (22, 33):
        second.append(row(step))
    second.summarise(RESULTS)
    second.close()
    run_id = json.loads((tmp_path / "run" / "tracker.json").read_text())[name]["id"]
    assert second.lines == [f"tracker: {name}, run {run_id}"] * 2 and second.is_complete()
    return run_id


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_itself(writer, monkeypatch, tmp_path):
    run_id = run_for_real("wandb", writer, monkeypatch, tmp_path)
    texts = [path.read_bytes() for path in sorted(tmp_path.glob(f"wandb/*/run-{run_id}.wandb"))]
    found = [text for text in texts if b"loss/encoder" in text]
    assert len(found) >= 1 and b"eval/knn/y/trained" in b"".join(found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_itself(writer, monkeypatch, tmp_path):
    run_id = run_for_real("mlflow", writer, monkeypatch, tmp_path)
    import mlflow

    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    history = client.get_metric_history(run_id, "loss/encoder")
    assert [(each.step, each.value) for each in history] == [(11, 2.75), (22, 5.5), (33, 8.25)]
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "2.0"
    assert SUMMARY.items() <= run.data.metrics.items()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trackio_itself(writer, monkeypatch, tmp_path):
    run_for_real("trackio", writer, monkeypatch, tmp_path)
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("dim_jax", "run")
    assert [each["step"] for each in rows] == [11, 22, 33, 44]
    assert SUMMARY.items() <= rows[-1].items()
    assert SQLiteStorage.get_run_config("dim_jax", "run")["train.epochs"] == 2.0
