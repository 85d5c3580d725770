"""Two runs never write one folder, and a dead one never keeps it."""

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dim_jax import contracts
from dim_jax.rundir import lock

REPOSITORY = Path(__file__).parents[1]
HOLD = """
import pathlib, sys, time
from dim_jax.rundir import lock
held = lock.Lock(pathlib.Path(sys.argv[1]), print)
held.take()
print("held", flush=True)
time.sleep(60)
"""


def test_the_second_is_refused_and_told_who_holds_it(tmp_path):
    path = tmp_path / "run" / "lock"
    with lock.Lock(path, pytest.fail) as first, lock.Lock(path, pytest.fail) as second:
        first.take()
        first.take()
        with pytest.raises(contracts.UserError) as caught:
            second.take()
        message = str(caught.value)
        assert (
            f"{path.parent} is in use by process {os.getpid()} on {socket.gethostname()}" in message
        )
        assert "--workdir" in message and "\n" not in message
        first.release()
        second.take()


def test_a_killed_holder_leaves_no_lock(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with lock.Lock(tmp_path / "lock", pytest.fail) as other:
            with pytest.raises(contracts.UserError, match=f"by process {holder.pid} on"):
                other.take()
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            other.take()


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    lines = []
    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    for fcntl in (lock.fcntl, None):
        monkeypatch.setattr(lock, "fcntl", fcntl)
        with lock.Lock(tmp_path / "lock", lines.append) as held:
            held.take()
    assert len(lines) == 2
    assert all(f"{tmp_path} cannot be locked" in line for line in lines)


def test_processes_that_do_not_write_do_not_lock(tmp_path):
    with lock.Lock(tmp_path / "run" / "lock", pytest.fail, enabled=False) as held:
        held.take()
    assert not (tmp_path / "run").exists()


def test_a_file_of_the_users_is_locked_and_stays(tmp_path):
    path = tmp_path / "lock"
    path.write_text("the key is under the mat")
    with lock.Lock(path, pytest.fail) as held:
        held.take()
        with pytest.raises(contracts.UserError, match="in use by another process"):
            lock.Lock(path, pytest.fail).take()
    assert path.read_text() == "the key is under the mat"


def test_a_lock_that_cannot_be_opened_is_one_sentence_or_left_out(tmp_path):
    (tmp_path / "lock").mkdir()
    held = lock.Lock(tmp_path / "lock", pytest.fail)
    with pytest.raises(contracts.UserError, match="lock of the run folder could not be written"):
        held.take()
    held.take(optional=True)
    held.release()
