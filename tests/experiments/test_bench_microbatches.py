"""The benchmark of microbatches runs, and its rows say what they should."""

import json

import pytest

from experiments import bench_microbatches


@pytest.mark.slow
def test_memory_falls_and_the_loss_stays(tmp_path):
    bench_microbatches.run("smoke", tmp_path)
    content = json.loads((tmp_path / "bench_microbatches_smoke.json").read_text())
    assert content["device"] and content["versions"]["jax"] and content["units"]
    ran, compiled = content["rows"][:2], content["rows"][2:]
    assert [row["microbatches"] for row in (*ran, *compiled)] == [1, 4, 1, 4]
    assert [row["scores_mib"] for row in (ran[0], compiled[0])] == [4 / 256, 64 / 256]
    for whole, divided in (ran, compiled):
        assert divided["temp_mib"] < whole["temp_mib"]
    for row in ran:
        assert row["step_seconds"] > 0 and row["images_per_second"] > 0
        # Batch statistics are those of each microbatch: nearly the same loss.
        assert row["loss"] == pytest.approx(ran[0]["loss"], rel=0.2)
    assert all(row["step_seconds"] is row["loss"] is None for row in compiled)
