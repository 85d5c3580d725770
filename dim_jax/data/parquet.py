"""Parquet files with a column of encoded images, as data sets of Hugging Face have them."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import (
    archives,
    folder_listing,
    index_files,
    memory,
    packed,
    parquet_images,
    patterns,
    sources,
)

_EXTENSIONS = (".parquet", ".pq")
_IMAGES = ("image", "images", "img", "imgs", "picture", "photo", "jpg", "png")
_LABELS = ("label", "labels")


class _Columns(NamedTuple):
    """The columns that are read, label None = none, and the names of its classes."""

    image: str
    label: str | None
    classes: tuple[str, ...] | None
    label_type: Any


class _Table(NamedTuple):
    """A file, and what is read of it; paths: of its images, labels None = none."""

    path: pathlib.Path
    columns: _Columns
    checksum: int
    images: parquet_images.Images
    paths: list[str | None]
    labels: list[Any] | None


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images in Parquet files, which become u8[n,h,w,3] as those of a folder do.

    The image column is that of the type Image in the metadata of Hugging Face, or one of encoded
    bytes, alone or with a usual name; the label column is `label`, `labels` or the only one of the
    type ClassLabel. `data.image_column` and `data.label_column` name others. Splits are those that
    the names of the files name, else rows are held out, by the paths of the images if they differ.

    Raises:
      UserError: no such files; a damaged file; a column that is not there, or not clear; files with
        other columns or classes than the first; a row without an image. Reading raises it for a
        broken image.
    """
    return archives.open_(_list(block), block, seed)


def open_all(block: settings.Data) -> sources.Opened:
    """All images as the one source "all", in the order of the rows.

    Raises:
      UserError: as `open_`; reading raises it for a row without an image too.
    """
    return archives.open_all(_list(block, lenient=True), block)


def _list(block: settings.Data, *, lenient: bool = False) -> archives.Listing:
    files = patterns.files(block, _EXTENSIONS)
    tables = []
    for file in files:
        tables.append(_read(file, block))
        _check_alike(tables[0], tables[-1])
    names = patterns.names(files)
    parts = _parts(tables, names, lenient)
    paths = [path for table in tables for path in table.paths]
    distinct = None not in paths and len(set(paths)) == len(paths)
    splits = patterns.splits(files, block)
    count = [len(table.paths) for table in tables]
    return archives.Listing(
        parts,
        keys=paths if distinct else parts.names,
        labels=_labels(tables),
        splits=None if splits is None else np.repeat(splits, count).tolist(),
        classes=tables[0].columns.classes,
        notes=_notes([table.images for table in tables]),
        checksums={name: table.checksum for name, table in zip(names, tables, strict=True)},
    )


def _read(path: pathlib.Path, block: settings.Data) -> _Table:
    checksum = index_files.checksum(path)
    with parquet_images.open_file(path) as opened:
        columns = _columns(path, opened.schema_arrow, block)
        return _Table(
            *(path, columns, checksum),
            parquet_images.read(path, opened, columns.image, checksum),
            _paths(path, opened, columns.image),
            None if columns.label is None else _values(path, opened, columns.label),
        )


def _notes(images: Sequence[parquet_images.Images]) -> tuple[str, ...]:
    new = [image for image in images if image.is_new]
    if not new:
        return ()
    folders = sorted({str(image.copy.parent) for image in new})
    size = memory.size(sum(image.copy.stat().st_size for image in new))
    files = folder_listing.count(len(new), "Parquet file")
    return (
        f"The images of {files} ({size}) were copied once to {contracts.abridged(folders, 2)}, to "
        "be read in any order.",
    )


def _parts(tables: Sequence[_Table], names: Sequence[str], lenient: bool) -> packed.Parts:
    named, suffixes, places, file, offsets, sizes = [], [], [], [], [], []
    for table, name in zip(tables, names, strict=True):
        copy, images = len(places), table.images
        places.append(images.copy)
        for row, size in enumerate(images.sizes.tolist()):
            named.append(f"{name}:{row}")
            beside = None
            if size <= 0:
                try:
                    beside = _beside(table.path, row, size, table.paths[row])
                except contracts.UserError:
                    if not lenient:
                        raise
                    size = 0  # which reading refuses
            if beside is None:
                suffixes.append(images.suffixes[row] if size else "")
                file.append(copy)
                offsets.append(images.offsets[row] if size else 0)
            else:
                size = beside.stat().st_size
                suffixes.append(beside.suffix)
                file.append(len(places))
                places.append(beside)
                offsets.append(0)
            sizes.append(size)
    numbers = (np.array(values, np.int64) for values in (file, offsets, sizes))
    return packed.Parts(tuple(named), tuple(suffixes), tuple(places), *numbers)


def _beside(path: pathlib.Path, row: int, size: int, inside: str | None) -> pathlib.Path:
    """The image file that a row without bytes names, beside the Parquet file."""
    if size == 0 or not inside:
        raise contracts.UserError(
            f"row {row:,} of {path} has no image: remove the row, or write its image"
        )
    beside = path.parent / inside
    if pathlib.PurePath(inside).is_absolute() or ".." in pathlib.PurePath(inside).parts:
        raise contracts.UserError(
            f"row {row:,} of {path} names the image {inside} and does not hold it, and only files "
            "below the folder of the Parquet file are read: write the bytes into the column"
        )
    if not beside.is_file():
        raise contracts.UserError(
            f"row {row:,} of {path} names the image {inside} and does not hold it, and {beside} "
            "does not exist: put it there, or write the bytes into the column"
        )
    return beside


def _paths(path: pathlib.Path, opened: Any, column: str) -> list[str | None]:
    kind = opened.schema_arrow.field(column).type
    if not hasattr(kind, "get_field_index") or kind.get_field_index("path") < 0:
        return [None] * opened.metadata.num_rows
    return [value["path"] if value else None for value in _values(path, opened, f"{column}.path")]


def _labels(tables: Sequence[_Table]) -> list[Any] | None:
    if tables[0].columns.label is None:
        return None
    labels = [label for table in tables for label in table.labels]
    if all(isinstance(label, int | None) for label in labels):
        return [-1 if label is None else int(label) for label in labels]
    return labels


def _values(path: pathlib.Path, opened: Any, column: str) -> list[Any]:
    import pyarrow as pa

    try:
        return opened.read(columns=[column]).column(0).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise parquet_images.unreadable(path, error) from error


def _columns(path: pathlib.Path, schema: Any, block: settings.Data) -> _Columns:
    """The columns of images and labels of one file."""
    features = _features(schema)
    image = _image_column(path, schema, features, block.image_column)
    label = _label_column(path, schema, features, block.label_column)
    if label is None:
        return _Columns(image, None, None, None)
    kind = schema.field(label).type
    _check_label_type(path, label, kind)
    names = features.get(label, {}).get("names")
    if isinstance(names, dict):  # {"0": name, ...}
        names = [names[key] for key in sorted(names, key=int)]
    return _Columns(image, label, None if names is None else tuple(names), kind)


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """The features of columns in the metadata of Hugging Face, {} without any that can be read."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: value for name, value in features.items() if isinstance(value, dict)}
    except (TypeError, KeyError, ValueError, AttributeError):
        return {}


def _image_column(path: pathlib.Path, schema: Any, features, asked: str | None) -> str:
    there = contracts.abridged(schema.names, 10)
    can_be = [name for name in schema.names if _holds_images(schema.field(name).type)]
    if asked is not None:
        if asked not in schema.names:
            raise contracts.UserError(
                f"data.image_column is {asked} and {path} has the columns {there}: use one of these"
            )
        if asked not in can_be:
            raise contracts.UserError(
                f"the column {asked} of {path} is of type {schema.field(asked).type}: images are "
                "encoded bytes (of a JPEG or PNG file), or a struct with a field bytes"
            )
        return asked
    typed = [name for name in can_be if features.get(name, {}).get("_type") == "Image"]
    choice = typed or can_be
    usual = [name for name in _IMAGES if name in choice]
    if len(choice) == 1 or usual:
        return (usual or choice)[0]
    what = f"several columns of images ({', '.join(choice)})" if choice else "no column of images"
    raise contracts.UserError(
        f"{path} has {what}; its columns are {there}: set data.image_column to one of encoded "
        "bytes, or of structs with a field bytes"
    )


def _holds_images(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_images(kind.field(place).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _label_column(path: pathlib.Path, schema: Any, features, asked: str | None) -> str | None:
    if asked is not None:
        if asked not in schema.names:
            raise contracts.UserError(
                f"data.label_column is {asked} and {path} has the columns "
                f"{contracts.abridged(schema.names, 10)}: use one of these"
            )
        return asked
    for name in _LABELS:
        if name in schema.names:
            return name
    typed = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    if len(typed) > 1:
        raise contracts.UserError(
            f"{path} has several columns of classes ({', '.join(typed)}): set data.label_column to "
            "one of these"
        )
    return typed[0] if typed else None


def _check_label_type(path: pathlib.Path, label: str, kind: Any) -> None:
    import pyarrow as pa

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    checks = (
        *(pa.types.is_integer, pa.types.is_boolean, pa.types.is_null),
        *(pa.types.is_string, pa.types.is_large_string),
    )
    if not any(check(value) for check in checks):
        raise contracts.UserError(
            f"the label column {label} of {path} is of type {kind}: labels are integers or "
            "strings, one for each image; set data.label_column to another column"
        )


def _check_alike(first: _Table, other: _Table) -> None:
    """Refuses a file whose columns or classes are not those of the first."""
    kinds = ("the image column", "the label column", "the classes", "labels of the type")
    for what, there, here in zip(kinds, first.columns, other.columns, strict=True):
        if there != here:
            there, here = (
                contracts.abridged(list(each), 5) if isinstance(each, tuple) else each or "none"
                for each in (there, here)
            )
            raise contracts.UserError(
                f"{first.path} has {what} {there} and {other.path} has {here}: files of one data "
                "set have the same columns and classes; name them by separate patterns"
            )
