"""The benchmark of mutual information with a stand-in estimator: rows, resuming and summary."""

import json
import math

import numpy as np
import pytest

from dim_jax import mi
from dim_jax.settings import UserError
from experiments import fragments_mi, mi_benchmark, mi_benchmark_summary, mi_peers, mi_tasks


class Correlation:
    """The information of a normal law with the correlation of the first columns."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, y, *, seed=0, method="default"):
        self.calls.append((x.shape, method, seed))
        nats = -math.log1p(-(np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2)) / 2
        return mi.Estimate(
            nats=np.float64(nats),
            standard_error=0.05,
            interval=(nats - 0.1, nats + 0.1),
            confidence=0.95,
            p_value=np.float64(0.3),
            null=np.zeros(3),
            guaranteed=max(0.0, nats - 0.2),
            reliable=True,
            why="a stand-in",
            label="estimate",
            method=method,
            samples=len(x),
            dimensions=(x.shape[1], y.shape[1]),
        )


@pytest.fixture(autouse=True)
def no_samples_at_hand(monkeypatch, tmp_path):
    """All samples are drawn, whether those of the given tasks are on this machine or not."""
    monkeypatch.setattr(mi_tasks, "FOLDER", tmp_path / "absent")


@pytest.fixture
def ran(tmp_path):
    estimator = Correlation()
    content = mi_benchmark.run("smoke", tmp_path, estimator, folder=None)
    return tmp_path, estimator, content


def read(folder):
    return json.loads((folder / "mi_benchmark_smoke.json").read_text())


def test_every_row_has_its_truth_value_and_floor(ran):
    folder, estimator, content = ran
    rows = read(folder)["rows"]
    assert rows == content["rows"]
    ours, other = (row for row in rows if row["part"] == "tasks")
    assert (ours["task"], ours["group"]) == ("1v1-normal-0.75", "given")
    assert (other["task"], other["truth"], other["floor"]) == ("independent-2-2", 0, 0)
    for row in (ours, other):
        assert row["error"] == pytest.approx(row["nats"] - row["truth"])
        assert row["cpu_seconds"] >= 0 and row["first_of_shape"] and row["samples"] == 200
        assert row["interval"][0] < row["nats"] < row["interval"][1]
    # The estimator and the floor are of the same samples, and both are of normal laws here.
    assert abs(ours["error"] - ours["floor"]) < 0.1 and ours["floor"] != 0
    assert [call for call in estimator.calls if call[1] == "default"] == [
        ((200, 1), "default", 0),
        ((200, 2), "default", 0),
    ]


def test_peers_are_run_beside(ran):
    peers = {row["method"]: row for row in ran[2]["rows"] if row["part"] == "peers"}
    assert [*peers] == ["scikit-learn", "knn", "gaussian"]
    assert all(abs(row["error"]) < 0.3 for row in peers.values())


def test_rows_in_the_file_are_not_run_again(ran):
    folder, estimator, content = ran
    count = len(estimator.calls)
    again = mi_benchmark.run("smoke", folder, estimator)
    assert len(estimator.calls) == count and again["rows"] == content["rows"]
    kept = [row for row in read(folder)["rows"] if row["task"] != "independent-2-2"]
    (folder / "mi_benchmark_smoke.json").write_text(json.dumps({"rows": kept}))
    mi_benchmark.run("smoke", folder, estimator, only="independent")
    assert len(estimator.calls) == count + 1 and len(read(folder)["rows"]) == len(content["rows"])


def test_rows_are_written_one_by_one(tmp_path):
    class Interrupted(Correlation):
        def __call__(self, x, y, **options):
            if self.calls:
                raise KeyboardInterrupt
            return super().__call__(x, y, **options)

    with pytest.raises(KeyboardInterrupt):
        mi_benchmark.run("smoke", tmp_path, Interrupted())
    assert len(read(tmp_path)["rows"]) == 1


def test_coverage_is_of_other_draws(tmp_path):
    estimator = Correlation()
    content = mi_benchmark.run("smoke", tmp_path, estimator, part="coverage")
    assert [call[2] for call in estimator.calls] == [1000, 1001]
    found = content["summary"]["coverage"]["1v1-normal-0.75"]
    covered = [row["interval"][0] <= row["truth"] <= row["interval"][1] for row in content["rows"]]
    assert found["coverage"] == np.mean(covered) and found["repeats"] == 2
    assert found["mean_width"] == pytest.approx(0.2)


def test_the_file_is_shown_as_tables(ran, tmp_path):
    mi_benchmark.run("smoke", tmp_path, ran[1], part="coverage")
    text = fragments_mi.benchmark(read(tmp_path))
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len(lines) for lines in tables[:3]] == [4, 5, 3]  # with two lines of headings
    assert all(len({line.count("|") for line in lines}) == 1 for lines in tables)
    assert "`1v1-normal-0.75` | 200 | 2 |" in text and "| hit |" in text


def test_a_refusal_is_a_row(tmp_path):
    def refuse(x, y, **_):
        raise UserError("too few")

    content = mi_benchmark.run("smoke", tmp_path, refuse, part="tasks")
    assert all(row["refused"] == "too few" for row in content["rows"])
    assert content["summary"]["groups"]["given"] == {"rows": 1, "refused": 1}


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match="give one of these"):
        mi_benchmark.run("smoke", tmp_path, Correlation(), part="others")
    with pytest.raises(UserError, match="give the folder"):
        mi_benchmark.run("smoke", tmp_path, Correlation(), folder=tmp_path)


def test_samples_of_a_folder_are_used(tmp_path):
    task = mi_tasks.task("1v1-normal-0.75")
    x, y = task.draw(7, 300)
    np.savez(tmp_path / "1v1-normal-0.75.0.npz", x=x, y=y)
    peers = {task.name: {"MINE": {"nats": 0.5, "cpu_seconds": 7.0}}}
    (tmp_path / "truth.json").write_text(json.dumps({"truth": {task.name: 0.4}, "peers": peers}))
    content = mi_benchmark.run("smoke", tmp_path, Correlation(), tmp_path, "tasks")
    row = content["rows"][0]
    assert row["stored"] and row["truth"] == 0.4
    assert row["floor"] == pytest.approx(float(task.log_ratio(x[:200], y[:200]).mean()) - 0.4)
    (entry,) = content["summary"]["published_peers"]
    assert entry["mean_absolute_error"] == pytest.approx(0.1)
    assert entry["ours"] == pytest.approx(abs(row["error"]))


def row(error, **entries):
    return {
        **{"part": "tasks", "task": "a", "group": "given", "seed": 0, "truth": 1.0, "dims": [1, 1]},
        **{"nats": 1 + error, "error": error, "standard_error": 0.01, "floor": 0.02},
        **{"interval": [0.95 + error, 1.05 + error], "guaranteed": 0.9, "reliable": True},
        **{"p_value": 0.001, "cpu_seconds": 2.0, "first_of_shape": False, "stored": False},
        **{"method": "default", "samples": 5000, "commit": "c"},
        **entries,
    }


def test_summary_of_rows():
    rows = [
        row(0.01),
        row(-0.03, task="b", first_of_shape=True, cpu_seconds=9.0),
        row(0.1, task="b", seed=1, guaranteed=1.05),
        row(0.08, task="c", group="held_back"),
        row(0.0, task="i", group="independent", truth=0.0, nats=0.0, dims=[10, 10]),
        row(-0.39, task="l", group="large_information", truth=5.0),
        row(-0.2, task="m", group="large_information", truth=5.000001, standard_error=0.1),
        row(-0.5, task="s", group="small_samples", reliable=False),
        row(-0.2, task="t", group="small_samples"),
    ]
    found = mi_benchmark_summary.summary(rows, {})
    given = found["groups"]["given"]
    assert given["mean_absolute_error"] == pytest.approx(0.14 / 3)
    assert given["mean_error"] == pytest.approx(0.08 / 3)
    assert (given["median_absolute_error"], given["worst_absolute_error"]) == (0.03, 0.1)
    assert given["worst_task"] == "b" and given["error_over_floor"] == pytest.approx(7 / 3)
    assert given["largest_overshoot"] == pytest.approx(10) and given["above_3_standard_errors"] == 1
    assert given["coverage"] == given["guaranteed_below_truth"] == pytest.approx(2 / 3)
    assert (given["cpu_seconds"], given["cpu_seconds_first_of_shape"]) == (2.0, 9.0)
    verdicts = {entry["aim"]: (entry["value"], entry["verdict"]) for entry in found["aims"]}
    assert verdicts["worst given task, mean over seeds"] == (pytest.approx(0.065), "hit")
    ratio = verdicts["mean error of held-back tasks / of the others"]
    assert ratio == (pytest.approx(0.08 / (0.14 / 3)), "miss")
    assert verdicts["largest value of independent data, 10 + 10 columns"] == (0, "hit")
    assert verdicts["largest overshoot in standard errors"] == (pytest.approx(10), "miss")
    assert verdicts["mean absolute error at 5 nats"] == (pytest.approx(0.295), "hit")
    assert "mean absolute error at 8 nats" not in verdicts
    small = verdicts["mean squared error of small samples, where reliable"]
    assert small == (pytest.approx(0.04), "hit")
    assert verdicts["median CPU seconds, given tasks"] == (2.0, "hit")


def test_uniformity_of_p_values():
    def found(values):
        rows = [row(0.0, group="independent", truth=0.0, p_value=p, seed=i) for i, p in values]
        return mi_benchmark_summary.summary(rows, {})["independence"]

    even = found(enumerate(np.linspace(0.02, 0.98, 25)))
    assert even["p_value_of_uniformity"] > 0.9 and even["p_values_below_0.05"] == 0.04
    assert found(enumerate(np.full(25, 0.01)))["p_value_of_uniformity"] < 1e-6


def test_nearest_neighbours_agree_with_the_truth():
    task = mi_tasks.task("1v1-normal-0.75")
    x, y = task.draw(0, 3000)
    found = [mi.estimate(x, y, method="knn", permutations=0).nats, mi_peers.scikit_learn(x, y)]
    assert found[0] == pytest.approx(task.nats, abs=0.05)
    assert found[0] == pytest.approx(found[1], abs=0.02)
