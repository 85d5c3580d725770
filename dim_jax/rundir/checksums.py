"""Sizes and SHA-256 digests of the files of a complete folder, in its `manifest.json`."""

import hashlib
import json
from pathlib import Path

_NAME = "manifest.json"


def write(folder: Path) -> None:
    """Writes `manifest.json`, which covers every other file below `folder`, as the last file."""
    (folder / _NAME).write_text(json.dumps(_digests(folder), indent=1) + "\n")


def fault(folder: Path) -> str | None:
    """The reason why a folder cannot be used; None when every file is as it was written."""
    try:
        expected = json.loads((folder / _NAME).read_text())
        actual = _digests(folder)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__} while reading it: {error}"
    if expected == actual:
        return None
    for name, (size, _) in actual.items():
        if isinstance(expected, dict) and expected.get(name) != actual[name]:
            return f"{name}, {size} bytes, is not as it was saved"
    return "files are missing"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(folder: Path) -> dict[str, list]:
    """[size in bytes, SHA-256] of every file below `folder` except the manifest."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {name: [path.stat().st_size, sha256(path)] for name, path in named if name != _NAME}
