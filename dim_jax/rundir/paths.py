"""Paths that users give."""

import os
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
