"""At most one process writes a run folder."""

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
    """A lock on a file, which says who holds it: process, host and since when.

    The kernel releases it when the process ends, however it ends, so no lock is left behind; the
    file stays. Where the file system has no locks (some network ones), or the system has none,
    one line to `log` says so and the run goes on unprotected.
    """

    def __init__(self, path: Path, log: Callable[[str], Any], *, enabled: bool = True):
        """`enabled` is True on the one process of a job that writes."""
        self._path = path
        self._log = log
        self._enabled = enabled
        self._file = None

    def take(self) -> None:
        """Takes the lock, creating the folder; does nothing when this process has it.

        Raises: contracts.UserError, naming the holder, when another process has it.
        """
        if not self._enabled or self._file is not None:
            return
        with writing.writing("the lock of the run folder", self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
        fault = self._try()
        if fault in _HELD:
            holder = self._holder()
            self.release()
            raise contracts.UserError(
                f"the workdir {self._path.parent} is in use by {holder}; wait until that run "
                "ends, or use another --workdir"
            )
        if fault:
            self._log(
                f"{self._path.parent} cannot be locked ({os.strerror(fault)}): see to it that no "
                "other run uses this workdir"
            )
        self._sign()

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exception) -> None:
        self.release()

    def _try(self) -> int:
        """0 when the lock is ours, else the error number."""
        if fcntl is None:
            return errno.ENOTSUP
        try:
            # flock and not lockf: closing some other handle of the file must not release it.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno
        return 0

    def _holder(self) -> str:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return f"process {found['pid']} on {found['host']} since {found['since']}"
        except (OSError, ValueError, TypeError, KeyError):
            return "another process"

    def _sign(self) -> None:
        found = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        # A full disk must not keep a finished run from being looked at.
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(json.dumps(found) + "\n")
            self._file.flush()
