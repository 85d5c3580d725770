"""Index files, made once for a large data file and kept beside it or in the user's cache folder."""

import contextlib
import hashlib
import os
import pathlib
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

import numpy as np

from dim_jax.processes import user_cache

FORMAT = 1
_ENDS, _BLOCK, _BLOCKS = 2**16, 2**12, 64  # bytes of a file that the checksum covers


def checksum(path: pathlib.Path) -> int:
    """A checksum of a file's size, its two ends, and 64 blocks in between; fast for any size."""
    size = path.stat().st_size
    starts = {0: _ENDS, max(0, size - _ENDS): _ENDS}
    for start in np.linspace(0, size, _BLOCKS, dtype=np.int64).tolist():
        starts.setdefault(start, _BLOCK)
    value = zlib.crc32(str(size).encode())
    with path.open("rb", buffering=0) as file:
        for start, count in sorted(starts.items()):
            file.seek(start)
            value = zlib.crc32(file.read(count), value)
    return value


def load(
    path: pathlib.Path, known: int, suffix: str = ".index.npz"
) -> dict[str, np.ndarray] | None:
    """The arrays of a data file's index; None if there is none that fits the file.

    An index fits if it is not older than the file, and was made of one with the same checksum.

    Args:
      known: the `checksum` of the file.
      suffix: of the name of the index, after that of the file.
    """
    for place in companions(path, suffix):
        try:
            if place.stat().st_mtime_ns < path.stat().st_mtime_ns:
                continue
            with np.load(place, allow_pickle=False) as stored:
                if stored["identity"].tolist() == [FORMAT, known]:
                    return dict(stored)
        except Exception:  # none, not readable, or damaged in one of many ways: it is made again
            continue
    return None


def save(
    path: pathlib.Path,
    known: int,
    arrays: Mapping[str, np.ndarray],
    suffix: str = ".index.npz",
) -> bool:
    """Keeps the index of a data file, at once or not at all; returns whether it is kept."""
    identity = np.array([FORMAT, known])
    return any(
        write(place, lambda file: np.savez(file, identity=identity, **arrays))
        for place in companions(path, suffix)
    )


def write(place: pathlib.Path, fill: Callable[[IO[bytes]], None]) -> bool:
    """Writes a file at once or not at all; returns whether it is written."""
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            fill(file)
        os.replace(part, place)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return True


def companions(path: pathlib.Path, suffix: str) -> Iterator[pathlib.Path]:
    """The paths that a file made of a data file may have: beside it, or in the cache folder."""
    yield path.with_name(path.name + suffix)
    if folder := user_cache.folder():
        digest = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
        yield folder / "data" / f"{digest}-{path.name}{suffix}"
