"""The best checkpoint stays beside the newest ones, and a run continues from the newest."""

import json
import os

import numpy as np
import pytest

from dim_jax.rundir import best_checkpoint, checkpoint


def saved(folder, values, metric="local/nats", keep=2) -> checkpoint.Checkpoints:
    """Checkpoints 1, 2, ... with these values of the metric."""
    checkpoints = checkpoint.Checkpoints(folder, keep, metric)
    for step, value in enumerate(values, 1):
        checkpoints.save(step, {"w": np.full(3, step)}, metrics={metric: value, "other": 0.0})
    return checkpoints


def test_the_best_stays_and_the_newest_is_continued(tmp_path):
    checkpoints = saved(tmp_path, [1.0, 3.0, 2.0, 3.0, 1.0])
    assert checkpoints.steps() == [2, 4, 5]
    assert sorted(os.listdir(tmp_path)) == ["2", "4", "5", "best.json"]
    assert json.loads((tmp_path / "best.json").read_text()) == {
        **{"step": 2, "metric": "local/nats", "value": 3.0}
    }
    assert checkpoints.restore_latest({"w": np.zeros(3, int)}, log=pytest.fail)[0] == 5
    best, tree = checkpoints.restore_best({"w": np.zeros(3, int)}, log=pytest.fail)
    assert (best.step, best.value) == (2, 3.0)
    np.testing.assert_array_equal(tree["w"], 2)


SMALLER = ("1_to_5/loss", "grad_norm/encoder", "features/y/alignment", "features/y/uniformity")


@pytest.mark.parametrize("metric", ["loss/encoder", *SMALLER])
def test_losses_and_distances_are_better_when_smaller(tmp_path, metric):
    paths = [tmp_path / str(step) for step in (1, 2, 3)]
    for path, value in zip(paths, (1.0, 0.5, 2.0), strict=True):
        path.mkdir()
        (path / best_checkpoint.METRICS).write_text(json.dumps({metric: value}))
    assert best_checkpoint.find(paths, metric).step == 2
    if metric == "loss/encoder":
        kept = saved(tmp_path / "run", [1.0, 3.0, 2.0, 3.0], metric)
        assert kept.steps() == [1, 3, 4]


def test_ranks_and_deviations_are_better_when_larger(tmp_path):
    assert saved(tmp_path, [1.0, 3.0, 2.0, 2.0], "features/y/rank").steps() == [2, 3, 4]


def test_values_that_are_not_finite_are_never_the_best(tmp_path):
    checkpoints = saved(tmp_path, [float("nan"), 1.0, float("inf"), 0.5, 0.5])
    assert checkpoints.find_best().step == 2


def test_a_better_one_takes_the_place(tmp_path):
    checkpoints = saved(tmp_path, [5.0, 1.0, 1.0, 6.0, 1.0, 1.0])
    assert checkpoints.steps() == [4, 5, 6]


def test_without_a_metric_there_is_no_best(tmp_path):
    checkpoints = saved(tmp_path, [5.0, 1.0, 1.0], metric=None)
    assert checkpoints.steps() == [2, 3]
    assert checkpoints.find_best() is None
    assert checkpoints.restore_best({"w": np.zeros(3, int)}) is None


def test_what_is_compared_is_on_disk(tmp_path):
    """A rerun knows the best without being told; another metric compares what is there."""
    saved(tmp_path, [5.0, 1.0, 1.0])
    again = checkpoint.Checkpoints(tmp_path, 2, "local/nats")
    again.save(4, {"w": np.zeros(3)}, metrics={"local/nats": 4.0})
    assert again.steps() == [1, 3, 4]
    other = checkpoint.Checkpoints(tmp_path, 1, "loss/encoder")
    other.save(5, {"w": np.zeros(3)}, metrics={"loss/encoder": 4.0})
    assert other.steps() == [5]


def test_a_damaged_best_is_one_line(tmp_path):
    checkpoints = saved(tmp_path, [5.0, 1.0, 1.0])
    (tmp_path / "1" / "leaves.json").write_text("")
    lines = []
    assert checkpoints.restore_best({"w": np.zeros(3, int)}, log=lines.append) is None
    assert len(lines) == 1 and "unreadable (leaves.json" in lines[0]
    assert checkpoints.restore_latest({"w": np.zeros(3, int)}, log=pytest.fail)[0] == 3
