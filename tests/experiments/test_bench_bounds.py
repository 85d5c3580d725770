"""The benchmark of the bounds runs, and its two sides agree."""

import json

import pytest

from experiments import bench_bounds


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    bench_bounds.run("smoke", results)
    return json.loads((results / "bench_bounds_smoke.json").read_text())


@pytest.mark.slow
def test_every_comparison_has_its_rows(content):
    expected = [
        (comparison.critic, comparison.dtype, comparison.batch, bound, block)
        for comparison in bench_bounds.BUDGETS["smoke"]
        for bound in comparison.bounds
        for block in comparison.blocks
    ]
    keys = ("critic", "dtype", "batch", "bound", "block")
    assert [tuple(row[key] for key in keys) for row in content["rows"]] == expected
    assert content["device"] and content["versions"]["jax"] and content["units"]


@pytest.mark.slow
def test_blockwise_equals_dense(content):
    timed = [row for row in content["rows"] if row["dense_seconds"] is not None]
    assert len(timed) == 9
    for row in timed:
        assert row["value_difference"] < 1e-4, row
        # bfloat16 gradients have 8 bits
        assert row["gradient_difference"] < (1e-4 if row["dtype"] == "float32" else 5e-3), row


@pytest.mark.slow
def test_times_and_memory_are_measured(content):
    for row in content["rows"]:
        assert row["blockwise_seconds"] > 0 and row["blockwise_temp_mib"] > 0, row
        assert row["dense_temp_mib"] >= row["scores_mib"], row
        if row["critic"] == "dot" and row["dense_seconds"] is not None:
            assert row["matmul_seconds"] > 0 and row["dense_fraction_of_matmul"] > 0, row


@pytest.mark.slow
def test_what_is_only_compiled_has_memory_and_no_times(content):
    (compiled,) = (x for x in bench_bounds.BUDGETS["smoke"] if x.dense == "compile")
    rows = [row for row in content["rows"] if row["batch"] == compiled.batch]
    assert len(rows) == len(compiled.bounds)
    for row in rows:
        assert row["dense_seconds"] is row["matmul_seconds"] is row["value_difference"] is None
        assert row["dense_temp_mib"] > row["blockwise_temp_mib"], row
