"""Features on their way to a file: parts in order, with the names and labels of their images."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """Features f32[m,...] and the positions i[m] of their images in the source."""

    features: np.ndarray
    rows: np.ndarray


class Features(NamedTuple):
    """The features of at most `count` images at a tap, f32[n,*shape].

    parts: read once, in order. names: of all images, by position. labels: i32, -1 = none, and the
    names of the classes; both None where there are no labels.
    """

    parts: Iterator[Part]
    count: int
    shape: tuple[int, ...]
    tap: str
    names: Sequence[str]
    labels: np.ndarray | None
    classes: tuple[str, ...] | None

    def names_of(self, rows: np.ndarray) -> list[str]:
        """Names of the images at some positions."""
        return [self.names[row] for row in rows.tolist()]

    def name_columns(self) -> list[str]:
        """The columns of a table beside the features."""
        return ["name"] if self.labels is None else ["name", "label"]

    def named(self, rows: np.ndarray) -> list[tuple[str | None, ...]]:
        """(name,) or (name, class name or None) of the images at some positions."""
        names = self.names_of(rows)
        if self.labels is None or self.classes is None:
            return [(name,) for name in names]
        classes = (*self.classes, None)  # -1 = none
        return [*zip(names, (classes[label] for label in self.labels[rows]), strict=True)]
