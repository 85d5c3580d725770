"""The growth of memory is read off the tenths of a run."""

import json
import pathlib
import subprocess
import sys

from dim_jax.training import trainer
from experiments import bench_memory

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def test_growth_leaves_out_the_warm_up():
    plan = trainer.Plan(16, 10, 100, 1, 20)
    samples = [(step, 500.0 if step <= 20 else 600 + step / 10) for step in range(1, 101)]
    found = bench_memory.summary(samples, plan)
    assert found["steps"] == 100 and found["checkpoints_saved"] == 5
    assert found["mib_by_tenth"][0] == 500.0 and len(found["mib_by_tenth"]) == 10
    assert found["growth_mib"] == 7.0


def test_saving_is_measured():
    # In a process of its own: memory that earlier tests freed but still hold would be used first.
    script = "import json; from experiments import bench_memory; "
    script += "print(json.dumps(bench_memory.saving(16)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["state_mib"] == 16
    assert found["restore_extra_peak_mib"] > 8  # the restored state itself
    assert found["save_extra_peak_mib"] < 64
