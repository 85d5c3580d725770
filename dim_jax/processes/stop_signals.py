"""Signals on which a run saves its progress and stops."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


def numbers() -> tuple[int, ...]:
    """SIGTERM, SIGINT and SIGHUP (a connection that was dropped), unless `nohup` ignores it."""
    hang_up = getattr(signal, "SIGHUP", None)  # not on Windows
    listens = hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *([hang_up] if listens else []))


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """A context manager around imports, in which Ctrl-C ends the process with one sentence.

    An exception would leave a module half imported, and some modules turn it into another error. A
    handler that is not Python's, and an ignored signal, stay as they are.
    """
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(number, frame) -> None:
    del frame
    with contextlib.suppress(OSError):
        os.write(2, b"dim_jax: stopped by Ctrl-C before training\n")
    os._exit(128 + number)
