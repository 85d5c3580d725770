"""Atomic replacement of files, and failed writes as one sentence instead of a traceback."""

import contextlib
import errno
import json
import logging
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dim_jax import contracts

# No space, no quota, and the limit on a file's size (`ulimit -f`).
_FULL_DISK = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f)",
}
_REMEDIES = {
    **_FULL_DISK,
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    **dict.fromkeys((errno.EEXIST, errno.EISDIR, errno.ENOTDIR), "move away what is in the way"),
    errno.ENAMETOOLONG: "shorten the name",
}
SAVED = "the checkpoints stay as they are"  # whatever else could not be written
# Tensorstore, which orbax uses, raises a ValueError that has the code only in its text.
_CODE_IN_TEXT = re.compile(r"\[os_error_code='(\d+)'\]")


@contextlib.contextmanager
def explain_failed_write(
    what: str,
    where: str | os.PathLike,
    clean_up: Callable[[], object] | None = None,
    advice: str = "",
    *,
    only_there: bool = False,
) -> Iterator[None]:
    """A context manager around code that writes `what` to the path `where`.

    On any exception `clean_up` is called first, so that half-written files release their space,
    also for those who must write something to free more.

    Args:
      advice: on what is kept.
      only_there: for code that does more than this: unless the disk is full, errors count only if
        they name a path at or below `where`.

    Raises: contracts.UserError for an error of the operating system, such as a full disk or a
        denied permission; any other exception unchanged.
    """
    try:
        yield
    except BaseException as error:
        if clean_up is not None:
            clean_up()
        cause = _find_cause(error, Path(where).absolute() if only_there else None)
        if cause is None or isinstance(error, contracts.UserError):
            raise
        code, path = cause
        detail = _free_space(Path(where)) if code in _FULL_DISK else ""
        if not detail and path not in (None, os.fspath(where)):
            detail = f" ({path})"
        advice = f"{advice}; " if advice else ""
        other = "" if code in _FULL_DISK else ", or use another --workdir"
        raise contracts.UserError(
            f"{what} could not be written to {where}: {os.strerror(code)}{detail}; {advice}"
            f"{_REMEDIES.get(code, 'remove the cause')} and run the same command again{other}"
        ) from error


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replaces a file atomically: readers, also after a crash, see the old or the new one.

    `write(draft)` writes a draft beside it, which is synced to disk and then renamed to `path`. On
    any exception the draft is removed and the old file stays.
    """
    draft = draft_of(path)
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


def draft_of(path: Path) -> Path:
    """The name under which a file or folder is written, which a killed process may leave.

    No file of a user has it, so that a draft that is there can be replaced.
    """
    return path.with_name(f".{path.name}.dim_jax-draft")


def replace_text(path: Path, text: str) -> None:
    """Replaces a text file atomically, see `replace_file`; UTF-8, with "\\n" as line ends.

    What UTF-8 cannot hold, such as file names in another encoding, becomes "?".
    """
    data = text.encode("utf-8", "replace")
    replace_file(path, lambda draft: draft.write_bytes(data))


def replace_json(path: Path, content: Any) -> None:
    """Replaces a JSON file atomically, with null in the place of numbers that are not finite."""
    replace_text(path, json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


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


def _finite(value: Any) -> Any:
    """The value with None in the place of numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sync_folder(folder: Path) -> None:
    """Syncs a renamed entry to disk, where the file system can sync folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _find_cause(error: BaseException | None, folder: Path | None) -> tuple[int, str | None] | None:
    """(error number, path or None) of the system's error at any depth of the chain, or None.

    Errors of a full disk come first; of the others those count that name a path in `folder`, if
    one is given.
    """
    causes: list[tuple[int, str | None]] = []
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            path = error.filename
            causes.append(
                (error.errno, os.fsdecode(path) if isinstance(path, str | bytes) else None)
            )
        causes += [(int(code), None) for code in _CODE_IN_TEXT.findall(str(error))]
        error = error.__cause__ or error.__context__
    in_folder = [
        cause
        for cause in causes
        if folder is None or (cause[1] and Path(cause[1]).absolute().is_relative_to(folder))
    ]
    full_disk = [cause for cause in causes if cause[0] in _FULL_DISK]
    return next(iter(full_disk + in_folder), None)


def _free_space(path: Path) -> str:
    """Such as " (3.2 MiB free)", of the file system that holds, or would hold, the path."""
    usage = _usage(path)
    return f" ({usage.free / 2**20:,.1f} MiB free)" if usage is not None else ""


def _usage(path: Path):
    for folder in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(folder)
    return None
