"""Sources: images on disk that are read by position and decoded, for both roads of `data.road`."""

import os
from collections.abc import Sequence
from concurrent import futures
from typing import Any, NamedTuple, Protocol

import numpy as np

from dim_jax.data import facts, pixels

_ROWS_PER_READ = 256


class Examples(NamedTuple):
    """Images [n,h,w,c], labels i32[n] (-1 = none), attributes i8[n,a] (-1 = unknown)."""

    images: np.ndarray
    labels: np.ndarray
    attributes: np.ndarray


class Source(Protocol):
    """The images of one split on disk; picklable, and safe to read from several threads.

    shape: (h, w, c) of every image. dtype: of their pixels: uint8, uint16, int16, float16 or
    float32. names: of the files, None = they have none. A source may have `origin() ->
    origins.Origin`, where its images are stored: by it splits that overlap are noticed.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    names: tuple[str, ...] | None

    def __len__(self) -> int: ...

    def read(self, rows: Sequence[int]) -> Examples:
        """The examples at some positions, in that order.

        Raises UserError for a damaged one, and for pixels that are not finite.
        """

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and attributes at some positions; no image is decoded."""


class Opened(NamedTuple):
    """A data set before its images are read: facts, and the sources "train" and "test".

    fingerprint, notes: as in `dataset.Dataset`.
    """

    facts: facts.Facts
    sources: dict[str, Source]
    fingerprint: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def thread_count(worker_threads: int | None) -> int:
    """The number of threads that decode images: `worker_threads`, or one per core if None."""
    return worker_threads or os.cpu_count() or 1


def read_all(source: Source, worker_threads: int | None = None) -> Examples:
    """All examples of a source, decoded by several threads directly into one array.

    Raises:
      UserError: images larger than this machine's memory, or the first damaged image.
    """
    return read(source, np.arange(len(source)), worker_threads)


def read(source: Source, rows: np.ndarray, worker_threads: int | None = None) -> Examples:
    """The examples at some positions, decoded by several threads directly into one array."""
    images = pixels.allocate(len(rows), source.shape, source.dtype)

    def read_into(start: int) -> tuple[np.ndarray, np.ndarray]:
        examples = source.read(rows[start : start + size].tolist())
        images[start : start + size] = examples.images
        return examples.labels, examples.attributes

    size = _rows_per_read(len(rows), thread_count(worker_threads))
    targets = _run_in_threads(read_into, range(0, len(rows), size), worker_threads)
    return Examples(images, *targets) if targets else Examples(images, *source.targets([]))


def read_targets(
    source: Source, rows: np.ndarray, worker_threads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels i32[n] and attributes i8[n,a] at some positions, read by several threads."""
    starts = range(0, len(rows), _ROWS_PER_READ)
    targets = _run_in_threads(
        lambda start: source.targets(rows[start : start + _ROWS_PER_READ].tolist()),
        starts,
        worker_threads,
    )
    return targets or source.targets([])


def binary_attributes(attributes: np.ndarray) -> np.ndarray | None:
    """Attributes as 0 or 1, u8[n,a]; None if there are none or one of them is unknown."""
    if not attributes.shape[1] or np.any(attributes < 0):
        return None
    return attributes.astype(np.uint8)


def _rows_per_read(rows: int, threads: int) -> int:
    """The rows of one read: few enough to use all threads, else as many as allowed."""
    return max(1, min(_ROWS_PER_READ, -(-rows // threads)))


def _run_in_threads(read, starts: range, worker_threads: int | None):
    with futures.ThreadPoolExecutor(thread_count(worker_threads)) as pool:
        parts = [*pool.map(read, starts)]  # raises the first error in order
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
