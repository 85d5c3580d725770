"""Runs of two processes by the command line: equal to one process, and safe when one is lost."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import dim_jax
from dim_jax import data, report
from dim_jax.processes import distributed

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parent.parent
# The published rate, a third of it: Adam divides the rounding of tiny gradients by itself, and a
# unit at the threshold of its ReLU may round either way. 20 steps at 1e-3 drift apart by 2e-3.
CONFIG = """
from configs import common, quickstart


def get_config():
    config = quickstart.get_config("smoke")
    config.method = config.method.method  # without the probe and the prior: half the compilation
    config.method.gamma = 0.0
    for key in list(config.evals):
        if key != "uniformity":
            del config.evals[key]
    config.train.update(dict(epochs=20 / 22, steps_per_dispatch=1, save_epochs=4 / 22))
    config.compute_dtype = "float32"
    config.players = dict(encoder=common.adam(3e-5))
    return config
"""
# The same command starts many times, and most programs compile in less than the usual limit.
ALL_COMPILED = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.0"}
SECONDS = 400  # for one command, on a machine that does other things too


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("two") / "configs"
    folder.mkdir()
    (folder / "short.py").write_text(CONFIG)
    return folder / "short.py"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


class Run:
    """A command with `count` processes, started; `finish()` fills codes, outputs and errors."""

    def __init__(self, config, workdir, devices, count=1, each=lambda process: []):
        self.workdir = workdir
        several = [f"--coordinator=localhost:{free_port()}", f"--processes={count}"]
        self.processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "dim_jax.main", f"--config={config}"),
                    *(f"--workdir={workdir}", *each(process)),
                    *([*several, f"--process={process}"] if count > 1 else []),
                ],
                cwd=ROOT,
                env={**os.environ, **ALL_COMPILED, "JAX_NUM_CPU_DEVICES": str(devices)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for process in range(count)
        ]

    def rows(self) -> list[dict]:
        return report.read_rows(self.workdir / "metrics.jsonl")

    def send(self, number: int, process: int, rows: int) -> float:
        """Sends a signal to one process when so many rows are written; returns when."""
        end = time.monotonic() + SECONDS
        while len(self.rows()) < rows and time.monotonic() < end:
            assert all(each.poll() is None for each in self.processes), self.finish().errors
            time.sleep(0.01)
        self.processes[process].send_signal(number)
        return time.monotonic()

    def finish(self) -> "Run":
        try:
            said = [process.communicate(timeout=SECONDS) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        self.outputs, self.errors = zip(*said, strict=True)
        self.codes = [process.returncode for process in self.processes]
        return self


def pair(config, workdir, **options) -> Run:
    return Run(config, workdir, devices=2, count=2, **options)


def losses(run) -> np.ndarray:
    return np.array([row["loss/encoder"] for row in run.rows()])


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> dict[str, Run]:
    """Nobody touches these: 1 device, 8 devices, 2 processes with 2 devices each."""
    folder = tmp_path_factory.mktemp("whole")
    one = Run(config, folder / "1", 1).finish()  # first: the others use what it compiled
    eight, two = Run(config, folder / "8", 8), pair(config, folder / "2x2")
    return {"1": one, "8": eight.finish(), "2x2": two.finish()}


@pytest.fixture(scope="module")
def touched(config, whole, tmp_path_factory) -> dict[str, Run]:
    """One workdir, the same command four times: process 1 killed, a signal to it, process 0
    killed, and to the end.
    """
    folder, runs = tmp_path_factory.mktemp("touched") / "run", {}
    events = {
        "1 killed": (signal.SIGKILL, 1, 5),
        "1 signalled": (signal.SIGTERM, 1, 8),
        "0 killed": (signal.SIGKILL, 0, 13),
    }
    for name, event in events.items():
        runs[name] = pair(config, folder)
        sent = runs[name].send(*event)
        runs[name].finish().seconds = time.monotonic() - sent
        runs[name].saved = max(int(path.name) for path in (folder / "checkpoints").glob("[0-9]*"))
    runs["end"] = pair(config, folder).finish()
    return runs


@pytest.mark.parametrize("other", ["8", "2x2"])
def test_losses_and_features_equal_those_of_one_device(whole, other):
    for run in whole.values():
        assert set(run.codes) == {0}, run.errors
        assert not any(run.errors)
    assert losses(whole["1"]).shape == (20,)
    assert losses(whole["1"])[0] - losses(whole["1"])[-1] > 0.1  # it does learn
    np.testing.assert_allclose(losses(whole[other]), losses(whole["1"]), rtol=0, atol=1e-5)
    images = data.load("digits", image_size=32).splits["test"].images[:64]
    features, expected = (
        dim_jax.load_encoder(whole[name].workdir).encode(images) for name in (other, "1")
    )
    for tap in expected:
        np.testing.assert_allclose(features[tap], expected[tap], atol=1e-4, err_msg=tap)


def test_the_first_process_alone_writes(whole):
    run = whole["2x2"]
    assert "on 4 x CPU" in run.outputs[0] and "in 2 processes (16 each)" in run.outputs[0]
    assert run.outputs[1] == "" and "Gloo" not in run.outputs[0]
    assert [row["step"] for row in run.rows()] == [*range(1, 21)]
    assert len([*(run.workdir / "tensorboard").iterdir()]) == 1
    facts = json.loads((run.workdir / "results.json").read_text())["run"]
    assert (facts["processes"], facts["devices"]) == (2, 4)


@pytest.mark.parametrize(
    ("event", "survivor", "lost"),
    [("1 killed", 0, "process 1 of this run"), ("0 killed", 1, "process 0 of this run")],
)
def test_a_lost_process_ends_the_other_with_one_sentence(touched, event, survivor, lost):
    run = touched[event]
    assert run.codes[1 - survivor] == -signal.SIGKILL
    assert run.codes[survivor] == distributed.LOST, run.errors[survivor]
    assert run.seconds < 60
    lines = run.errors[survivor].strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"dim_jax: {lost}"), lines
    assert lines[0].endswith(
        f"the same command in all processes continues from checkpoint {run.saved}"
    )


def test_a_signal_to_one_process_stops_all_at_the_same_step(touched):
    run = touched["1 signalled"]
    assert run.codes == [143, 143]
    steps = [re.search(r"stopped at step (\d+), saved", error)[1] for error in run.errors]
    assert steps[0] == steps[1] and 8 <= int(steps[0]) < 20
    assert run.saved == int(steps[0])


def test_reruns_end_where_an_untouched_run_ends(touched, whole):
    assert touched["end"].codes == [0, 0]
    np.testing.assert_array_equal(losses(touched["end"]), losses(whole["2x2"]))
    weights = [
        np.load(run.workdir / "encoder" / "weights.npz") for run in (touched["end"], whole["2x2"])
    ]
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])


def test_processes_of_different_commands_refuse_to_run_together(config, tmp_path):
    def each(process):
        return [f"--config.seed={process}"]

    run = pair(config, tmp_path / "run", each=each).finish()
    assert run.codes == [2, 2]
    for error in run.errors:
        assert "the config of process" in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run" / "checkpoints").exists()
