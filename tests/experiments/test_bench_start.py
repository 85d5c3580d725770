"""The benchmark of starts, on the smallest command."""

import pytest

from experiments import bench_start


@pytest.mark.slow
def test_a_command_is_measured_with_an_empty_and_a_warm_cache(tmp_path):
    content = bench_start.run("smoke", tmp_path)
    empty, warm = content["rows"]
    assert (empty["cache"], warm["cache"]) == ("empty", "warm")
    assert empty["first_step_seconds"] > 0 and empty["first_step_cpu_seconds"] > 0
    assert empty["programs"] == warm["programs"] > 5 and warm["seconds"] is None
    assert (tmp_path / "bench_start_smoke.json").exists()
