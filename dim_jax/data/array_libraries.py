"""Arrays that other libraries read, zarr and HDF5, by position and opened once in each process."""

import importlib
import math
import os
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.data import array_blocks

_ZARR = ("zarr.json", ".zgroup", ".zarray")  # of the formats 3 and 2
_LOCK = threading.RLock()  # for HDF5, which is not safe for threads


def _renew_lock() -> None:
    """Replaces the lock, which another thread may have held when this process was forked."""
    global _LOCK
    _LOCK = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


class _Library:
    """An array that a library reads, from an object that each process opens for itself.

    open_: returns the array object of the library for (file, name).
    """

    def __init__(self, open_: Callable, file: pathlib.Path, name: str | None):
        self.where = f"{name} of {file}" if name else str(file)
        self._open, self._file, self._name = open_, file, name
        self._opened: tuple[int, Any] = (-1, None)
        array = self._array()
        self.shape = tuple(array.shape)
        self.dtype = array.dtype
        chunks = array.chunks
        self._chunk = int(chunks[0]) if chunks else 1
        self.notes: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": (-1, None)}

    def read(self, rows: Sequence[int]) -> np.ndarray:
        """The entries at some positions; see `array_formats.Array`."""
        try:
            array = self._array()
            return array_blocks.read(
                self.shape,
                self.dtype,
                rows,
                self._chunk,
                lambda start, stop: self._block(array, start, stop),
            )
        except contracts.UserError:
            raise
        except Exception as error:  # OSError, RuntimeError, ValueError, those of codecs...
            array_blocks.fail(self.where, error)

    def _array(self) -> Any:
        with _LOCK:
            if self._opened[0] != os.getpid():
                self._opened = (os.getpid(), self._open(self._file, self._name))
            return self._opened[1]

    def _block(self, array: Any, start: int, stop: int) -> np.ndarray:
        return np.asarray(array[start:stop])


class _Zarr(_Library):
    def __init__(self, open_: Callable, file: pathlib.Path, name: str | None):
        super().__init__(open_, file, name)
        array = self._array()
        chunks = getattr(array, "shards", None) or array.chunks
        count = math.prod(-(-side // chunk) for side, chunk in zip(self.shape, chunks, strict=True))
        stored = self._check_chunks(file / name if name else file, array)
        if stored < count:
            self.notes = (
                f"{count - stored:,} of the {count:,} chunks of {self.where} are not on disk: all "
                f"of their values are {array.fill_value}.",
            )

    def _check_chunks(self, folder: pathlib.Path, array: Any) -> int:
        """The number of chunks on disk.

        Raises UserError for a truncated one of which zarr would read what is beyond its end (of
        Blosc), or the fill value (of an empty file).
        """
        count, is_blosc = 0, "blosc" in str(array.compressors).lower()
        for file in folder.rglob("*"):
            if file.name.startswith(".") or file.name == "zarr.json" or file.is_dir():
                continue
            count += 1
            size = file.stat().st_size
            if not size or (is_blosc and size != _blosc_size(file)):
                raise contracts.UserError(
                    f"{file}, a chunk of {self.where}, is truncated: restore it, or save the array "
                    "again"
                )
        return count


def _blosc_size(file: pathlib.Path) -> int:
    with file.open("rb") as stream:
        return int.from_bytes(stream.read(16)[12:], "little")


class _Hdf5(_Library):
    def __init__(self, open_: Callable, file: pathlib.Path, name: str | None):
        super().__init__(open_, file, name)
        if _import("h5py", "hdf5").check_string_dtype(self.dtype):
            self.dtype = np.dtypes.StringDType()

    def _block(self, array: Any, start: int, stop: int) -> np.ndarray:
        with _LOCK:
            if self.dtype.kind == "T":
                array = array.asstr(errors="replace")
            return array[start:stop]


def is_zarr(path: pathlib.Path) -> bool:
    """Whether a folder is a group or an array of zarr."""
    return any((path / name).is_file() for name in _ZARR)


def open_zarr(path: pathlib.Path) -> dict[str, _Zarr]:
    """The arrays of a zarr group, by name, or a zarr array as "images".

    Raises:
      UserError: zarr is not installed; a store that is damaged, or would be unpickled.
    """
    zarr = _import("zarr", "zarr")
    if not is_zarr(path):
        raise contracts.UserError(
            f"{path} is not a zarr group or array, a folder with zarr.json, .zgroup or .zarray: "
            "restore it, or save it again"
        )
    try:
        _check_no_pickle(path)
        root = zarr.open(str(path), mode="r")
        if not hasattr(root, "arrays"):
            return {"images": _Zarr(_zarr_array, path, None)}
        return {name: _Zarr(_zarr_array, path, name) for name, _ in root.arrays()}
    except contracts.UserError:
        raise
    except Exception as error:  # zarr's, of JSON, KeyError, OSError...
        array_blocks.fail(str(path), error)


def _zarr_array(path: pathlib.Path, name: str | None) -> Any:
    root = _import("zarr", "zarr").open(str(path), mode="r")
    return root[name] if name else root


def _check_no_pickle(path: pathlib.Path) -> None:
    """Raises UserError for a store with a codec of Python objects, which format 2 has."""
    for file in (path / ".zmetadata", path / ".zarray", *path.glob("*/.zarray")):
        if file.is_file() and b'"pickle"' in file.read_bytes():
            raise contracts.UserError(
                f"{file} names the codec of Python objects, which are never unpickled: save "
                "numbers or strings"
            )


def open_hdf5(path: pathlib.Path) -> dict[str, _Hdf5]:
    """The datasets at the root of an HDF5 file, by name.

    Raises:
      UserError: h5py is not installed; a file that is damaged or of another kind.
    """
    h5py = _import("h5py", "hdf5")
    try:
        if not h5py.is_hdf5(path):
            raise contracts.UserError(
                f"{path} is not an HDF5 file, or its start is damaged (files of HDF4 are not "
                "read): restore it, or save it again"
            )
        with h5py.File(path, "r") as file:
            names = [
                name
                for name in file
                if file.get(name, getclass=True) is h5py.Dataset and file[name].shape is not None
            ]
        return {name: _Hdf5(_hdf5_dataset, path, name) for name in names}
    except contracts.UserError:
        raise
    except Exception as error:  # OSError of truncated files, KeyError, RuntimeError
        array_blocks.fail(str(path), error)


def _hdf5_dataset(path: pathlib.Path, name: str) -> Any:
    return _import("h5py", "hdf5").File(path, "r")[name]


def _import(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise contracts.UserError(
            f"{package} is not installed, which reads such files: "
            f"`python -m pip install {package}`, or install the extra `{extra}`"
        ) from error
