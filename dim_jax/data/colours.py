"""Grey and coloured images, from one to the other, in memory or when they are read."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dim_jax.data import dataset, lazy, pixels, sources

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_AT_ONCE = 4096  # images whose products are in memory


def as_grey(images: np.ndarray) -> np.ndarray:
    """Grey images u8[n,h,w,1] of red, green, blue ones."""
    return np.rint(images @ _LUMA).astype(np.uint8)[..., None]


def with_channels(data: dataset.Dataset, channels: int) -> dataset.Dataset:
    """The data set with 1 or 3 channels: grey images three times, or coloured ones as `as_grey`.

    Other numbers of channels, and pixels that are not uint8, stay as they are. Streamed images are
    converted when they are read.
    """
    given = data.facts.shape[2]
    if given == channels or {given, channels} != {1, 3} or data.facts.dtype != "uint8":
        return data
    splits = {
        name: split._replace(images=_converted(split.images, channels))
        for name, split in data.splits.items()
    }
    # Statistics per channel are those of the images as they were.
    facts = data.facts._replace(shape=(*data.facts.shape[:2], channels), mean=None, std=None)
    how = "grey and come as three equal channels" if channels == 3 else "coloured and become grey"
    notes = (*data.notes, f"The images of {data.facts.name} are {how}.")
    return data._replace(facts=facts, splits=splits, notes=notes)


def _converted(images: np.ndarray | lazy.Images, channels: int) -> np.ndarray | lazy.Images:
    if isinstance(images, lazy.Images):
        converted = Converted(images.source, channels)
        return lazy.Images(converted, images.worker_threads, images.rows)
    made = pixels.allocate(len(images), (*images.shape[1:3], channels))
    for start in range(0, len(images), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        made[part] = _convert(images[part], channels)
    return made


def _convert(images: np.ndarray, channels: int) -> np.ndarray:
    return np.repeat(images, 3, axis=-1) if channels == 3 else as_grey(images)


@dataclasses.dataclass(frozen=True)
class Converted:
    """A `sources.Source` of grey images with 3 channels, or of coloured ones with 1."""

    source: sources.Source
    channels: int

    def __len__(self) -> int:
        return len(self.source)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of every image."""
        return (*self.source.shape[:2], self.channels)

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        examples = self.source.read(rows)
        return examples._replace(images=_convert(examples.images, self.channels))
