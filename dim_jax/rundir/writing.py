"""Atomic replacement of files, and a full disk as one sentence instead of a traceback."""

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

# No space, no quota, and the limit on a file's size (`ulimit -f`).
_REMEDIES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}
# Tensorstore, which orbax uses, raises a ValueError that has the code only in its text.
_CODE_IN_TEXT = re.compile(r"\[os_error_code='(\d+)'\]")


@contextlib.contextmanager
def explain_full_disk(
    what: str,
    where: str | os.PathLike,
    clean_up: Callable[[], object] | None = None,
    advice: str = "",
) -> Iterator[None]:
    """A context manager around code that writes `what` to the path `where`.

    On any exception `clean_up` is called first, so that half-written files release their space,
    also for those who must write something to free more.

    Raises: contracts.UserError when the disk is full, with `advice` on what is kept; any other
        exception unchanged.
    """
    try:
        yield
    except BaseException as error:
        if clean_up is not None:
            clean_up()
        code = _full_disk_code(error)
        if code is None or isinstance(error, contracts.UserError):
            raise
        advice = f"{advice}; " if advice else ""
        raise contracts.UserError(
            f"{what} could not be written to {where}: {os.strerror(code)}"
            f"{_free_space(Path(where))}; {advice}{_REMEDIES[code]} and run the same command again"
        ) from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replaces a file atomically: readers, also after a crash, see the old or the new one.

    `write(draft)` writes a draft beside it, which is synced to disk and then renamed to `path`. On
    any exception the draft is removed and the old file stays.
    """
    draft = path.with_name(path.name + ".new")
    try:
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Replaces a text file atomically, see `replace_file`; UTF-8, with "\\n" as line ends."""
    replace_file(path, lambda draft: draft.write_text(text, encoding="utf-8", newline="\n"))


def remove(folder: Path, seconds: float = 5.0) -> None:
    """Removes a folder to which threads of a failed writer may still be writing.

    Repeats until the folder stays away, for at most this number of seconds.
    """
    end, absent = time.monotonic() + seconds, 0
    while absent < 3 and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        absent = 0 if folder.exists() else absent + 1
        time.sleep(0.1)


def check_room(what: str, where: str | os.PathLike, size: int, advice: str) -> None:
    """Raises contracts.UserError, before anything is written, if `size` bytes cannot fit."""
    usage = _usage(Path(where))
    # File systems without accounting report 0 of 0.
    if usage is not None and usage.total and usage.free < size:
        raise contracts.UserError(
            f"{what} needs {size / 2**20:,.1f} MiB in {where} and {usage.free / 2**20:,.1f} MiB "
            f"are free; {advice}; free space and run the same command again"
        )


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """A context manager around a save by orbax: if it fails, its threads print no tracebacks.

    The tracebacks may come late, so they stay silenced after a failure.
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


def _sync_folder(folder: Path) -> None:
    """Syncs a renamed entry to disk, where the file system can sync folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _full_disk_code(error: BaseException | None) -> int | None:
    """The error number if a full disk is the cause, at any depth of the chain, else None."""
    while error is not None:
        codes = [error.errno] if isinstance(error, OSError) else []
        codes += map(int, _CODE_IN_TEXT.findall(str(error)))
        for code in codes:
            if code in _REMEDIES:
                return code
        error = error.__cause__ or error.__context__
    return None


def _free_space(path: Path) -> str:
    """Such as " (3.2 MiB free)", of the file system that holds, or would hold, the path."""
    usage = _usage(path)
    return f" ({usage.free / 2**20:,.1f} MiB free)" if usage is not None else ""


def _usage(path: Path):
    for folder in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder)
    return None
