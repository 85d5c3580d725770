"""Standard output and error of a command that goes on when nobody can read them."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO


class Guarded:
    """A text stream that loses what it cannot write, instead of raising an error.

    The reader may have gone away, the disk of a log file may be full, or the stream be closed:
    after such an error all that follows goes to the null device. Characters that the encoding lacks
    become "?".
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes the text; returns its length."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            return self.write(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError):
            self._discard()
        return len(text)

    def flush(self) -> None:
        """Flushes the text."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._discard()

    def _discard(self) -> None:
        # The buffer still holds text that Python would fail to write at its exit.
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """A context manager in which `sys.stdout` and `sys.stderr` are guarded, and flushed at its end.

    Descriptors that are closed are opened on the null device: else the next file that is opened
    would receive what libraries print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # receives the lowest free descriptor
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Guarded(stream or io.StringIO()) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
