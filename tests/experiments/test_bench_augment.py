"""The benchmark of changes runs in its smoke form: every change beside the step."""

import json

import pytest

from experiments import bench_augment


@pytest.mark.slow
def test_every_change_has_a_row_beside_the_step(tmp_path):
    bench_augment.run("smoke", tmp_path)
    content = json.loads((tmp_path / "bench_augment_smoke.json").read_text())
    rows = {row["change"]: row for row in content["rows"]}
    assert rows.keys() == {*bench_augment.CHANGES, *bench_augment.SPACES, bench_augment.STEP}
    assert all(row["milliseconds"] > 0 for row in rows.values())
    assert rows["none"]["added"] == 0 and rows[bench_augment.STEP]["part_of_step"] is None
    assert rows["AMDIM's recipe"]["views"] == 2 and content["units"]
