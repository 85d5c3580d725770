"""Writing that may find no room: one sentence instead of a traceback."""

import contextlib
import errno
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dim_jax import contracts

# No space, no quota, and the limit of a file's size (`ulimit -f`).
_NO_ROOM = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}
# Tensorstore, below orbax, raises a ValueError that has the code in its text only.
_CODE_IN_TEXT = re.compile(r"\[os_error_code='(\d+)'\]")


@contextlib.contextmanager
def writing(
    what: str,
    where: str | os.PathLike,
    clean_up: Callable[[], object] | None = None,
    advice: str = "",
) -> Iterator[None]:
    """Around code that writes `what` to the path `where`.

    Whatever fails in it, `clean_up` is called first, so that half-written files give their space
    back, also to those who must write something to free more.

    Raises: contracts.UserError when there was no room, with `advice` about what is kept; any other
        exception as it came.
    """
    try:
        yield
    except BaseException as error:
        if clean_up is not None:
            clean_up()
        code = _no_room(error)
        if code is None or isinstance(error, contracts.UserError):
            raise
        kept = f"{advice}; " if advice else ""
        raise contracts.UserError(
            f"{what} could not be written to {where}: {os.strerror(code)}{_free(Path(where))}; "
            f"{kept}{_NO_ROOM[code]} and run the same command again"
        ) from error


def remove(folder: Path, seconds: float = 5.0) -> None:
    """Removes a folder that threads of a failed writer may still write to: again until it stays
    away, for so many seconds at most."""
    end, absent = time.monotonic() + seconds, 0
    while absent < 3 and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        absent = 0 if folder.exists() else absent + 1
        time.sleep(0.1)


def check_room(what: str, where: str | os.PathLike, size: int, advice: str) -> None:
    """Raises contracts.UserError if `size` bytes cannot fit: before writing is the better time."""
    usage = _usage(Path(where))
    # File systems that do not count say 0 of 0.
    if usage is not None and usage.total and usage.free < size:
        raise contracts.UserError(
            f"{what} needs {size / 2**20:,.1f} MiB in {where} and {usage.free / 2**20:,.1f} MiB "
            f"are free; {advice}; free space and run the same command again"
        )


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Around a save by orbax: if it fails, its threads print no tracebacks of their own.

    They may come late, so after a failure they stay silent.
    """
    logger, hook = logging.getLogger("asyncio"), sys.unraisablehook
    level = logger.level

    def without_closed_loops(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = without_closed_loops
    yield
    logger.setLevel(level)
    sys.unraisablehook = hook


def _no_room(error: BaseException | None) -> int | None:
    """The error number if want of room is the cause, at whatever depth, else None."""
    while error is not None:
        codes = [error.errno] if isinstance(error, OSError) else []
        codes += map(int, _CODE_IN_TEXT.findall(str(error)))
        for code in codes:
            if code in _NO_ROOM:
                return code
        error = error.__cause__ or error.__context__
    return None


def _free(path: Path) -> str:
    """Such as " (3.2 MiB free)", of the file system that the path is, or would be, on."""
    usage = _usage(path)
    return f" ({usage.free / 2**20:,.1f} MiB free)" if usage is not None else ""


def _usage(path: Path):
    for folder in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder)
    return None
