"""Files of samples: .npy, .npz, .csv, .tsv and .parquet, as arrays or dicts of columns."""

import contextlib
import csv
import itertools
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.rundir import paths

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".parquet")
_CHUNK = 50_000  # lines of text that are converted at a time
_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_BOOLEANS = {"true": True, "false": False}


def is_file(text: str) -> bool:
    """Whether a text names a file by its ending, rather than an array or columns."""
    return Path(text).suffix.lower() in SUFFIXES


def read(file: str, names: str | None = None, *, option: str = "", labels: bool = False) -> Any:
    """The array or the columns {name: [n]} of a file.

    Args:
      names: arrays of an .npz file or columns of a table, with commas between them; None takes the
        only array, or all columns.
      option: that gave the names, such as "--x", for messages.
      labels: keep the columns of a text file as strings.

    Raises:
      UserError: a file that is missing, damaged, of another kind or pickled, and unknown names.
    """
    path = paths.expand(file, "the file of samples")
    if not is_file(file):
        raise contracts.UserError(f"{file} is none of the files {', '.join(SUFFIXES)}")
    chosen = None if names is None else _split(names, option)
    try:
        match path.suffix.lower():
            case ".npy":
                return _of_npy(path, chosen, option)
            case ".npz":
                return _of_npz(path, chosen, option)
            case ".parquet":
                return _of_parquet(path, chosen, option)
            case _:
                return _of_text(path, chosen, option, labels)
    except OSError as error:
        raise contracts.UserError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise contracts.UserError(f"{path} does not fit into memory; give fewer columns") from error


def _split(names: str, option: str) -> list[str]:
    """Names with commas between them; a name with a comma stands in double quotes."""
    chosen = [name.strip() for name in next(csv.reader([names], skipinitialspace=True), [])]
    if not chosen or not all(chosen):
        raise contracts.UserError(f"{option} is {names!r}; give names with commas between them")
    return chosen


def _choose(chosen: Sequence[str] | None, there: Sequence[str], option: str, path: Path) -> list:
    if chosen is None:
        return [*there]
    for name in chosen:
        if name not in there:
            hint = contracts.suggestion(name, there) if len(there) <= 20 else ""
            hint = hint or f"it has {contracts.abridged(there, 20)}"
            raise contracts.UserError(f"{option}: {path} has no '{name}': {hint}")
    return list(dict.fromkeys(chosen))


def _of_npy(path: Path, chosen: Sequence[str] | None, option: str) -> np.ndarray:
    if chosen is not None:
        raise contracts.UserError(f"{path} has a single array without a name; leave {option} out")
    return _unpickled(path, lambda: np.load(path, allow_pickle=False))


def _of_npz(path: Path, chosen: Sequence[str] | None, option: str) -> Any:
    archive = _unpickled(path, lambda: np.load(path, allow_pickle=False))
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise contracts.UserError(
            f"{path} is no archive of arrays; name it .npy if it is one array"
        )
    with archive:
        if chosen is None and len(archive.files) != 1:
            raise contracts.UserError(
                f"{path} has the arrays {contracts.abridged(archive.files, 10)}; choose with --x "
                "and --y"
            )
        names = _choose(chosen, archive.files, option, path)
        arrays = [_unpickled(path, lambda name=name: archive[name]) for name in names]
    if len(arrays) == 1:
        return arrays[0]
    columns = {}
    for name, array in zip(names, arrays, strict=True):
        if array.ndim == 2 and array.shape[1] > 1:
            columns |= {f"{name}[:, {i}]": column for i, column in enumerate(array.T)}
        else:
            columns[name] = array[:, 0] if array.ndim == 2 else array
    return columns


def _unpickled(path: Path, load: Any) -> Any:
    try:
        return load()
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            problem = f"{path} is no file of numbers: it is not NumPy's format, or is pickled"
        else:
            problem = f"{path} is damaged ({str(error).partition(chr(10))[0]})"
        raise contracts.UserError(f"{problem}; write it again with np.save or np.savez") from error


def _of_parquet(path: Path, chosen: Sequence[str] | None, option: str) -> dict[str, np.ndarray]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise contracts.UserError(
            f"{path} is read by pyarrow, which is not installed; install it, or give a .csv file"
        ) from error
    try:
        names = _choose(chosen, parquet.read_schema(path).names, option, path)
        table = parquet.read_table(path, columns=names)
    except pyarrow.ArrowInvalid as error:
        raise contracts.UserError(
            f"{path} is no Parquet file, or is damaged ({str(error).partition(chr(10))[0]})"
        ) from error
    return {name: table.column(name).to_numpy() for name in names}


def _of_text(
    path: Path, chosen: Sequence[str] | None, option: str, labels: bool
) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max("\t;,", key=first.count)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            header = [cell.strip() for cell in next(reader, [])]
            if not header:
                raise contracts.UserError(
                    f"{path} is empty; give a line of names and lines of cells"
                )
            rows: Iterator[list[str]] = (row for row in reader if row)
            if all(_is_number(cell) for cell in header):
                rows = itertools.chain([header], rows)
                header = [str(index) for index in range(1, len(header) + 1)]
            names = _choose(chosen, header, option, path)
            for name in names:
                if header.count(name) > 1:
                    raise contracts.UserError(f"{path} has several columns '{name}'; rename them")
            columns = _columns(path, rows, names, header, labels)
    except UnicodeDecodeError as error:
        raise contracts.UserError(f"{path} is no text in UTF-8; save it as UTF-8") from error
    except csv.Error as error:
        raise contracts.UserError(f"{path} is no table of text: {error}") from error
    if not columns:
        raise contracts.UserError(f"{path} has a line of names and no lines of values")
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _columns(
    path: Path, rows: Iterator[list[str]], names: Sequence[str], header: Sequence[str], labels: bool
) -> dict[str, np.ndarray]:
    """The named columns, converted 50,000 rows at a time; {} without rows."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    start = 0
    while chunk := list(itertools.islice(rows, _CHUNK)):
        for row, cells in enumerate(chunk, start):
            if len(cells) != len(header):
                raise contracts.UserError(
                    f"row {row:,} (from 0) of {path} has {len(cells)} cells, and there are "
                    f"{len(header)} columns; give every row one cell for each column"
                )
        for name in names:
            position = header.index(name)
            text = [cells[position].strip() for cells in chunk]
            try:
                parts[name].append(np.array(text) if labels else _converted(text))
            except ValueError as error:
                at = next(i for i, cell in enumerate(text) if not _is_number(_filled(cell)))
                raise contracts.UserError(
                    f"row {start + at:,} (from 0) of {path} has {text[at][:40]!r} in the column "
                    f"'{name}', which is no number; give numbers, and classes as integers"
                ) from error
        start += len(chunk)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()} if start else {}


def _converted(text: Sequence[str]) -> np.ndarray:
    """The cells as integers, floats or booleans, missing ones as NaN; else ValueError."""
    for kind in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            return np.array(text).astype(kind)
    lower = [cell.lower() for cell in text]
    if _BOOLEANS.keys() >= {*lower}:
        return np.array([_BOOLEANS[cell] for cell in lower])
    return np.array([float(_filled(cell)) for cell in text])


def _filled(cell: str) -> str:
    return "nan" if cell.lower() in _MISSING else cell
