"""Trainings in their own process, and those that tables share: evaluations alone differ."""

import json
import os
import signal
import threading
import time

import pytest

from dim_jax import commandline
from dim_jax.rundir import workdir
from experiments import trainings

COMMAND = ["main", "--config=configs/quickstart.py:smoke", "--config.seed=1"]


@pytest.fixture
def finished(monkeypatch, pytestconfig, tmp_path) -> workdir.Workdir:
    """The folder of a finished run of COMMAND, as far as it is copied."""
    monkeypatch.chdir(pytestconfig.rootpath)
    there = workdir.Workdir(tmp_path / "runs" / "a" / "seed1")
    there.claim(commandline.parse(COMMAND).config)
    for folder in (there.checkpoints, there.evaluations):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    for path in (there.data, there.metrics, there.results, there.report):
        path.write_text("{}")
    return there


def reuse(finished, folder, *more):
    return trainings.reuse([*COMMAND, *more], finished.path.parents[1], folder)


def test_other_evaluations_share_it_without_its_results(finished):
    folder = finished.path.parents[1] / "b" / "seed1"
    assert reuse(finished, folder, "--evals=svm") == finished.path
    copy = workdir.Workdir(folder)
    assert (copy.checkpoints / "file").read_text() == "checkpoints"
    assert copy.metrics.exists() and copy.evaluations.exists()
    assert not copy.results.exists() and not copy.report.exists()
    copy.check(commandline.parse([*COMMAND, "--evals=svm"]).config)
    assert reuse(finished, folder, "--evals=svm") is None  # it is there


@pytest.mark.parametrize("change", ["seed=2", "train.batch_size=32", "train.epochs=3"])
def test_other_trainings_do_not(finished, change):
    folder = finished.path.parents[1] / "b"
    assert reuse(finished, folder, f"--config.{change}") is None
    assert not folder.exists()


def test_unfinished_ones_do_not(finished):
    finished.results.unlink()
    assert reuse(finished, finished.path.parents[1] / "b", "--evals=svm") is None


def test_another_spelling_of_the_words_is_the_same_training(finished, tmp_path):
    there = workdir.Workdir(tmp_path / "runs" / "c")
    words = "configs/aae.py:budget=smoke"
    there.claim(commandline.parse(["main", f"--config={words}"]).config)
    there.results.write_text(json.dumps({}))
    for path in (there.data, there.metrics):
        path.write_text("{}")
    command = ["main", "--config=configs/aae.py:gaussian,data=cifar10,budget=smoke", "--evals=knn"]
    assert trainings.reuse(command, tmp_path / "runs", tmp_path / "d") == there.path


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Puts a shell script in the place of Python."""

    def put(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(trainings.sys, "executable", str(path))

    return put


def test_a_run_that_fails_ends_the_experiment_with_its_exit_status(program, tmp_path):
    program(f'echo "$@" > {tmp_path}/arguments; exit "${{4:-0}}"')
    trainings.run(["--config=a"])
    assert (tmp_path / "arguments").read_text() == "-m dim_jax.main --config=a\n"
    with pytest.raises(SystemExit, match=r"^3$"):
        trainings.run(["--config=a", "3"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_left_to_the_run(program, tmp_path, number):
    """It ends in its own time, here after half a second."""
    ready, before = tmp_path / "ready", signal.getsignal(number)
    program(f"trap 'sleep 0.5; exit 7' INT TERM; touch {ready}; while :; do sleep 0.05; done")

    def send():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    with pytest.raises(SystemExit, match=r"^7$"):
        trainings.run([])
    assert signal.getsignal(number) == before
