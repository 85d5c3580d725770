"""The benchmark of embedding a folder runs in its smoke form."""

import json

import pytest

from experiments import bench_embed


@pytest.mark.slow
def test_the_command_has_a_rate_beside_those_of_its_parts(tmp_path):
    bench_embed.run("smoke", tmp_path)
    content = json.loads((tmp_path / "bench_embed_smoke.json").read_text())
    (row,) = content["rows"]
    parts = ("decoder", "encoder", "decoded_per_cpu_second", "complete_per_cpu_second")
    assert all(row[key] > 0 for key in ("images_per_second", *parts))
    assert row["over_parts"] > 0 and row["over_decoder"] > 0
    assert row["peak_mib"].keys() == {"150", "1500"}
    assert content["device"] and content["units"]
