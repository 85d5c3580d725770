"""Images that are read by position, decoded as they are read: what both roads are made of."""

import os
from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple, Protocol

import numpy as np

from dim_jax.data import facts, pixels

_ROWS_PER_READ = 256


class Examples(NamedTuple):
    """Images u8[n,h,w,c], labels i32[n] (-1 = none), attributes i8[n,a] (-1 = not known)."""

    images: np.ndarray
    labels: np.ndarray
    attributes: np.ndarray


class Source(Protocol):
    """The images of one split, on disk; can be pickled, and read by several threads at once.

    shape: (h, w, c) of every image. names: of the files, None = they have none.
    """

    shape: tuple[int, int, int]
    names: tuple[str, ...] | None

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> Examples:
        """The examples at some positions, in that order. Raises UserError for a damaged one."""

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and attributes at some positions; no image is decoded."""


class Opened(NamedTuple):
    """A data set before its images are read: facts, and the sources "train" and "test"."""

    facts: facts.Facts
    sources: dict[str, Source]


def threads_of(worker_threads: int | None) -> int:
    """The threads that decode images: as many as asked for, or one for each core."""
    return worker_threads or os.cpu_count() or 1


def read_all(source: Source, worker_threads: int | None = None) -> Examples:
    """Every example of a source, decoded by several threads straight into one array.

    Raises:
      UserError: more than this machine's memory, or the first damaged image.
    """
    return read(source, np.arange(len(source)), worker_threads)


def read(source: Source, rows: np.ndarray, worker_threads: int | None = None) -> Examples:
    """The examples at some positions, decoded by several threads straight into one array."""
    images = pixels.allocate(len(rows), source.shape)

    def place(start: int) -> tuple[np.ndarray, np.ndarray]:
        found = source.read(rows[start : start + size].tolist())
        images[start : start + size] = found.images
        return found.labels, found.attributes

    size = _rows_per_read(len(rows), threads_of(worker_threads))
    targets = _in_threads(place, range(0, len(rows), size), worker_threads)
    return Examples(images, *targets) if targets else Examples(images, *source.targets([]))


def targets_of(
    source: Source, rows: np.ndarray, worker_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels i32[n] and attributes i8[n,a] at some positions, by several threads."""
    starts = range(0, len(rows), _ROWS_PER_READ)
    found = _in_threads(
        lambda start: source.targets(rows[start : start + _ROWS_PER_READ].tolist()),
        starts,
        worker_threads,
    )
    return found or source.targets([])


def known(attributes: np.ndarray) -> np.ndarray | None:
    """Attributes as 0 or 1, u8[n,a]; None where there are none or one of them is not known."""
    if not attributes.shape[1] or np.any(attributes < 0):
        return None
    return attributes.astype(np.uint8)


def _rows_per_read(rows: int, threads: int) -> int:
    """Few enough that all threads have work, many enough that reading them together pays."""
    return max(1, min(_ROWS_PER_READ, -(-rows // threads)))


def _in_threads(read, starts: range, worker_threads: int | None):
    with futures.ThreadPoolExecutor(threads_of(worker_threads)) as pool:
        parts = [*pool.map(read, starts)]  # raises the first error in order
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
