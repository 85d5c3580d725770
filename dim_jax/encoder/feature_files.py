"""Features as NumPy files, written part by part: .npz with names and labels, and .npy."""

import io
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from dim_jax.encoder import feature_tables
from dim_jax.encoder.features import Features
from dim_jax.rundir import writing

_BLOCK = 2**20  # bytes that are copied at a time


def write_npz(draft: Path, out: Path, features: Features) -> int:
    """An archive of features, names, and labels with classes where there are any; not compressed.

    Where fewer features come than were expected, they are copied once more, below another header.

    Returns:
      the number of images.
    """
    with zipfile.ZipFile(draft, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            rows = _write_parts(member, features)
        if len(rows) == features.count:
            _write_others(archive, features, rows)
            return len(rows)
    complete = writing.draft_of(draft)
    try:
        with zipfile.ZipFile(draft) as source, zipfile.ZipFile(complete, "w") as archive:
            header = _header(features, len(rows))
            with (
                source.open("features.npy") as old,
                archive.open("features.npy", "w", force_zip64=True) as member,
            ):
                old.read(len(header))
                member.write(header)
                while block := old.read(_BLOCK):
                    member.write(block)
            _write_others(archive, features, rows)
        complete.replace(draft)
    finally:
        complete.unlink(missing_ok=True)
    return len(rows)


def write_npy(draft: Path, out: Path, features: Features) -> int:
    """The features alone; their names and class names are in the table `names_beside(out)`.

    Returns:
      the number of images.
    """
    with draft.open("wb") as file:
        rows = _write_parts(file, features)
        file.seek(0)
        file.write(_header(features, len(rows)))
    lines = [feature_tables.line(features.name_columns())]
    lines += map(feature_tables.line, features.named(rows))
    writing.replace_text(names_beside(out), "".join(lines))
    return len(rows)


def names_beside(out: Path) -> Path:
    """features.npy -> features.names.csv"""
    return out.with_suffix(".names.csv")


def holds_npz(path: Path) -> bool:
    """Whether the file has the arrays that `write_npz` writes, and no others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
    required = {"features.npy", "names.npy"}
    return required <= names <= required | {"labels.npy", "classes.npy"}


def holds_npy(path: Path) -> bool:
    """Whether a table of names is beside the array, as `write_npy` writes it."""
    try:
        is_array = np.load(path, mmap_mode="r", allow_pickle=False).dtype == np.float32
        with names_beside(path).open(encoding="utf-8", errors="replace") as file:
            return is_array and file.readline() in ("name\n", "name,label\n")
    except (OSError, ValueError, EOFError):
        return False


def _write_parts(file: IO[bytes], features: Features) -> np.ndarray:
    """Writes the header of all features and those that come; returns the positions of these."""
    file.write(_header(features, features.count))
    rows = [np.zeros(0, int)]
    for part in features.parts:
        file.write(np.ascontiguousarray(part.features, np.float32).data)
        rows.append(part.rows)
    return np.concatenate(rows)


def _header(features: Features, count: int) -> bytes:
    """Of as many bytes for any count: NumPy leaves room for the first axis to grow."""
    header = io.BytesIO()
    descr = npy.dtype_to_descr(np.dtype(np.float32))
    fields = {"descr": descr, "fortran_order": False, "shape": (count, *features.shape)}
    npy.write_array_header_1_0(header, fields)
    return header.getvalue()


def _write_others(archive: zipfile.ZipFile, features: Features, rows: np.ndarray) -> None:
    arrays = {"names": np.array(features.names_of(rows), str)}
    if features.labels is not None:
        arrays |= {"labels": features.labels[rows], "classes": np.array(features.classes, str)}
    for name, array in arrays.items():
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            npy.write_array(member, array, allow_pickle=False)
