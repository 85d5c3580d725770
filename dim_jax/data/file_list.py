"""Lists of image files: a table of text with a column of paths, and of labels and splits."""

import collections
import csv
import os
import pathlib
import stat
import zlib
from typing import NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import decoding, encoded_images, fingerprint, partition, sources

_SEPARATORS = ",;\t"
_PATHS = ("path", "file", "file_name", "filename", "image")
_LABELS = ("label", "class")
_SPLITS = ("split",)


class _Rows(NamedTuple):
    """The rows of a list: names as in it, paths, sizes in bytes; labels and splits may be None."""

    names: list[str]
    paths: list[pathlib.Path]
    sizes: list[int]
    labels: list[int] | list[str] | None
    splits: list[str] | None


def open_(block: settings.Data, seed: int) -> sources.Opened:
    """The images of a list, in the order of its rows in each split.

    Raises:
      UserError: no such list, or one that is not a table in UTF-8; no column of paths; a file that
        is missing or empty, or in two rows; a row without a label or a split, where others have
        one; what `decoding` and `partition` refuse. Reading raises it for a broken image.
    """
    where, rows = _read(block)
    parts = partition.partition(
        str(where), block, seed, names=rows.names, labels=rows.labels, splits=rows.splits
    )
    chosen, notes = decoding.survey(rows.paths, block)
    opened = {role: _source(rows, part, parts.labels, chosen) for role, part in parts.rows.items()}
    listed = {
        role: (opened[role].names, [rows.sizes[row] for row in part])
        for role, part in parts.rows.items()
    }
    identity = fingerprint.of_files(block.name, parts.classes, listed, chosen.bits)
    identity["checksums"] = {
        f"labels of {role} images": zlib.crc32(source.labels.tobytes())
        for role, source in opened.items()
    }
    known = decoding.facts_of(block.name, chosen, parts.classes)
    return sources.Opened(known, opened, identity, (*parts.notes, *notes))


def open_all(block: settings.Data) -> sources.Opened:
    """All images of a list as the one source "all", in the order of its rows.

    Raises:
      UserError: as `open_`, but for a single image; reading raises it for each broken one.
    """
    where, rows = _read(block, lenient=True)
    count = len(rows.names)
    labels, classes = partition.codes_of(str(where), rows.labels, count, None)
    chosen, notes = decoding.survey(rows.paths, block, lenient=True)
    source = _source(rows, np.arange(count), labels, chosen)
    known = decoding.facts_of(block.name, chosen, classes if len(classes) > 1 else None)
    return sources.Opened(known, {"all": source}, notes=notes)


def _source(rows: _Rows, part: np.ndarray, labels: np.ndarray, chosen: decoding.Decoding):
    paths, names = ([of_all[row] for row in part] for of_all in (rows.paths, rows.names))
    return encoded_images.Files(paths, tuple(names), labels[part], chosen)


def _read(block: settings.Data, *, lenient: bool = False) -> tuple[pathlib.Path, _Rows]:
    """The path of the list, and its rows; if `lenient`, files are not looked at, with size 0."""
    text = block.name.removeprefix("list:")
    if not text:
        raise contracts.UserError(
            "nothing is after list: in data.name: set it to list:FILE.csv with the path of a list "
            "of image files"
        )
    where = pathlib.Path(os.path.expanduser(text))  # unlike Path.expanduser, never raises
    header, cells = _table(where)
    path = _column(where, "image", header, block.image_column, _PATHS)
    if path is None:
        raise contracts.UserError(
            f"{where} has no column of paths ({', '.join(_PATHS)}) but {_shown(header)}: set "
            "data.image_column to the one with paths"
        )
    label = _column(where, "label", header, block.label_column, _LABELS)
    split = _column(where, "split", header, None, _SPLITS)
    names = [os.path.normpath(name) for name in _complete(where, "path", cells, path)]
    for name, count in collections.Counter(names).items():
        if count > 1:
            first, second = [row for row, other in zip(cells, names, strict=True) if other == name][
                :2
            ]
            raise contracts.UserError(
                f"{where} names {name} in the rows {first} and {second}: remove one of them"
            )
    paths = [where.parent / os.path.expanduser(name) for name in names]
    return where, _Rows(
        names,
        paths,
        [0 if lenient else _size(where, *pair) for pair in zip(cells, paths, strict=True)],
        None if label is None else _numbers(_complete(where, "label", cells, label)),
        None if split is None else _complete(where, "split", cells, split),
    )


def _table(where: pathlib.Path) -> tuple[list[str], dict[int, list[str]]]:
    """The header, and the cells of each row by its number in the file; the header is row 1."""
    try:
        with where.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(_SEPARATORS, key=first.count)
            rows = dict(enumerate(csv.reader(file, delimiter=separator, strict=True), 1))
    except OSError as error:
        raise contracts.UserError(
            f"the list {where} cannot be read ({error.strerror}): set data.name to list:FILE.csv "
            "with the path of a table of image files"
        ) from error
    except (ValueError, csv.Error) as error:
        raise contracts.UserError(
            f"{where} is not a table of text in UTF-8 ({error}): save it as CSV in UTF-8, with a "
            "row per image"
        ) from error
    rows = {number: [cell.strip() for cell in cells] for number, cells in rows.items()}
    rows = {number: cells for number, cells in rows.items() if any(cells)}
    if not rows:
        raise contracts.UserError(
            f"{where} is empty: write a first row with the names of the columns, such as "
            "path,label, and a row per image"
        )
    header = rows.pop(min(rows))
    if not rows:
        raise contracts.UserError(f"{where} has no row but the first: add a row per image")
    for number, cells in rows.items():
        if len(cells) != len(header):
            raise contracts.UserError(
                f"row {number} of {where} has {len(cells)} cell{'s' * (len(cells) > 1)} and the "
                f"first row has {len(header)}: put cells with a separator in them in quotes"
            )
    return header, rows


def _column(
    where: pathlib.Path, role: str, header: list[str], asked: str | None, usual: tuple[str, ...]
) -> int | None:
    """The position of a column: the one asked for, or the first of a usual name, in any case."""
    if asked is not None and asked not in header:
        raise contracts.UserError(
            f"data.{role}_column is {asked} and {where} has the columns {_shown(header)}: use one "
            "of these"
        )
    wanted = (asked,) if asked else usual
    spelled = header if asked else [name.lower() for name in header]
    name = next((name for name in wanted if name in spelled), None)
    if name is not None and spelled.count(name) > 1:
        raise contracts.UserError(
            f"{where} has {spelled.count(name)} columns called {name}: remove or rename all but one"
        )
    return None if name is None else spelled.index(name)


def _shown(header: list[str]) -> str:
    return contracts.abridged([name or "(no name)" for name in header], 8)


def _complete(
    where: pathlib.Path, role: str, cells: dict[int, list[str]], column: int
) -> list[str]:
    """The cells of a column, none of which is empty."""
    missing = [number for number, row in cells.items() if not row[column]]
    if missing:
        raise contracts.UserError(
            f"row {missing[0]} of {where} has no {role}, as {len(missing):,} of {len(cells):,} "
            f"rows: fill in the {role}, or remove the "
            + ("rows" if role == "path" else "rows or the column")
        )
    return [row[column] for row in cells.values()]


def _numbers(labels: list[str]) -> list[int] | list[str]:
    """The labels as integers, if all are integers as Python writes them (007 stays a name)."""
    is_number = all(len(label) < 10 and label.lstrip("-").isdecimal() for label in labels)
    numbers = [int(label) for label in labels] if is_number else []
    return numbers if [*map(str, numbers)] == labels else labels


def _size(where: pathlib.Path, row: int, file: pathlib.Path) -> int:
    """The bytes of an image file that a row names."""
    try:
        facts = file.stat()
    except (OSError, ValueError) as error:
        raise contracts.UserError(
            f"row {row} of {where} names {file}, which cannot be read "
            f"({getattr(error, 'strerror', error)}): paths are relative to the folder of the list"
        ) from error
    if not stat.S_ISREG(facts.st_mode) or not facts.st_size:
        what = "is an empty file" if stat.S_ISREG(facts.st_mode) else "is not a file"
        raise contracts.UserError(
            f"row {row} of {where} names {file}, which {what}: name an image file, or remove the "
            "row"
        )
    return facts.st_size
