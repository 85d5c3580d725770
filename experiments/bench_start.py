"""Seconds that a command takes from its start to its first step and to its end.

    python -m experiments.bench_start --budget=cpu           or smoke

Each command runs with an empty cache folder, which is what a new user's is, and again with the
programs of that run kept. Processor time is that of all cores together, and hardly depends on other
programs of the machine; seconds do.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import dim_jax
from dim_jax import run_metadata
from experiments import table

ROOT = pathlib.Path(__file__).parent.parent
UNITS = {
    "first_step_seconds": "seconds from the start of the command to that of its first step",
    "first_step_cpu_seconds": "processor time until then, user and system",
    "seconds": "seconds of the whole command; none: it was ended at its first step",
    "cpu_seconds": "processor time of the whole command",
    "programs": "programs that were compiled or read from the cache",
}
_COMPILED = "Finished XLA compilation of "
_STEP = f"{_COMPILED}jit(dispatch)"


@dataclasses.dataclass(frozen=True)
class Case:
    """A command; `to_end` False: it is ended at its first step."""

    name: str
    arguments: tuple[str, ...]
    to_end: bool = True
    rounds: int = 1


_QUICK = "--config=configs/quickstart.py"
_CIFAR = ("--config=configs/dim_cifar10.py:local,budget=cpu",)
BUDGETS = {
    "smoke": (Case("quick start, smoke", (f"{_QUICK}:smoke", "--evals={}"), to_end=False),),
    "cpu": (
        Case("quick start", (_QUICK,)),
        Case("DIM on CIFAR-10, budget=cpu", _CIFAR, to_end=False),
    ),
}


def measure(case: Case) -> list[dict]:
    """The rows of one command: medians of its rounds, for an empty and for a warm cache."""
    runs: dict[str, list[dict]] = {"empty": [], "warm": []}
    for _ in range(case.rounds):
        with tempfile.TemporaryDirectory() as name:
            for cache, rows in runs.items():
                rows.append(_run(case, pathlib.Path(name), cache))
    return [
        {"command": case.name, "cache": cache, **{key: _median(rows, key) for key in UNITS}}
        for cache, rows in runs.items()
    ]


def _median(rows: list[dict], key: str) -> float | None:
    values = [row[key] for row in rows if row[key] is not None]
    return round(statistics.median(values), 2) if values else None


def _run(case: Case, folder: pathlib.Path, name: str) -> dict:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "JAX_LOG_COMPILES": "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-m", "dim_jax.main", *case.arguments]
    with (folder / "log.txt").open("w+") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, f"--workdir={folder / name}"],
            **{"cwd": ROOT, "env": environment, "stdout": subprocess.DEVNULL, "stderr": log},
        )
        while _STEP not in (text := pathlib.Path(log.name).read_text()):
            if process.poll() is not None:
                raise RuntimeError(f"{case.name} ended before its first step: {text}")
            time.sleep(0.01)
        first, first_cpu = time.perf_counter() - began, _cpu_seconds(process.pid)
        if not case.to_end:
            process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # so that it is not waited for again
        seconds = time.perf_counter() - began
        text = pathlib.Path(log.name).read_text()
    if case.to_end and process.returncode:
        raise RuntimeError(f"{case.name} failed: {text}")
    return {
        "first_step_seconds": first,
        "first_step_cpu_seconds": first_cpu,
        "seconds": seconds if case.to_end else None,
        "cpu_seconds": usage.ru_utime + usage.ru_stime if case.to_end else None,
        "programs": text.count(_COMPILED),
    }


def _cpu_seconds(pid: int) -> float:
    """Processor time of a running process, on Linux."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def run(budget: str, results: pathlib.Path = table.RESULTS) -> dict:
    """Measures all commands of a budget, writes and prints them."""
    content = {
        "experiment": f"bench_start_{budget}",
        "device": f"CPU with {os.cpu_count()} cores",
        "commit": run_metadata.commit(),
        "versions": {
            "python": platform.python_version(),
            "dim_jax": dim_jax.__version__,
            "jax": importlib.metadata.version("jax"),
        },
        "units": UNITS,
        "rows": [row for case in BUDGETS[budget] for row in measure(case)],
    }
    (results / f"bench_start_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content, indent=1))
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", choices=BUDGETS, default="cpu")
    run(parser.parse_args().budget)
