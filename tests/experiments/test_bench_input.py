"""The benchmark of the input runs, and every reader has its rows."""

import json
import pathlib

import pytest

from experiments import bench_input


@pytest.fixture(scope="module")
def content(tmp_path_factory, tfds_dir):
    if not pathlib.Path(tfds_dir, "cifar10").is_dir():
        pytest.skip(f"cifar10 is not in {tfds_dir}")
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", tfds_dir)
        bench_input.run("smoke", results)
    return json.loads((results / "bench_input_smoke.json").read_text())


@pytest.mark.slow
def test_every_reader_has_its_rows(content):
    consumers = {
        row["consumer"] for row in content["rows"] if row["reader"] in bench_input.MEASURED
    }
    assert consumers == {"none", "training step"}
    readers = [row["reader"] for row in content["rows"] if row["consumer"] == "none"]
    assert set(readers) == {*bench_input.MEASURED, *bench_input.OTHERS.values()}
    assert content["versions"]["grain"] and content["device"] and content["units"]


@pytest.mark.slow
def test_what_runs_has_a_rate_and_what_is_not_installed_has_none(content):
    for row in content["rows"]:
        package = next(
            (key for key, name in bench_input.OTHERS.items() if name == row["reader"]), ""
        )
        if content["versions"].get(package) == "not installed":
            assert row["images_per_second"] is None and row["over_resident"] is None
        else:
            assert row["images_per_second"] > 0 and row["over_resident"] > 0
            assert row["slowest"] <= row["images_per_second"] <= row["fastest"]
