"""The benchmark of evaluations runs, and both forms of a probe agree."""

import json
import pathlib

import pytest

from experiments import bench_evaluate

# PyTorch's compiler warns of its own deprecated parts.
pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.filterwarnings(f"ignore::{kind}")
        for kind in ("FutureWarning", "DeprecationWarning")
    ),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory, tfds_dir):
    if not pathlib.Path(tfds_dir, "cifar10").is_dir():
        pytest.skip(f"cifar10 is not in {tfds_dir}")
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", tfds_dir)
        bench_evaluate.run("smoke", results)
    return json.loads((results / "bench_evaluate_smoke.json").read_text())["rows"]


def test_every_part_has_rows(rows):
    parts = {part: [row for row in rows if row["part"] == part] for part in ("encode", "probe")}
    assert "dim_jax" in {row["form"] for row in parts["encode"]}
    of_knn = [row["accuracy"] for row in parts["probe"] if row["probe"] == "knn"]
    assert len(of_knn) == 2 and of_knn[0] == of_knn[1]


def test_both_runs_have_rows_of_every_representation(rows):
    runs = {}
    for row in rows:
        if row["part"] == "evaluations" and row["eval"] != "all":
            runs.setdefault(row["run"], []).append((row["eval"], row["representation"]))
    first, second = runs.values()
    assert first == second
    assert {name for _, name in first} == {"trained", "untrained", "pixels", "pca"}
