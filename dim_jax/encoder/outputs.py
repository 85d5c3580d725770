"""The file that the command writes: one that it may replace, complete or not at all."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dim_jax import contracts
from dim_jax.rundir import paths, writing


def check(
    text: str,
    formats: Mapping[str, Callable[[Path], bool]],
    what: str,
    beside: Mapping[str, Callable[[Path], Path] | None],
) -> Path:
    """The file to write, which does not exist or is one that this command wrote; links followed.

    Args:
      formats: by the ending of the file, whether an existing one was written by this command.
      what: such as "features".
      beside: by the ending, the second file of a format that has one.

    Raises:
      UserError: something else is there, or in the place of a second file; the ending is not one of
        `formats`; or the file cannot be written.
    """
    path = Path(os.path.realpath(paths.expand(text, "--out")))
    holds = formats.get(path.suffix.lower())
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and not (path.stat().st_size == 0 or (holds and holds(path))):
            raise contracts.UserError(
                f"{text} exists and holds no {what} that this command wrote; remove it, or give "
                "another --out"
            )
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:
        raise unwritable(path, error) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        are = "features are a file" if what == "features" else f"{what} is a file"
        raise contracts.UserError(f"{text} is {kind} and {are}; give another --out")
    if holds is None:
        raise contracts.UserError(
            f"--out is {text}; give a file for {what} that ends in {' or '.join(formats)}"
        )
    second = beside.get(path.suffix.lower())
    if second and not path.exists() and (other := second(path)).exists():
        raise contracts.UserError(
            f"{other} exists and would be replaced; remove it, or give another --out"
        )
    return path


def write(path: Path, save: Callable[[Path], Any]) -> None:
    """Replaces the file by the draft that `save(draft)` writes beside it, once that is complete.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.replace_file(path, save)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> contracts.UserError:
    """The refusal of a file that cannot be written."""
    return contracts.UserError(f"cannot write {path} ({error.strerror}); give another --out")


def missing(package: str, extra: str, purpose: str) -> contracts.UserError:
    """The refusal of what an optional package does."""
    return contracts.UserError(
        f"{purpose} needs {package}, which is not installed: install it with "
        f"`python -m pip install 'dim-jax[{extra}]'`"
    )
