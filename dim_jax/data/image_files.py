"""Decoding of image files by Pillow, with one scale for all images of 16 bits per channel."""

import contextlib
import functools
import io
import math
import pathlib
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dim_jax import contracts
from dim_jax.data import packed

# Kinds whose header is read: the others have 8 bits per channel and one image per file.
_SURVEYED = (".png", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pnm", ".webp")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG = b"\x89PNG\r\n\x1a\n"
EMPTY = "the file is empty"
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if its sides stay this many times the wanted one.
# At less, averages over pixel areas differ more from those of the complete image (at 1.5 by 4 grey
# levels of 128-pixel photographs, at 1.9 by 2.8, root of the mean square).
_LEAST = 1.75


class Encoded(NamedTuple):
    """An encoded image in memory, with a name for messages, in the place of a file."""

    name: str
    content: bytes

    @property
    def suffix(self) -> str:
        """The extension of the name, such as ".png"."""
        return pathlib.PurePosixPath(self.name).suffix

    def __str__(self) -> str:
        return self.name

    def read(self, limit: int | None = None) -> bytes:
        """Its bytes, the first `limit` of them."""
        return self.content[:limit]


File = pathlib.Path | Encoded | packed.Part


class Survey(NamedTuple):
    """The files with 16 bits per channel, and those that hold several images."""

    deep: list[File]
    several: list[File]


def survey(files: Sequence[File], threads: int, *, lenient: bool = False) -> Survey:
    """Reads the headers of the kinds of file that may have 16 bits or several images.

    Args:
      lenient: pass over files that are not images, which decoding will refuse.

    Raises:
      UserError: a file that is not an image, or has pixels of type float.
    """
    files = [file for file in files if file.suffix.lower() in _SURVEYED]
    parts = [files[start : start + 256] for start in range(0, len(files), 256)]
    with futures.ThreadPoolExecutor(threads) as pool:
        read = functools.partial(_headers, lenient=lenient)
        headers = [header for part in pool.map(read, parts) for header in part]
    return Survey(
        *(
            [file for file, header in zip(files, headers, strict=True) if header[part]]
            for part in range(2)
        )
    )


def bits(deep: Sequence[File], threads: int) -> tuple[int, int]:
    """The highest value in files with 16 bits per channel, and the bits that hold it.

    These are the least of 8, 10, 12, 14 and 16, which are the depths of cameras and scanners.

    Raises:
      UserError: an image that cannot be read.
    """
    with futures.ThreadPoolExecutor(threads) as pool:
        highest = max(pool.map(lambda file: int(open_image(file, _deep_pixels).max()), deep))
    needed = max(8, highest.bit_length())
    return highest, needed + needed % 2


def decode(file: File, image_size: int | None, bits: int | None) -> np.ndarray:
    """The upright image u8[h,w,3]; grey is repeated, transparency dropped.

    Args:
      image_size: the size to which it will be resized; None = none.
      bits: of the channels of a 16-bit image, of which the upper 8 are kept; higher values become
        white.

    Raises:
      UserError: an image that is not readable, or whose pixels are floats.
    """

    def read(file: File, image: Image.Image) -> np.ndarray:
        draft(image, image_size)
        if not is_deep(image):
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image)
        if bits is None:
            raise contracts.UserError(
                f"{file} is a {image.format} file with 16 bits per channel: give it the extension "
                "of its kind, or set data.bits to the number of bits in use, such as 12"
            )
        pixels = np.minimum(_deep_pixels(file, image) >> (bits - 8), 255).astype(np.uint8)
        return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels

    return open_image(file, read)


def open_image(file: File, read):
    """`read(file, image)` of the image that Pillow opens.

    Raises:
      UserError: pixels of type float; whatever decoders raise, see `readable`.
    """
    # Pillow, as it detects truncated files.
    with readable(file), Image.open(stream(file)) as image:
        if image.mode == "F":
            raise contracts.UserError(
                f"{file} has pixels of type float, whose scale is not known: set data.channels to "
                "1, which keeps them, or convert it to 8 or 16 bits per channel"
            )
        return read(file, image)


@contextlib.contextmanager
def readable(file: File) -> Iterator[None]:
    """A context that turns whatever decoders raise into one UserError."""
    try:
        yield
    except (contracts.UserError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise contracts.UserError(
            f"{file} has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, the most that are read "
            "of an image: save it smaller, or cut it into parts"
        ) from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error...
        if isinstance(error, OSError) and error.errno:  # of the system, not of a decoder
            raise contracts.UserError(
                f"{file} cannot be read ({error.strerror}): restore it, or change its permissions"
            ) from error
        if isinstance(error, UnidentifiedImageError) and is_tiff(file):
            raise contracts.UserError(
                f"{file} is a damaged TIFF file, or not one of grey or colours of 8 or 16 bits: "
                "set data.channels to the number of its channels, which reads others"
            ) from error
        unknown = "of no known kind" if start(file) else EMPTY
        reason = unknown if isinstance(error, UnidentifiedImageError) else error
        raise unreadable(file, reason) from error


def unreadable(file: File, reason: object) -> contracts.UserError:
    """The refusal of a file that holds no image."""
    return contracts.UserError(f"{file} is not a readable image ({reason}): repair or remove it")


def stream(file: File) -> pathlib.Path | io.BytesIO:
    """The path of a file, or a stream of an image in memory."""
    return file if isinstance(file, pathlib.Path) else io.BytesIO(file.read())


def content(file: File) -> np.ndarray:
    """All bytes u8[n]."""
    if isinstance(file, pathlib.Path):
        return np.fromfile(file, np.uint8)
    return np.frombuffer(file.read(), np.uint8)


def draft(image: Image.Image, image_size: int | None) -> None:
    """Lets a JPEG be decoded at a fraction of its size, if it will be resized to `image_size`."""
    if image_size:
        least = math.ceil(_LEAST * image_size)
        image.draft(None, (least, least))


def _headers(files: Sequence[File], lenient: bool) -> list[tuple[bool, bool]]:
    headers = []
    for file in files:
        try:
            headers.append(_header(file))
        except contracts.UserError:
            if not lenient:
                raise
            headers.append((False, False))
    return headers


def _header(file: File) -> tuple[bool, bool]:
    """Whether a file has 16 bits per channel, and whether it holds several images."""
    if file.suffix.lower() == ".png":
        begin = start(file)  # a third of the time of Pillow
        if begin.startswith(_PNG) and len(begin) > 24 and begin[24] <= 8 and b"acTL" not in begin:
            return False, False
    return open_image(file, lambda _, image: (is_deep(image), getattr(image, "is_animated", False)))


def is_tiff(file: File) -> bool:
    """Whether a file begins as TIFF or BigTIFF do, whatever its name."""
    return start(file)[:4] in _TIFF


def start(file: File) -> bytes:
    """The first 128 bytes, none of a file that cannot be read."""
    if not isinstance(file, pathlib.Path):
        return file.read(128)
    try:
        with file.open("rb") as opened:
            return opened.read(128)
    except OSError:
        return b""


def is_deep(image: Image.Image) -> bool:
    """Whether a file has more than 8 bits per channel; Pillow reads colours as 8 bits anyway."""
    if image.mode.startswith("I"):
        return True
    if image.format == "PPM" and image.tile:
        arguments = image.tile[0][3]  # the mode and the highest value, if it is not 255
        return isinstance(arguments, tuple) and arguments[-1] > 255
    return image.format in ("PNG", "TIFF") and ";16" in str(image.tile)


def _deep_pixels(file: File, image: Image.Image) -> np.ndarray:
    """The upright image [h,w] or [h,w,3] with all its bits, values from 0 to 65,535."""
    image.load()
    if image.mode.startswith("I"):
        pixels = np.asarray(ImageOps.exif_transpose(image))
    else:
        pixels = cv2.imdecode(content(file), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if pixels is None or pixels.dtype != np.uint16:
            raise ValueError(f"16 bits per channel in the mode {image.mode}")
        pixels = pixels[:, :, ::-1]
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high >= 2**16:
        raise contracts.UserError(
            f"{file} has values from {low:,} to {high:,}: convert it to 8 or 16 bits per channel, "
            "without a sign"
        )
    return pixels


def _rgb(image: Image.Image) -> np.ndarray:
    """RGB pixels u8[h,w,3]: grey is repeated, transparency dropped."""
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
