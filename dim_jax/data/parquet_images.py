"""The encoded images of a Parquet file, copied once into a file where each can be read alone.

A Parquet file stores the rows of a group together, compressed: for one image its group has to be
read. Measured on 128-pixel JPEGs of 4 kB, in random order on one core: 4,900 images a second in
groups of 100 rows and 400 in groups of 1,000, where the decoder takes 4,400 to 5,800; larger images
make it worse. The copy takes the disk space of the images once more.
"""

import os
import pathlib
import re
import zlib
from typing import IO, Any, NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import index_files, memory

_BATCH = 64  # rows in memory at a time
_BUFFER = 2**20  # bytes of a column that are read at a time: a group may hold a GiB
_STARTS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"RIFF": ".webp",
    b"P5": ".pgm",
    b"P6": ".ppm",
}
_KINDS = ("", *dict.fromkeys(_STARTS.values()))


class Images(NamedTuple):
    """The images of a file: their copy, their places in it i64[n], and extensions.

    sizes: in bytes, -1 = there is none in the row. is_new: whether the copy was made now.
    """

    copy: pathlib.Path
    offsets: np.ndarray
    sizes: np.ndarray
    suffixes: list[str]
    is_new: bool


def read(path: pathlib.Path, opened: Any, column: str, checksum: int) -> Images:
    """The images in a column of a Parquet file; copied if there is no copy that fits.

    Args:
      opened: the `pyarrow.parquet.ParquetFile`.
      column: of encoded images, or of structs with a field `bytes` of them.

    Raises:
      UserError: a damaged file, or no room for the copy.
    """
    name = re.sub(r"\W", "_", column)
    known = zlib.crc32(column.encode(), checksum)
    stored = index_files.load(path, known, f".{name}.index.npz")
    is_new = stored is None or (copy := _existing(path, name, stored)) is None
    if is_new:
        copy, stored = _copy(path, opened, column, name)
        index_files.save(path, known, stored, f".{name}.index.npz")
    suffixes = [_KINDS[kind] for kind in stored["kinds"].tolist()]
    return Images(copy, stored["offsets"], stored["sizes"], suffixes, is_new)


def _existing(path: pathlib.Path, name: str, stored: dict[str, np.ndarray]) -> pathlib.Path | None:
    """The copy that an index is of."""
    size = int(stored["bytes"])
    for place in index_files.companions(path, f".{name}.images"):
        if place.is_file() and place.stat().st_size == size:
            return place
    return None


def _copy(path: pathlib.Path, opened: Any, column: str, name: str):
    """(the copy, the arrays of its index)"""
    tables: dict[str, np.ndarray] = {}
    places = [*index_files.companions(path, f".{name}.images")]
    for place in places:
        if index_files.write(place, lambda file: tables.update(_fill(file, path, opened, column))):
            return place, tables
    raise contracts.UserError(
        f"the images of {path} ({memory.size(path.stat().st_size)}) are copied once to be read in "
        f"any order, and {' and '.join(str(place.parent) for place in places)} cannot be written "
        "to, or is full: make room, or set the environment variable DIM_JAX_CACHE to a folder"
    )


def _fill(file: IO[bytes], path: pathlib.Path, opened: Any, column: str) -> dict[str, np.ndarray]:
    sizes, offsets, kinds, end = [], [], [], 0
    for array in _batches(path, opened, column):
        # Of large_binary: validity, offsets i64, data.
        starts = np.frombuffer(array.buffers()[1], np.int64)[array.offset :][: len(array) + 1]
        data = memoryview(array.buffers()[2] or b"")[starts[0] : starts[-1]]
        file.write(data)
        starts = starts - starts[0]
        sizes.append(np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(starts), -1))
        offsets.append(end + starts[:-1])
        kinds += [_kind(bytes(data[start : start + 4])) for start in starts[:-1].tolist()]
        end += int(starts[-1])
    nothing = np.zeros(0, np.int64)
    return {
        "sizes": np.concatenate([nothing, *sizes]),
        "offsets": np.concatenate([nothing, *offsets]),
        "kinds": np.array(kinds, np.int8),
        "bytes": np.int64(end),
    }


def _batches(path: pathlib.Path, opened: Any, column: str):
    """The column as arrays of type large_binary, null where a struct or its bytes are."""
    import pyarrow as pa

    try:
        for batch in opened.iter_batches(batch_size=_BATCH, columns=[column]):
            array = batch.column(0)
            if pa.types.is_struct(array.type):
                place = array.type.get_field_index("bytes")
                array = array.flatten()[place]
            yield array.cast(pa.large_binary())
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def unreadable(path: pathlib.Path, error: Exception) -> contracts.UserError:
    """The error for a file that pyarrow does not read."""
    reason = " ".join(str(error).split())[:200]
    return contracts.UserError(
        f"{path} is not a readable Parquet file ({reason}): restore it or download it again"
    )


def open_file(path: pathlib.Path) -> Any:
    """The `pyarrow.parquet.ParquetFile` of a path.

    Raises:
      UserError: pyarrow is not installed, or a file that it does not read.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise contracts.UserError(
            "parquet files are read by pyarrow, which is not installed: install it with "
            "`python -m pip install 'dim-jax[parquet]'`"
        ) from error
    try:
        return pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        if os.path.getsize(path) < 1024 and path.read_bytes().startswith(
            b"version https://git-lfs"
        ):
            raise contracts.UserError(
                f"{path} is a pointer of Git LFS and not the file itself: download it with "
                "`git lfs pull`"
            ) from error
        raise unreadable(path, error) from error


def _kind(start: bytes) -> int:
    """The position in `_KINDS` of an image by its first bytes; 0 = not known."""
    return next(
        (_KINDS.index(kind) for magic, kind in _STARTS.items() if start.startswith(magic)), 0
    )
