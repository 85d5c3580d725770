"""Processes that wait where Python runs no handlers, and are asked to end."""

import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
# A lock of C that is taken twice: Python runs no handler while it waits.
WAIT = """
import ctypes, math, os, signal, sys
def wait():
    print("waiting", flush=True)
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    for _ in range(2):
        library.pthread_mutex_lock(mutex)
"""


def end(code: str, arguments=(), **options) -> tuple[int, str, float]:
    """Runs Python code up to its wait, and sends SIGTERM: (exit code, standard error, seconds)."""
    command = [sys.executable, "-c", WAIT + code, *arguments]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(command, cwd=ROOT, **pipes, **options) as process:
        assert any(line == "waiting\n" for line in process.stdout), process.stderr.read()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            error = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    return process.returncode, error, time.monotonic() - began
