"""Arrays in files, read by position: npy, npz and folders of npy files; `array_libraries` has more.

Nothing is ever unpickled: the entries of an array of objects are refused by whoever reads them.
"""

import dataclasses
import difflib
import math
import os
import pathlib
import re
import threading
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, ClassVar, Protocol

import numpy as np

from dim_jax import contracts
from dim_jax.data import array_blocks, array_libraries, folder_listing, memory

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_KINDS = ".npy, .npz, .zarr, .h5 and .hdf5 files, and folders of .npy files"


class Array(Protocol):
    """An array on disk; picklable, and safe to read from several threads and processes.

    where: a phrase for messages. dtype: as stored, in any byte order and of any kind. notes:
    sentences for the results.
    """

    where: str
    notes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, rows: Sequence[int]) -> np.ndarray:
        """The entries at some positions of the first axis, in that order, and no others.

        Raises UserError for a damaged file.
        """


@dataclasses.dataclass(frozen=True)
class _Stored:
    """An array whose bytes are in a file as they are: npy, or a stored member of an npz."""

    where: str
    file: pathlib.Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.is_fortran:
            return ()
        return (
            f"{self.where} is in Fortran order, in which every image is spread over the file: save "
            "numpy.ascontiguousarray(images) to read it faster.",
        )

    def read(self, rows: Sequence[int]) -> np.ndarray:
        try:
            if self.is_fortran:
                mapped = np.memmap(self.file, self.dtype, "r", self.offset, self.shape, "F")
                return np.array(mapped[list(rows)])
            # Opened here, so that nothing is shared between processes, or left open.
            descriptor = os.open(self.file, os.O_RDONLY)
            try:
                return array_blocks.read(
                    self.shape,
                    self.dtype,
                    rows,
                    1,
                    lambda start, stop: self._block(descriptor, start, stop),
                )
            finally:
                os.close(descriptor)
        except OSError as error:
            array_blocks.fail(self.where, error)

    def _block(self, descriptor: int, start: int, stop: int) -> np.ndarray:
        values = np.empty((stop - start, *self.shape[1:]), self.dtype)
        buffer = memoryview(values.reshape(-1).view(np.uint8))
        position = self.offset + start * (len(buffer) // (stop - start))
        while buffer:
            count = os.preadv(descriptor, [buffer], position)
            if not count:
                raise contracts.UserError(
                    f"{self.where} has become shorter while it is read: restore it"
                )
            buffer, position = buffer[count:], position + count
        return values


@dataclasses.dataclass(eq=False)
class _Compressed:
    """A compressed member of an npz, loaded when it is first read in a process."""

    where: str
    file: pathlib.Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype
    notes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        self.__setstate__(self.__dict__)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _values=None, _lock=threading.Lock())

    def read(self, rows: Sequence[int]) -> np.ndarray:
        with self._lock:
            if self._values is None:
                self._values = self._load()
        return self._values[list(rows)]

    def _load(self) -> np.ndarray:
        needed = memory.needed(self.shape, self.dtype)
        if needed > memory.of_host():
            raise contracts.UserError(
                f"{self.where} is compressed, needs {memory.size(needed)} at once and this machine "
                f"has {memory.size(memory.of_host())}: save it with numpy.savez, which does not "
                "compress, or as a .npy file"
            )
        try:
            with zipfile.ZipFile(self.file) as archive, archive.open(self.member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except Exception as error:  # BadZipFile, zlib.error, EOFError, ValueError, OSError...
            array_blocks.fail(self.where, error)


def open_(path: pathlib.Path) -> dict[str, Array]:
    """The arrays in a file or folder by name; the only one of a file without names is "images".

    Raises:
      UserError: a file that does not exist, is damaged, is of another kind than its name says, or
        needs a package that is not installed.
    """
    folder_listing.check_name(path)
    if not path.exists():
        raise _absent(path)
    suffix = path.suffix.lower()
    if suffix == ".zarr" or array_libraries.is_zarr(path):
        return array_libraries.open_zarr(path)
    if path.is_dir():
        return _open_folder(path)
    readers: dict[str, Callable[[pathlib.Path], dict[str, Array]]] = {
        ".npy": lambda path: {"images": _open_npy(path)},
        ".npz": _open_npz,
        **dict.fromkeys((".h5", ".hdf5", ".hdf"), array_libraries.open_hdf5),
    }
    if suffix not in readers:
        raise contracts.UserError(
            f"{path} is no file of arrays that can be read: array: reads {_KINDS}"
        )
    return readers[suffix](path)


_ENDINGS = (".npy", ".npz", ".zarr", ".h5", ".hdf5", ".hdf")


def _absent(path: pathlib.Path) -> contracts.UserError:
    try:
        beside = [
            other.name
            for other in path.parent.iterdir()
            if other.suffix.lower() in _ENDINGS or other.is_dir()
        ]
    except OSError:
        beside = []
    near = difflib.get_close_matches(path.name, beside, n=1)
    hint = f"did you mean {path.parent / near[0]}? " if near else ""
    return contracts.UserError(
        f"{path} does not exist: {hint}set data.name to array:PATH, where array: reads {_KINDS}"
    )


def _open_folder(folder: pathlib.Path) -> dict[str, Array]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".npy")
    if not files:
        raise contracts.UserError(
            f"the folder {folder} holds no .npy files: name one with images.npy, and labels.npy "
            f"and split.npy if there are some; array: reads {_KINDS}, and folder: image files"
        )
    return {path.stem: _open_npy(path) for path in files}


def _open_npy(path: pathlib.Path) -> _Stored:
    try:
        with path.open("rb") as stream:
            return _stored(str(path), path, stream, path.stat().st_size)
    except OSError as error:
        array_blocks.fail(str(path), error)


def _stored(where: str, file: pathlib.Path, stream: BinaryIO, end: int) -> _Stored:
    """The array whose header is next in a file, and whose bytes are to be before `end`."""
    shape, is_fortran, dtype = _header(where, stream)
    offset = stream.tell()
    needed = memory.needed(shape, dtype)
    if not dtype.hasobject and needed > end - offset:
        raise contracts.UserError(
            f"{where} is truncated: an array {[*shape]} of {dtype} has {needed:,} bytes, of which "
            f"{max(end - offset, 0):,} are there; restore it, or save it again"
        )
    return _Stored(where, file, offset, shape, dtype, is_fortran)


def _header(where: str, stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        shape, is_fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except KeyError as error:
        raise contracts.UserError(
            f"{where} has named fields: save an array of numbers with numpy.save"
        ) from error
    except OSError as error:
        array_blocks.fail(where, error)
    except Exception as error:  # ValueError, zlib.error, EOFError, BadZipFile...
        raise contracts.UserError(
            f"{where} is not a readable npy file, or is truncated: restore it, or save it again "
            "with numpy.save"
        ) from error
    return shape, is_fortran and len(shape) > 1, dtype


def _open_npz(path: pathlib.Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
            for member in archive.infolist():
                _check_member(path, member.filename)
                if member.filename.endswith(".npy") and not member.is_dir():
                    key = member.filename.removesuffix(".npy")
                    arrays[key] = _open_member(f"{key} of {path}", path, archive, stream, member)
    except contracts.UserError:
        raise
    except zipfile.BadZipFile as error:
        raise contracts.UserError(
            f"{path} is not an npz archive, or is truncated ({error}): restore it, or save it "
            "again with numpy.savez"
        ) from error
    except Exception as error:  # OSError, RuntimeError of encrypted members, NotImplementedError
        array_blocks.fail(str(path), error)
    return arrays


def _check_member(path: pathlib.Path, name: str) -> None:
    if ".." in re.split(r"[/\\]", name) or name.startswith(("/", "\\")):
        raise contracts.UserError(
            f"{path} has a member {name!r}, whose name leads out of the archive: do not trust it, "
            "or save the arrays again with numpy.savez"
        )


def _open_member(
    where: str,
    path: pathlib.Path,
    archive: zipfile.ZipFile,
    stream: BinaryIO,
    member: zipfile.ZipInfo,
) -> Array:
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
        stream.seek(member.header_offset)
        local = stream.read(30)
        if local[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile("a member is not where the list of members says")
        lengths = [int.from_bytes(local[at : at + 2], "little") for at in (26, 28)]
        start = member.header_offset + 30 + sum(lengths)  # name and extra field
        stream.seek(start)
        return _stored(where, path, stream, start + member.file_size)
    with archive.open(member) as content:
        shape, _, dtype = _header(where, content)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > member.file_size:
        raise contracts.UserError(
            f"{where} is truncated: an array {[*shape]} of {dtype} has more bytes than the "
            f"{member.file_size:,} that are there; save it again"
        )
    return _Compressed(where, path, member.filename, shape, dtype)
