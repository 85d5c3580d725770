"""The lock of a run folder: at most one process writes to it."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dim_jax import contracts
from dim_jax.rundir import writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class Lock:
    """A lock on a file, which names its holder: process, host and start time.

    The kernel releases it when the process ends, however it ends, so no stale lock remains; the
    file stays. Where the file system (some network ones) or the operating system does not support
    locks, one line to `log` says so and the run continues unprotected.
    """

    def __init__(self, path: Path, log: Callable[[str], Any], *, enabled: bool = True):
        """`enabled` is True only on the process of a job that writes."""
        self._path = path
        self._log = log
        self._enabled = enabled
        self._file = None

    def take(self, *, optional: bool = False) -> None:
        """Takes the lock and creates its folder; does nothing when this process holds it already.

        Args:
          optional: continue without the lock where its file cannot be opened, as on storage that
            is read-only.

        Raises: contracts.UserError, naming the holder, when another process holds it.
        """
        if not self._enabled or self._file is not None:
            return
        try:
            with writing.explain_failed_write("the lock of the run folder", self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a+", encoding="utf-8")
        except contracts.UserError:
            if optional:
                return
            raise
        error_number = self._try_lock()
        if error_number in _HELD:
            holder = self._describe_holder()
            self.release()
            raise contracts.UserError(
                f"the workdir {self._path.parent} is in use by {holder}; wait until that run "
                "ends, or use another --workdir"
            )
        if error_number:
            self._log(
                f"{self._path.parent} cannot be locked ({os.strerror(error_number)}): make sure "
                "that no other run uses this workdir"
            )
        self._write_holder()

    def release(self) -> None:
        """Releases the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exception) -> None:
        self.release()

    def _try_lock(self) -> int:
        """0 when this process now holds the lock, else the error number."""
        if fcntl is None:
            return errno.ENOTSUP
        try:
            # flock and not lockf: closing another handle of the file must not release it.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno
        return 0

    def _describe_holder(self) -> str:
        return _read_holder(self._path) or "another process"

    def _write_holder(self) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        # A finished run can be looked at even when the disk is full.
        with contextlib.suppress(OSError):
            if not is_lock(self._path):
                return  # a file of the user's, whose content stays
            self._file.truncate(0)
            self._file.write(json.dumps(holder) + "\n")
            self._file.flush()


def is_lock(path: Path) -> bool:
    """Whether the content of a file is that of a lock, or empty."""
    return path.stat().st_size == 0 or _read_holder(path) is not None


def _read_holder(path: Path) -> str | None:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, TypeError, KeyError):
        return None
