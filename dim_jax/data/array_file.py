"""Images in arrays: npy, npz, zarr and HDF5 files, and folders of npy files, at `array:PATH`."""

import dataclasses
import os
import pathlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import (
    array_checks,
    array_formats,
    facts,
    fingerprint,
    origins,
    partition,
    pixels,
    sources,
)

_BY_SPLIT = (r"(?P<split>.+)_images", "{}_labels"), (r"x_(?P<split>.+)", "y_{}")
_IDENTIFYING = 8  # images whose checksum is part of the fingerprint


@dataclasses.dataclass(frozen=True)
class Images:
    """Images at some positions of arrays one after another: a `sources.Source`.

    image_size: None = all have one size, else made so by `fit` (see `pixels.fit`).
    """

    arrays: tuple[array_formats.Array, ...]
    rows: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] | None
    shape: tuple[int, int, int]
    dtype: np.dtype
    image_size: int | None
    fit: str = "resize"

    def __len__(self) -> int:
        return len(self.rows)

    def origin(self) -> origins.Origin:
        """The places of the images in storage; see `sources.Source`."""
        return {" and ".join(array.where for array in self.arrays): self.rows}

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        positions = self.rows[list(rows)]
        if len(self.arrays) == 1:  # which spares a copy
            return sources.Examples(self._read(self.arrays[0], positions), *self.targets(rows))
        images = np.empty((len(rows), *self.shape), self.dtype)
        starts = np.cumsum([0, *(array.shape[0] for array in self.arrays)])
        for array, start, stop in zip(self.arrays, starts, starts[1:], strict=False):
            inside = np.flatnonzero((positions >= start) & (positions < stop))
            if len(inside):
                images[inside] = self._read(array, positions[inside] - start)
        return sources.Examples(images, *self.targets(rows))

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and no attributes at some positions; see `sources.Source`."""
        return self.labels[list(rows)], np.zeros((len(rows), 0), np.int8)

    def _read(self, array: array_formats.Array, rows: np.ndarray) -> np.ndarray:
        images = array.read(rows).reshape(len(rows), *array_checks.image_shape(array))
        with np.errstate(over="ignore"):  # of float64, which becomes infinite and is refused
            images = images.astype(self.dtype, copy=False)
        array_checks.check_finite(array, images, rows)
        return pixels.fit_all(images, self.image_size, self.fit)


class _Part(NamedTuple):
    """The images of a split, or of all splits (None), and their labels if there are some."""

    split: str | None
    images: array_formats.Array
    labels: array_formats.Array | None


class _Table(NamedTuple):
    """The arrays of images, to be read one after another, and what is known of each image.

    labels, splits, names: one for every image, None = there are none. facts: with the classes that
    the file names.
    """

    images: tuple[array_formats.Array, ...]
    labels: np.ndarray | None
    splits: np.ndarray | None
    names: tuple[str, ...] | None
    facts: facts.Facts
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        return sum(array.shape[0] for array in self.images)

    def source(self, rows: np.ndarray, labels: np.ndarray, block: settings.Data) -> Images:
        """The source of the images at some positions; labels are of all images."""
        return Images(
            self.images,
            rows,
            labels[rows],
            None if self.names is None else tuple(self.names[row] for row in rows),
            self.facts.shape,
            np.dtype(self.facts.dtype),
            block.image_size,
            block.fit,
        )


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images [n,h,w] or [n,h,w,c] in a file of arrays.

    The arrays have the names `images` and optionally `labels`, `split` (words such as train and
    test; 0 and 1; or booleans, true for test), `names` (of the images) and `classes`. Or they are
    `train_images`, `train_labels`, `test_images`, ..., or `x_train`, `y_train`, `x_test`, ... .

    Raises:
      UserError: what `array_formats`, `array_checks` and `partition` refuse. Reading raises it for
        pixels that are not finite, and for a damaged file.
    """
    path = _path(block)
    table = _read_table(path, block)
    parts = partition.partition(
        str(path),
        block,
        seed,
        names=table.names,
        labels=np.full(table.count, -1) if table.labels is None else table.labels,
        splits=table.splits,
        classes=table.facts.classes,
    )
    opened = {role: table.source(rows, parts.labels, block) for role, rows in parts.rows.items()}
    identity = fingerprint.of_arrays(
        block.name,
        parts.classes,
        {role: len(rows) for role, rows in parts.rows.items()},
        {
            "images": _checksum(table.images),
            "labels": zlib.crc32(parts.labels.tobytes()),
            "splits": zlib.crc32(parts.rows["train"].tobytes()),
        },
    )
    known = table.facts._replace(classes=parts.classes)
    return sources.Opened(known, opened, identity, (*table.notes, *parts.notes))


def open_all(block: settings.Data) -> sources.Opened:
    """All images in a file of arrays as the one source "all", in the order of the file.

    Raises:
      UserError: as `open_`, but for a single image.
    """
    path = _path(block)
    table = _read_table(path, block)
    labels, classes = partition.codes_of(str(path), table.labels, table.count, table.facts.classes)
    known = table.facts._replace(classes=classes if len(classes) > 1 else None)
    source = table.source(np.arange(table.count), labels, block)
    return sources.Opened(known, {"all": source}, notes=table.notes)


def _path(block: settings.Data) -> pathlib.Path:
    path = block.name.removeprefix("array:")
    if not path:
        raise contracts.UserError(
            "data.name is array: with nothing after it: set it to array:PATH with the path of a "
            "file of arrays"
        )
    return pathlib.Path(os.path.expanduser(path))  # unlike Path.expanduser, never raises


def _read_table(path: pathlib.Path, block: settings.Data) -> _Table:
    arrays = array_formats.open_(path)
    parts = _by_split(arrays) or [_single(path, arrays, block)]
    images = tuple(part.images for part in parts)
    for array in images:
        array_checks.check_images(array)
    array_checks.check_alike(images, block.image_size)
    height, width, channels = array_checks.image_shape(images[0])
    shape = (block.image_size or height, block.image_size or width, channels)
    counts = [array.shape[0] for array in images]
    beside = {name: arrays.get(name) for name in ("names", "classes", "split")}
    names, classes = (
        None if array is None else tuple(map(str, array_checks.values(array, count).tolist()))
        for array, count in ((beside["names"], sum(counts)), (beside["classes"], None))
    )
    if parts[0].split is not None:
        splits = np.repeat([part.split for part in parts], counts)
        del beside["split"]
    else:
        splits = beside["split"] and array_checks.split_names(beside["split"], counts[0])
    dtype = array_checks.pixel_type(images[0].dtype)
    known = facts.Facts(block.name, shape, classes, None, None, dtype=str(dtype))
    read = [*images, *(part.labels for part in parts), *beside.values()]
    notes = _notes(path, arrays, images, [array for array in read if array is not None])
    return _Table(images, _labels(parts), splits, names, known, notes)


def _single(
    path: pathlib.Path, arrays: Mapping[str, array_formats.Array], block: settings.Data
) -> _Part:
    """The array of images that is named so, by the settings, or the only one that can be images."""
    for key in ("image_column", "label_column"):
        name = getattr(block, key)
        if name is not None and name not in arrays:
            raise contracts.UserError(
                f"data.{key} is {name} and {path} has no such array: "
                f"{contracts.suggestion(name, arrays)}"
            )
    labels = arrays.get(block.label_column or "labels")
    image = block.image_column or "images"
    if image in arrays:
        return _Part(None, arrays[image], labels)
    able = [array for array in arrays.values() if len(array.shape) in (3, 4)]
    if len(able) == 1:
        return _Part(None, able[0], labels)
    held = f"the arrays {contracts.abridged(arrays, 5)}" if arrays else "no arrays"
    raise contracts.UserError(
        f"{path} holds {held}, and it is not clear which are the images: name one array images, or "
        "set data.image_column to its name"
    )


def _by_split(arrays: Mapping[str, array_formats.Array]) -> list[_Part]:
    """The arrays of images with the name of a split in theirs; [] if there are none."""
    if "images" in arrays:
        return []
    for pattern, labels in _BY_SPLIT:
        named = {name: re.fullmatch(pattern, name) for name in arrays}
        splits = {name: match["split"] for name, match in named.items() if match}
        if splits:
            return [
                _Part(split, arrays[name], arrays.get(labels.format(split)))
                for name, split in splits.items()
            ]
    return []


def _labels(parts: Sequence[_Part]) -> np.ndarray | None:
    """The labels of all images; those of a split without labels are -1, or empty texts."""
    read = [
        None if part.labels is None else array_checks.values(part.labels, part.images.shape[0])
        for part in parts
    ]
    present = [values for values in read if values is not None]
    if not present:
        return None
    none = "" if present[0].dtype.kind == "U" else -1
    return np.concatenate(
        [
            np.full((part.images.shape[0], *present[0].shape[1:]), none)
            if values is None
            else values
            for part, values in zip(parts, read, strict=True)
        ]
    )


def _notes(
    path: pathlib.Path,
    arrays: Mapping[str, array_formats.Array],
    images: Sequence[array_formats.Array],
    read: Sequence[array_formats.Array],
) -> tuple[str, ...]:
    notes = [note for array in images for note in array.notes]
    first = images[0]
    if len(first.shape) == 3:
        notes.append(f"{first.where} is {[*first.shape]}, read as images of one channel.")
    if first.dtype.kind == "f" and first.dtype.itemsize == 8:
        notes.append(f"{first.where} is float64, read as float32.")
    known = {id(array) for array in read}
    if unread := [name for name, array in arrays.items() if id(array) not in known]:
        notes.append(f"Not read of {path}: the arrays {contracts.abridged(unread, 5)}.")
    return tuple(notes)


def _checksum(arrays: Sequence[array_formats.Array]) -> int:
    """The checksum of some images, and of the number, size and type of all."""
    total = 0
    for array in arrays:
        rows = np.unique(np.linspace(0, array.shape[0] - 1, _IDENTIFYING).astype(int))
        total = zlib.crc32(f"{array.shape} {array_checks.pixel_type(array.dtype)}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(array.read(rows)).tobytes(), total)
    return total
