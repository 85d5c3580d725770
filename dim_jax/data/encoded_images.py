"""Encoded images of one split, in files or parts of files, as a source of decoded ones."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from dim_jax.data import decoding, image_files, origins, packed, sources


@dataclasses.dataclass(frozen=True)
class Files:
    """The encoded images of one split: a `sources.Source`.

    files: paths, or images in memory or in larger files, read when they are indexed.
    """

    files: Sequence[image_files.File]
    names: tuple[str, ...]
    labels: np.ndarray
    decoding: decoding.Decoding

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of every image."""
        return self.decoding.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the pixels."""
        return self.decoding.dtype

    def __len__(self) -> int:
        return len(self.files)

    def origin(self) -> origins.Origin:
        """The places of the images in storage; see `sources.Source`."""
        files = self.files
        if isinstance(files, packed.Parts):
            return origins.of_stretches(files.paths, files.file, files.offsets)
        return origins.of_files(files)

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        images = np.empty((len(rows), *self.shape), self.dtype)
        for position, row in enumerate(rows):
            images[position] = self.decoding.image(self.files[row])
        return sources.Examples(images, *self.targets(rows))

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and no attributes at some positions; see `sources.Source`."""
        return self.labels[list(rows)], np.zeros((len(rows), 0), np.int8)
