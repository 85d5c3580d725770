"""Encoded images packed in large files, each read by its position there."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dim_jax import contracts


class Part(NamedTuple):
    """An encoded image in a stretch of a file; `read` opens the file.

    name: for messages. suffix: the extension of its kind of image.
    """

    name: str
    suffix: str
    path: pathlib.Path
    offset: int
    size: int

    def __str__(self) -> str:
        return self.name

    def read(self, limit: int | None = None) -> bytes:
        """Its bytes, the first `limit` of them.

        Raises:
          UserError: the file cannot be read, or ends before the image does.
        """
        size = self.size if limit is None else min(limit, self.size)
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                content = os.pread(descriptor, size, self.offset)
                while 0 < len(content) < size:  # of more than 2 GiB, or interrupted
                    more = os.pread(descriptor, size - len(content), self.offset + len(content))
                    if not more:
                        break
                    content += more
            finally:
                os.close(descriptor)
        except OSError as error:
            raise contracts.UserError(
                f"{self.name} cannot be read ({self.path}: {error.strerror}): restore the file, or "
                "change its permissions"
            ) from error
        if len(content) < size:
            raise contracts.UserError(
                f"{self.name} cannot be read, because {self.path} has become shorter: start again"
            )
        return content


@dataclasses.dataclass(frozen=True)
class Parts(Sequence):
    """Encoded images by position, as `Part` when indexed.

    names, suffixes: as of `Part`. paths: the files. file i32[n]: the position in `paths`. offsets
    and sizes i64[n]: of the images there, in bytes.
    """

    names: tuple[str, ...]
    suffixes: tuple[str, ...]
    paths: tuple[pathlib.Path, ...]
    file: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int | slice) -> "Part | Parts":
        if isinstance(row, slice):
            return self.select(np.arange(len(self))[row])
        path, offset, size = self.paths[self.file[row]], self.offsets[row], self.sizes[row]
        return Part(self.names[row], self.suffixes[row], path, int(offset), int(size))

    def __iter__(self) -> Iterator[Part]:
        return (self[row] for row in range(len(self)))

    def select(self, rows: np.ndarray) -> "Parts":
        """Those at some positions."""
        names, suffixes = (
            tuple(of_all[row] for row in rows) for of_all in (self.names, self.suffixes)
        )
        return Parts(
            *(names, suffixes, self.paths, self.file[rows], self.offsets[rows], self.sizes[rows])
        )
