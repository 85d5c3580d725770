"""Runs survive what the fault matrix does to them, here in a shorter form."""

import pytest

from experiments import bench_faults


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return bench_faults.Bench(tmp_path_factory.mktemp("faults"), epochs=8.0)


def survived(row) -> None:
    assert row["bit_equal"], row
    # A checkpoint every 21 steps; a killed process may have written a dispatch or two beyond one.
    assert row["steps_made_again"] <= 2 * 21, row


@pytest.mark.slow
def test_kills_change_nothing(bench):
    row = bench_faults.sigkill(bench, kills=2)
    survived(row)
    assert len(set(row["killed_at_step"])) > 1, "the kills did not spread over the run"


@pytest.mark.slow
def test_a_killed_evaluation_continues(bench):
    row = bench_faults.evaluation(bench)
    survived(row)
    assert row["evaluations_kept"] >= 2 and row["exit"] == -9


@pytest.mark.slow
def test_a_second_run_waits_for_nobody_and_a_killed_one_locks_nobody_out(bench):
    row = bench_faults.second_run(bench)
    survived(row)
    assert row["names_holder"]
