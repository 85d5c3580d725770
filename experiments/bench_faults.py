"""What a run survives: real commands are killed, starved and damaged, and then run again.

    python -m experiments.bench_faults [--only=sigkill]

Each row says what was done, how many steps had to be made again, and whether the run ended with the
bits of one that nobody touched: metrics, encoder and results. Rows go to
experiments/results/bench_faults_cpu.json. It takes more than four minutes on two CPU cores.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from dim_jax import report, run_metadata
from experiments import table

NAME = "bench_faults_cpu"
ROOT = pathlib.Path(__file__).parent.parent
KILLS = 20
EVALS = ("knn", "knn_few", "uniformity", "neighbours", "filters")
CONFIG = """
from configs import quickstart


def get_config():
    config = quickstart.get_config("smoke")
    config.train.update(dict(epochs={epochs}, steps_per_dispatch={dispatch}, save_epochs=1.0))
    for name in list(config.evals):
        if name not in {evals}:
            del config.evals[name]
    return config
"""


class Bench:
    """Run folders below one folder, and the run that nobody touched."""

    def __init__(self, folder: pathlib.Path, epochs: float = 60.0, dispatch: int = 3):
        self.folder = folder
        self.config = folder / "configs" / "faults.py"
        self.config.parent.mkdir(parents=True)
        self.config.write_text(CONFIG.format(epochs=epochs, dispatch=dispatch, evals=EVALS))

    def start(self, run: str, *more: str, devices: int = 1, **popen) -> subprocess.Popen:
        """Starts the command for the run folder of that name."""
        command = [sys.executable, "-m", "dim_jax.main", f"--config={self.config}"]
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(self.folder / "cache"))
        environment = {
            **{**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)},
            **{"JAX_COMPILATION_CACHE_DIR": cache},
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.0",
        }
        return subprocess.Popen(
            [*command, f"--workdir={self.folder / run}", *more],
            **{"cwd": ROOT, "env": environment, "text": True, **popen},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, run: str, *more: str, code: int = 0, **options) -> tuple[str, str]:
        """Waits for the command; returns what it wrote to both outputs."""
        process = self.start(run, *more, **options)
        out, error = process.communicate()
        if process.returncode != code:
            raise RuntimeError(f"{run}: exit code {process.returncode}, not {code}: {error}")
        return out, error

    def rows(self, run: str) -> list[dict]:
        """The rows of metrics.jsonl without the times."""
        rows = report.read_rows(self.folder / run / "metrics.jsonl")
        return [{key: row[key] for key in row if not key.startswith("time/")} for row in rows]

    def reached(self, run: str) -> int:
        """The step of the last row, 0 before the first."""
        rows = self.rows(run)
        return rows[-1]["step"] if rows else 0

    def saved(self, run: str) -> int:
        """The step of the newest checkpoint, 0 before the first."""
        names = (self.folder / run / "checkpoints").glob("[0-9]*")
        return max((int(path.name) for path in names), default=0)

    def started(self, run: str, **options) -> subprocess.Popen:
        """A command that has written its first row of metrics."""
        before, process = self.reached(run), self.start(run, **options)
        wait(process, lambda: self.reached(run) > before)
        return process

    @functools.cached_property
    def whole(self) -> str:
        """The run that nobody touched."""
        self.end("whole")
        return "whole"

    @functools.cached_property
    def stopped(self) -> str:
        """A run that was stopped by SIGTERM in the midst of training."""
        process = self.started("stopped")
        wait(process, lambda: self.saved("stopped") > 0)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        return "stopped"

    def copy(self, run: str, name: str) -> pathlib.Path:
        """A copy of a run folder under another name."""
        return pathlib.Path(shutil.copytree(self.folder / run, self.folder / name))

    def bit_equal(self, run: str) -> bool:
        """Whether metrics, encoder and results are those of the run that nobody touched."""
        pair = [self.folder / name for name in (self.whole, run)]
        weights = [np.load(path / "encoder" / "weights.npz") for path in pair]
        results = [json.loads((path / "results.json").read_text()) for path in pair]
        return (
            self.rows(self.whole) == self.rows(run)
            and weights[0].files == weights[1].files
            and all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0].files)
            and all(results[0][key] == results[1][key] for key in ("rows", "figures"))
        )


def wait(process: subprocess.Popen, until: Callable[[], bool]) -> None:
    """Until something is so, or the process has ended."""
    while process.poll() is None and not until():
        time.sleep(0.005)


def rerun(bench: Bench) -> dict:
    bench.end("rerun", "--config.deterministic=True")
    return row(bench, "rerun", "the command twice, the second time with deterministic=True", 0)


def sigkill(bench: Bench, kills: int = KILLS, longest: float = 0.6) -> dict:
    """SIGKILL at random moments, each after the first row that the process adds."""
    draw, lost, moments = random.Random(0), [], []
    for _ in range(kills):
        process = bench.started("killed")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, longest))
        process.kill()
        process.communicate()
        moments.append(bench.reached("killed"))
        lost.append(moments[-1] - bench.saved("killed"))
    bench.end("killed")
    what = f"SIGKILL at {kills} random moments"
    return {**row(bench, "killed", what, max(lost)), "killed_at_step": moments}


def sigkill_anywhere(bench: Bench, kills: int = KILLS) -> dict:
    """SIGKILL at random moments of commands: while they start, train, save and evaluate.

    Of a run that ends before its moment, the rest of the kills are those of another run.
    """
    began = time.monotonic()
    bench.end("timed")
    seconds, draw, moments, equal = time.monotonic() - began, random.Random(1), [], []
    while len(moments) < kills:
        run, ended = f"anywhere_{len(equal)}", False
        while not ended and len(moments) < kills:
            process = bench.start(run)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=draw.uniform(0, seconds))
            ended = process.poll() is not None
            process.kill()
            process.communicate()
            if not ended:
                moments.append(bench.reached(run))
        bench.end(run)
        equal.append(bench.bit_equal(run))
    what = f"SIGKILL at {kills} random moments of commands"
    result = {"fault": what, "runs": len(equal), "bit_equal": all(equal)}
    return {**result, "killed_at_step": moments}


def sigterm(bench: Bench) -> dict:
    bench.copy(bench.stopped, "terminated")
    lost = bench.reached("terminated") - bench.saved("terminated")
    bench.end("terminated")
    return row(bench, "terminated", "SIGTERM in training", lost)


def _truncate(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damaged(bench: Bench, how: Callable[[pathlib.Path], None], what: str) -> dict:
    """The largest file of the newest checkpoint is spoilt."""
    name = f"damaged_{what.split()[0]}"
    folder = bench.copy(bench.stopped, name) / "checkpoints" / str(bench.saved(bench.stopped))
    files = [path for path in folder.rglob("*") if path.is_file()]
    reached = bench.reached(name)
    how(max(files, key=lambda path: path.stat().st_size))
    out, _ = bench.end(name)
    line = next(line for line in out.splitlines() if line.startswith("unreadable in"))
    used = line.rpartition("using checkpoint ")[2]
    lost = reached - (int(used) if used.isdigit() else 0)
    return row(bench, name, f"{what} file in the newest checkpoint", lost)


def deleted(bench: Bench) -> dict:
    """The newest checkpoint is gone altogether."""
    folder = bench.copy(bench.stopped, "deleted")
    reached = bench.reached("deleted")
    shutil.rmtree(folder / "checkpoints" / str(bench.saved("deleted")))
    lost = reached - bench.saved("deleted")
    bench.end("deleted")
    return row(bench, "deleted", "the newest checkpoint deleted", lost)


def full_disk(bench: Bench) -> dict:
    """A small file system that has room for two checkpoints and a part of the third."""
    last = bench.folder / bench.whole / "checkpoints" / str(bench.saved(bench.whole))
    size = sum(path.stat().st_size for path in last.rglob("*") if path.is_file())
    folder = bench.folder / "full"
    folder.mkdir()
    options = f"size={int(2.7 * size) + 2**18}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]).returncode:
        return {"fault": "full disk", "skipped": "no file system may be mounted here"}
    try:
        _, error = bench.end("full/run", code=2)
        reached, saved = bench.reached("full/run"), bench.saved("full/run")
        drafts = len(list((folder / "run" / "checkpoints").glob("draft-*")))
        subprocess.run(["mount", "-o", "remount,size=1g", folder], check=True)
        bench.end("full/run")
        found = row(bench, "full/run", "disk full while a checkpoint was written", reached - saved)
    finally:
        subprocess.run(["umount", folder], check=True)
    # Of the path, the part that is not of this machine.
    message = error.strip().splitlines()[-1].replace(f"{bench.folder}/", "")
    return {**found, "message": message, "drafts_left": drafts}


def time_limit(bench: Bench) -> dict:
    _, error = bench.end("limited", "--config.train.max_minutes=0.02", code=75)
    lost = bench.reached("limited") - bench.saved("limited")
    bench.end("limited")
    found = row(bench, "limited", "train.max_minutes=0.02, exit code 75", lost)
    return {**found, "message": error.strip().splitlines()[-1]}


def evaluation(bench: Bench, number: int = signal.SIGKILL) -> dict:
    """The process is killed when the first evaluations are finished."""
    name = f"evaluation_{int(number)}"
    folder = bench.copy(bench.whole, name)
    for made in ("results.json", "report.html"):
        (folder / made).unlink()
    process = bench.start(name)
    wait(process, lambda: len(list(folder.glob("evaluations/*.json"))) >= 2)
    process.send_signal(number)
    process.communicate()
    out, _ = bench.end(name)
    what = f"{signal.Signals(number).name} in the evaluation"
    kept = out.count("kept from before")
    return {**row(bench, name, what, 0), "exit": process.returncode, "evaluations_kept": kept}


def second_run(bench: Bench) -> dict:
    """Another command for a folder in use is refused; a killed holder leaves no lock."""
    process = bench.started("shared")
    _, error = bench.end("shared", code=2)
    process.kill()
    process.communicate()
    lost = bench.reached("shared") - bench.saved("shared")
    bench.end("shared")
    named = f"process {process.pid} on" in error
    return {**row(bench, "shared", "a second run in the folder", lost), "names_holder": named}


def devices(bench: Bench) -> dict:
    """One dispatch on 4 devices, one on 1, the rest on 4 again, against all on 1."""
    short = Bench(bench.folder / "devices", epochs=1.0, dispatch=8)
    soon = "--config.train.max_minutes=1e-9"  # stops, saved, after one dispatch
    short.end("moved", soon, devices=4, code=75)
    short.end("moved", soon, devices=1, code=75)
    short.end("moved", devices=4)
    pairs = zip(short.rows(short.whole), short.rows("moved"), strict=True)
    difference = max(
        abs(one[name] - other[name]) / abs(one[name])
        for one, other in pairs
        for name in one
        if name.startswith("loss/")
    )
    found = row(short, "moved", "saved on 4 devices, continued on 1, and on 4 again", 0)
    return {**found, "largest_relative_difference_of_losses": difference}


def row(bench: Bench, run: str, what: str, lost: int) -> dict:
    return {"fault": what, "steps_made_again": lost, "bit_equal": bench.bit_equal(run)}


FAULTS: dict[str, Callable[[Bench], dict]] = {
    "rerun": rerun,
    "sigkill": sigkill,
    "sigkill_anywhere": sigkill_anywhere,
    "sigterm": sigterm,
    "truncated": functools.partial(damaged, how=_truncate, what="truncated"),
    "flipped": functools.partial(damaged, how=_flip, what="flipped bit in a"),
    "unlinked": functools.partial(damaged, how=pathlib.Path.unlink, what="deleted"),
    "deleted": deleted,
    "full_disk": full_disk,
    "time_limit": time_limit,
    "evaluation": evaluation,
    "evaluation_sigterm": functools.partial(evaluation, number=signal.SIGTERM),
    "second_run": second_run,
    "devices": devices,
}


def run(only: str = "", results: pathlib.Path = table.RESULTS) -> dict:
    """Does the faults whose name contains `only`; writes and prints the rows."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pathlib.Path(folder))
        for name, fault in FAULTS.items():
            if only in name:
                rows.append(fault(bench))
                print(json.dumps(rows[-1]), flush=True)
    content = {
        "experiment": NAME,
        "device": f"CPU with {os.cpu_count()} cores",
        "commit": run_metadata.commit(),
        "config": "quickstart:smoke, 60 epochs of 22 steps, 3 a dispatch, a checkpoint every 21",
        "bit_equal": "metrics, encoder, rows and figures of the results are those of the run that "
        "nobody touched",
        "rows": rows,
    }
    if not only:
        (results / f"{NAME}.json").write_text(json.dumps(content, indent=1) + "\n")
    return content


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="the faults whose name contains this")
    run(parser.parse_args().only)
