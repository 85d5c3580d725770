"""Signals on which a run saves its progress and stops."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator


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

    def end(number: int) -> None:
        time.sleep(patience)
        _write(sentence)
        os._exit(128 + number)

    with contextlib.nullcontext() if patience is None else _listening(end):
        yield


@contextlib.contextmanager
def answered(sentence: str) -> Iterator[None]:
    """A context manager in which a sentence answers each signal at once.

    Whether a handler, which waits as `ending_process` says, then stops anything is not looked at.

    Args:
      sentence: printed after "dim_jax: ".
    """
    with _listening(lambda number: _write(sentence)):
        yield


@contextlib.contextmanager
def _listening(react: Callable[[int], None]) -> Iterator[None]:
    """Calls `react` with the number of each signal that has a handler, in a thread, without delay.

    Python lets the main thread alone listen; in another one nothing is called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    arguments = (reader, set(numbers()), react)
    threading.Thread(target=_listen, args=arguments, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)  # which ends the thread


def _listen(reader: int, listened: set[int], react: Callable[[int], None]) -> None:
    while number := int.from_bytes(os.read(reader, 1)):
        if number in listened:
            react(number)
    os.close(reader)


def _write(sentence: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"dim_jax: {sentence}\n".encode())


def _end(number, frame) -> None:
    del frame
    _write("stopped by Ctrl-C before training")
    os._exit(128 + number)
