"""The index of a webdataset tar file: its samples, and where the members of each are.

A sample is all members whose paths are equal up to the first dot of their base names; the rest is
the extension, such as "jpg" or "seg.png". Short texts, which may be labels, are in the index.
"""

import os
import pathlib
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import index_files

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# The most bytes of a member that are in the index.
_SHORT, _TEXT = 64, 4096
_TEXTS = (".cls", ".json", ".label", ".txt")
_AFTER_END = 2**16  # bytes after the end of an archive that are checked


class Index(NamedTuple):
    """Keys of the samples in the order of their first members, and the members in that of the tar.

    sample, extension i64[m]: of each member, a position in `keys` and in `extensions`. offsets,
    sizes i64[m]: in bytes. lengths i64[m]: of the texts, which follow each other in `texts` u8[t];
    0 = not in the index. checksum: of the tar.
    """

    path: pathlib.Path
    keys: list[str]
    extensions: list[str]
    sample: np.ndarray
    extension: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    lengths: np.ndarray
    texts: np.ndarray
    checksum: int

    def members(self, extensions: set[str]) -> np.ndarray:
        """The positions of the members with some extensions."""
        codes = [code for code, name in enumerate(self.extensions) if name in extensions]
        return np.flatnonzero(np.isin(self.extension, codes))

    def read_texts(self, members: np.ndarray) -> list[bytes]:
        """The contents of some members, which are read from the tar if they are not in the index.

        Raises:
          UserError: the tar cannot be read.
        """
        starts = np.cumsum(self.lengths) - self.lengths
        blob, contents = self.texts.tobytes(), []
        for member in members.tolist():
            start, length, size = starts[member], self.lengths[member], self.sizes[member]
            if length == size:
                contents.append(blob[start : start + length])
            else:
                contents.append(_read(self.path, int(self.offsets[member]), int(size)))
        return contents


def read(path: pathlib.Path) -> tuple[Index, bool]:
    """The index of a tar, and whether it is kept; made if there is none that fits.

    Raises:
      UserError: a file that cannot be read, is no tar, is compressed, truncated, damaged or without
        samples; a member with an unsafe name, twice, a link, or stored as sparse.
    """
    try:
        checksum = index_files.checksum(path)
        stored = index_files.load(path, checksum)
        if stored is not None:
            return _unpack(path, stored, checksum), True
        index = _make(path, checksum)
    except OSError as error:
        raise contracts.UserError(
            f"{path} cannot be read ({error.strerror or error}): restore it, or change its "
            "permissions"
        ) from error
    return index, index_files.save(path, checksum, _pack(index))


def _pack(index: Index) -> dict[str, np.ndarray]:
    arrays = {
        name: value for name, value in index._asdict().items() if isinstance(value, np.ndarray)
    }
    for name in ("keys", "extensions"):  # no name has a zero byte
        joined = "\0".join(getattr(index, name)).encode()
        arrays[name] = np.frombuffer(joined, np.uint8)
    return arrays


def _unpack(path: pathlib.Path, stored: dict[str, np.ndarray], checksum: int) -> Index:
    arrays = {name: stored[name] for name in Index._fields if name in stored}
    for name in ("keys", "extensions"):
        arrays[name] = arrays[name].tobytes().decode().split("\0")
    return Index(path=path, checksum=checksum, **arrays)


def _make(path: pathlib.Path, checksum: int) -> Index:
    with path.open("rb") as file:
        _check_kind(path, file.read(8))
    keys: dict[str, int] = {}
    extensions: dict[str, int] = {}
    rows, texts, seen = [], [], set()
    for name, offset, size, text in _members(path):
        if name in seen:
            raise contracts.UserError(
                f"{path} holds {name} twice: write the tar again, with each once"
            )
        seen.add(name)
        folder, _, base = name.rpartition("/")
        stem, _, extension = base.partition(".")
        sample = keys.setdefault(f"{folder}/{stem}" if folder else stem, len(keys))
        kind = extensions.setdefault(extension.lower(), len(extensions))
        rows.append((sample, kind, offset, size, len(text)))
        texts.append(text)
    if not keys:
        raise contracts.UserError(
            f"{path} holds no samples: a sample is files such as 0001.jpg and 0001.cls; add some, "
            "or leave the tar out of the pattern"
        )
    columns = np.array(rows, np.int64).T
    return Index(
        *(path, [*keys], [*extensions], *columns),
        *(np.frombuffer(b"".join(texts), np.uint8), checksum),
    )


def _members(path: pathlib.Path) -> Iterator[tuple[str, int, int, bytes]]:
    """(name, offset, size, text) of each member of a sample; the text of long ones is empty.

    Raises:
      UserError: as `read`.
    """
    size = path.stat().st_size
    try:
        # Not "r", which would unpack a compressed archive.
        with tarfile.open(path, "r:") as tar:
            descriptor = tar.fileobj.fileno()
            while (member := tar.next()) is not None:
                tar.members = []  # else all would stay in memory
                if (name := _checked(path, member)) is None:
                    continue
                if member.offset_data + member.size > size:
                    raise _truncated(path)
                text = b""
                if member.size <= (_TEXT if name.lower().endswith(_TEXTS) else _SHORT):
                    text = os.pread(descriptor, member.size, member.offset_data)
                yield name, member.offset_data, member.size, text
            _check_end(path, descriptor, tar.offset)
    except tarfile.TarError as error:
        if "unexpected end" in str(error) or "truncated" in str(error):
            raise _truncated(path) from error
        raise contracts.UserError(
            f"{path} is not a readable tar ({error}): restore it or write it again"
        ) from error


def _check_kind(path: pathlib.Path, start: bytes) -> None:
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise contracts.UserError(
                f"{path} is compressed ({kind}), and images are read from any place of a tar: "
                "unpack it to a .tar, such as with gunzip"
            )
    if not start:
        raise contracts.UserError(f"{path} is empty, 0 bytes: restore it or write it again")


def _checked(path: pathlib.Path, member: tarfile.TarInfo) -> str | None:
    """The name of a member of a sample; None for folders, hidden files and those without a dot."""
    name = member.name
    parts = pathlib.PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise contracts.UserError(
            f"{path} holds a member called {name}, outside of the archive: write the tar with "
            "names below its folder"
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise contracts.UserError(
            f"{path} holds a member called {name!r}, which is not UTF-8: write the tar with other "
            "names"
        ) from error
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    if not parts or hidden or "." not in parts[-1]:
        return None
    if member.issym() or member.islnk():
        raise contracts.UserError(
            f"{path} holds {name} as a link to {member.linkname}: write the tar with the file in "
            "its place, as tar --dereference --hard-dereference does"
        )
    if not member.isfile():
        return None
    if member.issparse():
        raise contracts.UserError(
            f"{path} holds {name} as a sparse file, in pieces: write the tar without --sparse"
        )
    return "/".join(parts)


def _check_end(path: pathlib.Path, descriptor: int, offset: int) -> None:
    """Checks that an archive ends with a block of zeros, and that no other one follows."""
    end = os.pread(descriptor, _AFTER_END, offset)
    if len(end) < tarfile.BLOCKSIZE:
        raise _truncated(path)
    if end.strip(b"\0"):
        followed = not end[: tarfile.BLOCKSIZE].strip(b"\0")
        raise contracts.UserError(
            f"{path} holds data after the end of the archive: join tars with tar --concatenate"
            if followed
            else f"{path} is damaged at byte {offset:,}: restore it or write it again"
        )


def _truncated(path: pathlib.Path) -> contracts.UserError:
    return contracts.UserError(
        f"{path} is truncated, it ends at {path.stat().st_size:,} bytes within the archive: "
        "restore it or write it again"
    )


def _read(path: pathlib.Path, offset: int, size: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), size, offset)
