"""Paths that users give: of folders to read, and of files that a command writes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dim_jax import contracts


def expand(path: str | os.PathLike, what: str) -> Path:
    """The path with the home folder in the place of `~`.

    Args:
      what: names the path in messages, such as "--out".

    Raises:
      UserError: an empty path, or the home of a user whom this machine does not have.
    """
    if not os.fspath(path):
        raise contracts.UserError(f"{what} is an empty path; give the path of a file or folder")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise contracts.UserError(
            f"{what} is {path} and this machine has no such user; write out the path"
        ) from error


def output(option: str, text: str, ending: str, mark: str) -> Path:
    """The file that an option names, which does not exist or is one that the command wrote.

    Makes its folder, and follows links.

    Args:
      ending: of the file's name, such as ".html".
      mark: what the command writes within the first 400 bytes of its files.

    Raises:
      UserError: another ending, a file of others, or a folder that cannot be written to.
    """
    path = Path(os.path.realpath(expand(text, option)))
    if path.suffix.lower() != ending:
        raise contracts.UserError(f"{option} is {text}; give a file that ends in {ending}")
    with explained(path, option):
        is_other = path.exists() and not (path.is_file() and _starts_with(path, mark))
        path.parent.mkdir(parents=True, exist_ok=True)
    if is_other:
        raise contracts.UserError(
            f"{text} exists and is no file that this command wrote; remove it, or give another "
            f"{option}"
        )
    if not os.access(path.parent, os.W_OK):
        raise contracts.UserError(
            f"cannot write {path} (the folder is not writable); give another {option}"
        )
    return path


@contextlib.contextmanager
def explained(path: Path, option: str) -> Iterator[None]:
    """A context manager in which an error of the system becomes a UserError about the option."""
    try:
        yield
    except OSError as error:
        raise contracts.UserError(
            f"cannot write {path} ({error.strerror}); give another {option}"
        ) from error


def _starts_with(path: Path, mark: str) -> bool:
    with path.open("rb") as file:
        start = file.read(400)
    return not start or mark.encode() in start
