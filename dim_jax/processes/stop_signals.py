"""Signals on which a run saves its progress and stops."""

import contextlib
import os
import signal
import threading
import time
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


@contextlib.contextmanager
def ending_process(patience: float | None, sentence: str) -> Iterator[None]:
    """A context manager in which a signal ends the process, with one sentence and 128 + n.

    Python handles a signal only between two of its operations, so not while it waits for minutes
    of work that is queued on the device. A thread that receives the signal too ends the process
    after `patience` seconds, unless it has ended; also after the context, which a signal left.

    Args:
      patience: None does nothing, for a process in which other things run.
      sentence: printed after "dim_jax: ".
    """
    if patience is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    arguments = (reader, set(numbers()), patience, sentence)
    threading.Thread(target=_end_after, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)  # which ends the thread


def _end_after(reader: int, listened: set[int], patience: float, sentence: str) -> None:
    while number := int.from_bytes(os.read(reader, 1)):  # of each signal that has a handler
        if number in listened:
            time.sleep(patience)
            with contextlib.suppress(OSError):
                os.write(2, f"dim_jax: {sentence}\n".encode())
            os._exit(128 + number)
    os.close(reader)


def _end(number, frame) -> None:
    del frame
    with contextlib.suppress(OSError):
        os.write(2, b"dim_jax: stopped by Ctrl-C before training\n")
    os._exit(128 + number)
