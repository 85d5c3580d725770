"""Supervision of one process of a multi-process run, which explains how it ended.

When a process of a run is lost, JAX's coordination client ends the others by abort(), with a C++
stack trace that hides the reason, and Python cannot catch that. So the command runs itself again as
a child process, forwards signals, and replaces such an end by one sentence and an exit code.
"""

import ctypes
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from dim_jax.processes import distributed, standard_streams, stop_signals

_MARK = "DIM_JAX_SUPERVISED_BY"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_NOISE = re.compile(
    r"\[Gloo\]|.*Expected number of connected peer ranks"
)  # of Gloo, about connections
_FATAL = re.compile(r"[EF]\d{4} .* (coordination_service\w*|client)\.(cc|h):")
_UNHEALTHY = re.compile(r"stopped sending heartbeats\):\s*(\d+(?:[\s,]+\d+)*)")


def run(
    arguments: Sequence[str], job: distributed.Job, describe_continuation: Callable[[], str]
) -> int:
    """Runs `python -m dim_jax.main` with the arguments; returns the exit code of the command.

    Args:
      describe_continuation: returns the end of a sentence: how a run that lost a process continues.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "dim_jax.main", *arguments],
        env={**os.environ, _MARK: str(os.getpid())},
        stderr=subprocess.PIPE,
    )
    handlers = {
        number: signal.signal(number, lambda number, frame: child.send_signal(number))
        for number in stop_signals.numbers()
    }
    # newline="": progress bars end their lines with a carriage return, which is passed on.
    with io.TextIOWrapper(child.stderr, errors="replace", newline="") as lines:
        held = "".join(relay(lines, sys.stderr))
    code = child.wait()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return conclude(code if code >= 0 else 128 - code, held, job, describe_continuation)


def conclude(
    code: int, held: str, job: distributed.Job, describe_continuation: Callable[[], str]
) -> int:
    """Prints why the child ended if it did not itself; returns the exit code of the command."""
    printed = [line for line in held.splitlines(keepends=True) if line.startswith("dim_jax: ")]
    if code == distributed.LOST or printed:
        sys.stderr.write("".join(printed))  # the coordination client reports the same
        return distributed.LOST if code == 128 + signal.SIGABRT else code
    explanation = explain(held, job) if code == 128 + signal.SIGABRT else None
    if explanation is None:
        sys.stderr.write(held)
        return code
    sentence, code = explanation
    end = describe_continuation() if code == distributed.LOST else ""
    print(f"dim_jax: {sentence}{end}", file=sys.stderr)
    return code


def relay(lines: Iterable[str], to: TextIO) -> list[str]:
    """Forwards lines up to the first error of the coordination client; returns the rest."""
    held = []
    for line in lines:
        if held or _FATAL.match(line):
            held.append(line)
        elif not _NOISE.match(line):
            to.write(line)
            to.flush()
    return held


def explain(text: str, job: distributed.Job) -> tuple[str, int] | None:
    """An explanation of the coordination client's error messages, and the exit code.

    None when they are not about another process.
    """
    if "CoordinationService/RegisterTask" in text:
        who = f"no coordinator answers at {job.coordinator}" if job.process else "some did not come"
        return (
            f"the processes could not meet within {job.join_seconds} s: {who}; start all of them, "
            "with the same --coordinator and --processes, or raise --join_seconds"
        ), 2
    if "distributed service detected fatal errors" not in text:
        return None
    if match := _UNHEALTHY.search(text):
        who = ", ".join(re.findall(r"\d+", match[1]))
        return f"process {who} of this run was lost (no heartbeats)", distributed.LOST
    return "process 0 of this run, the coordinator, was lost", distributed.LOST


def is_child() -> bool:
    """Whether this process is supervised; if so, it is from now on killed with its supervisor.

    Only Python then writes to standard output: C++ code is redirected to standard error.
    """
    parent = os.environ.pop(_MARK, None)
    if parent is None:
        return False
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != int(parent):  # the supervisor ended before prctl was called
        os._exit(128 + signal.SIGKILL)
    sys.stdout.flush()
    descriptor = os.dup(sys.stdout.fileno())
    sys.stdout = standard_streams.Guarded(
        os.fdopen(descriptor, "w", buffering=1, encoding=sys.stdout.encoding)
    )
    os.dup2(sys.stderr.fileno(), 1)
    return True
