"""Files by a pattern with braces and globs, or in a folder, and the splits in their names."""

import glob
import os
import pathlib
import re
from collections.abc import Sequence

from dim_jax import contracts, settings
from dim_jax.data import folder_layout, folder_listing

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
_GLOB = re.compile(r"[*?\[]")
_MOST = 100_000  # files of one pattern
_NUMBER = re.compile(r"[-_. ]*\d+(-of-\d+)?$")


def files(block: settings.Data, extensions: Sequence[str]) -> list[pathlib.Path]:
    """The files of the pattern after the prefix of `data.name`: in its order, globs sorted.

    Args:
      extensions: of the files that a glob or a folder takes: those with the first of these that
        occurs.

    Raises:
      UserError: no pattern, a file of a brace range that does not exist, or no file at all.
    """
    prefix, _, pattern = block.name.partition(":")
    path = os.path.expanduser(pattern)
    if not pattern:
        raise contracts.UserError(
            f"data.name is {prefix}: without a pattern: set it to {prefix}:PATTERN, such as "
            f"{prefix}:~/data/train-{{000..099}}{extensions[0]}"
        )
    folder_listing.check_name(pathlib.Path(path))
    if os.path.exists(path):
        taken, missing = _take(path, extensions), []
    else:
        expanded = _expand(path)
        taken = list(dict.fromkeys(file for one in expanded for file in _take(one, extensions)))
        missing = [one for one in expanded if not _GLOB.search(one) and not os.path.exists(one)]
    if taken and missing:
        raise contracts.UserError(
            f"{len(missing):,} of the files of {pattern} do not exist, such as {missing[0]}: "
            "restore them, or change the pattern"
        )
    if not taken:
        raise contracts.UserError(
            f"no {extensions[0]} file is there for {pattern}: {_contents(path)}; set data.name to "
            f"{prefix}:PATTERN with the path of a file or folder, or with globs (*) or braces "
            f"({{000..099}}, {{train,test}})"
        )
    for file in taken:
        folder_listing.check_name(file)
    return taken


def names(files: Sequence[pathlib.Path]) -> list[str]:
    """The paths of distinct files below the folder that they have in common."""
    folder = os.path.commonpath([file.absolute().parent for file in files])
    return [file.absolute().relative_to(folder).as_posix() for file in files]


def splits(files: Sequence[pathlib.Path], block: settings.Data) -> list[str] | None:
    """The name of the split of each file; None if no file is named by one and none is asked for.

    It is the usual word for a split in the file's name, or else in that of a folder around it below
    the one that all files are in; or else the file's name without its number.
    """
    usual, plain = [], []
    for name in names(files):
        path = pathlib.PurePosixPath(name)
        around = [folder.name for folder in path.parents]
        words = [folder_layout.split_word(one) for one in (path.stem, *around)]
        usual.append(next((word for word in words if word), None))
        plain.append(_NUMBER.sub("", path.stem) or around[0] or path.stem)
    if not any(usual) and not block.train_split and not block.test_split:
        return None
    return [word or name for word, name in zip(usual, plain, strict=True)]


def _take(path: str, extensions: Sequence[str]) -> list[pathlib.Path]:
    """The files of a path without braces."""
    if os.path.isdir(path):
        path = os.path.join(glob.escape(path), "**")
    elif os.path.exists(path):
        return [pathlib.Path(path)]
    if not _GLOB.search(path):
        return []
    kept = [pathlib.Path(file) for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
    return _with_extension(kept, extensions)


def _with_extension(files: list[pathlib.Path], extensions: Sequence[str]) -> list[pathlib.Path]:
    for extension in extensions:
        if matching := [file for file in files if file.name.lower().endswith(extension)]:
            return sorted(matching)
    return []


def _expand(pattern: str) -> list[str]:
    """The patterns without braces that one stands for, as of a shell."""
    match = _BRACES.search(pattern)
    if not match:
        return [pattern]
    before, after = pattern[: match.start()], pattern[match.end() :]
    expanded: dict[str, None] = {}
    for choice in _choices(match):
        expanded |= dict.fromkeys(_expand(before + choice + after))
        if len(expanded) > _MOST:
            raise _too_many(pattern)
    return [*expanded]


def _choices(match: re.Match) -> list[str]:
    first, last, words = match.groups()
    if words is not None:
        return words.split(",")
    low, high = int(first), int(last)
    if abs(high - low) > _MOST:
        raise _too_many(match.group())
    padded = any(len(end) > 1 and end[0] == "0" for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    numbers = range(low, high + 1) if low <= high else range(low, high - 1, -1)
    return [str(number).zfill(width) for number in numbers]


def _too_many(pattern: str) -> contracts.UserError:
    return contracts.UserError(
        f"{pattern} stands for more than {_MOST:,} files: use a narrower range, or a glob"
    )


def _contents(path: str) -> str:
    """A phrase with what is in the folder that a pattern starts with."""
    folder = re.split(r"[*?\[{]", path)[0]
    folder = folder if os.path.isdir(folder) else os.path.dirname(folder)
    shown = folder or "."
    if not os.path.isdir(shown):
        return f"the folder {shown} does not exist"
    try:
        inside = sorted(name for name in os.listdir(shown) if name[0] != ".")
    except OSError as error:
        return f"{shown} cannot be read ({error.strerror})"
    return f"{shown} holds {contracts.abridged(inside, 5) if inside else 'nothing'}"
