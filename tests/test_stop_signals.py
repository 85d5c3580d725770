"""SIGHUP stops a run as SIGTERM does, unless it is ignored; Ctrl-C before training is said."""

import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import waiting

from dim_jax import experiment, main
from dim_jax.data import streaming
from dim_jax.processes import stop_signals
from dim_jax.training import stopping

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def handler():
    """Sets the handler of SIGHUP, for one test."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda to: signal.signal(signal.SIGHUP, to)
    signal.signal(signal.SIGHUP, before)


def test_a_hang_up_is_recorded_in_training_and_ends_the_evaluation(handler):
    handler(signal.SIG_DFL)
    with stopping.Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.number == signal.SIGHUP
    with pytest.raises(stopping.Stopped) as stopped, stopping.Ends(math.inf) as ends:
        os.kill(os.getpid(), signal.SIGHUP)
        ends.check()
    assert stopped.value.exit_code == 129
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_a_hang_up_that_nohup_ignores_stays_ignored(handler):
    handler(signal.SIG_IGN)
    assert stop_signals.numbers() == (signal.SIGTERM, signal.SIGINT)
    for context in (stopping.Signals(), stopping.Ends(math.inf)):
        with context as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.number == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_worker_processes_outlive_the_signals_on_which_the_run_saves(monkeypatch):
    ignored = []
    monkeypatch.setattr(streaming.signal, "signal", lambda number, to: ignored.append((number, to)))
    streaming._initialise_worker(0, 1)
    assert {*ignored} >= {(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGHUP)}


def test_ctrl_c_while_jax_is_imported_is_one_sentence():
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background job
        "from dim_jax.processes import stop_signals\n"
        "with stop_signals.ending_at_once():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "dim_jax: stopped by Ctrl-C before training\n"


def test_a_signal_ends_a_process_that_waits_for_the_device():
    code = (
        "from dim_jax.processes import stop_signals\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "with stop_signals.ending_process(0.1, 'stopped here'):\n"
        "    wait()\n"
    )
    assert waiting.end(code)[:2] == (143, "dim_jax: stopped here\n")


def test_a_signal_is_answered_while_the_process_waits_for_the_device():
    code = (
        "from dim_jax.processes import stop_signals\n"
        "write = stop_signals._write\n"
        "stop_signals._write = lambda sentence: (write(sentence), os._exit(3))\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "with stop_signals.answered('stopping'):\n"
        "    wait()\n"
    )
    assert waiting.end(code)[:2] == (3, "dim_jax: stopping\n")


def test_a_signal_after_the_context_ends_nothing():
    descriptors = len(os.listdir("/proc/self/fd"))
    with stop_signals.ending_process(0.0, "stopped"), stop_signals.answered("stopping"):
        pass
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    deadline = time.monotonic() + 10  # the thread closes the pipe
    while len(os.listdir("/proc/self/fd")) > descriptors and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_another_handler_of_ctrl_c_stays():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_signals.ending_at_once():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_before_training_is_one_sentence(monkeypatch, pytestconfig, tmp_path, capsys):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.chdir(pytestconfig.rootpath)
    sys.modules.pop("config_config", None)
    monkeypatch.setattr(experiment, "load_data", interrupt)
    command = ["main.py", "--config=configs/quickstart.py:smoke", f"--workdir={tmp_path}/run"]
    assert main.main(command) == 130
    error = capsys.readouterr().err
    assert error == "dim_jax: stopped by Ctrl-C; the same command starts again\n"
