"""Decoding of image files with their own number type and channels, for `data.channels`."""

import contextlib
from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from dim_jax import contracts
from dim_jax.data import image_files, tiff_files

_PER_TASK = 256  # files whose headers a thread reads at a time
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "LA": 2, "RGBA": 4, "PA": 4}


class Kind(NamedTuple):
    """The number type and channels of the pixels of a file; is_colour: red, green, blue."""

    dtype: np.dtype
    channels: int
    is_colour: bool

    def __str__(self) -> str:
        return f"{self.channels} channel{'' if self.channels == 1 else 's'} of {self.dtype}"


def survey(
    files: Sequence[image_files.File], channels: int, threads: int, *, lenient: bool = False
) -> np.dtype:
    """The number type of all files, by their headers.

    Args:
      lenient: pass over the files that are refused otherwise, which decoding will refuse.

    Raises:
      UserError: the first file with another type than the first one, or with other channels than
        `channels`; one that is not an image.
    """
    if lenient:
        return _first_type(files, channels)
    first = kind(files[0], channels).dtype

    def check(start: int) -> None:
        for file in files[start : start + _PER_TASK]:
            actual = kind(file, channels)
            if actual.dtype != first:
                raise contracts.UserError(
                    f"{file} has {actual} and {files[0]} pixels of {first}: convert one of them, "
                    "as all images have one type"
                )

    with futures.ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(check, range(0, len(files), _PER_TASK)):  # raises the first error
            pass
    return first


def _first_type(files: Sequence[image_files.File], channels: int) -> np.dtype:
    for file in files:
        with contextlib.suppress(contracts.UserError):
            return kind(file, channels).dtype
    return kind(files[0], channels).dtype  # raises


def kind(file: image_files.File, channels: int) -> Kind:
    """The type and channels of a file that is to have `channels`, by its header.

    Raises:
      UserError: other channels, or a file that is not an image.
    """
    if image_files.is_tiff(file):
        header = tiff_files.header(file, channels)
        actual = Kind(header.dtype, header.channels, header.is_colour)
    else:
        actual = image_files.open_image(file, lambda _, image: _kind(image, channels))
    return _checked(file, actual, channels)


def decode(
    file: image_files.File, channels: int, image_size: int | None, dtype: np.dtype
) -> np.ndarray:
    """The upright image [h,w,channels] of its number type.

    Grey of 8 bits is repeated for 3 channels, and red, green, blue of 8 bits become luma for 1;
    other channels stay as they are: 2 are grey and alpha, 4 red, green, blue and alpha.

    Args:
      image_size: the size to which it will be resized; None = none.
      dtype: that of all images.

    Raises:
      UserError: an image that is not readable, or of another type or channels; pixels that are not
        finite.
    """
    if image_files.is_tiff(file):
        header, pixels = tiff_files.read(file, channels)
        actual = _checked(file, Kind(header.dtype, header.channels, header.is_colour), channels)
    else:

        def read(file: image_files.File, image: Image.Image) -> tuple[Kind, np.ndarray]:
            actual = _checked(file, _kind(image, channels), channels)
            return actual, _pixels(file, image, actual, image_size)

        actual, pixels = image_files.open_image(file, read)
    if actual.dtype != dtype:
        raise contracts.UserError(
            f"{file} has {actual} and other images pixels of {dtype}: convert it, as all images "
            "have one type"
        )
    if dtype.kind == "f" and not np.isfinite(pixels).all():
        raise contracts.UserError(
            f"{file} has pixels that are NaN or infinite: replace them by numbers, or remove it"
        )
    if actual.channels != channels:
        if channels == 3:
            return np.repeat(pixels, 3, axis=2)
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
    return pixels


def _checked(file: image_files.File, actual: Kind, channels: int) -> Kind:
    """The kind, if `channels` can be made of it."""
    if actual.channels == channels:
        return actual
    if actual.dtype == np.uint8 and (
        (actual.channels, channels) == (1, 3) or (actual.is_colour and channels == 1)
    ):
        return actual
    raise contracts.UserError(
        f"{file} has {actual} and data.channels is {channels}: set data.channels to "
        f"{actual.channels}, or convert it"
    )


def _kind(image: Image.Image, channels: int) -> Kind:
    count = 2 if "LA;16" in str(image.tile) else _CHANNELS.get(image.mode, 3)
    if image.mode == "P" and "transparency" in image.info and channels == 4:
        count = 4
    dtype = np.uint16 if image_files.is_deep(image) else np.uint8
    return Kind(np.dtype(dtype), count, count == 3)


def _pixels(
    file: image_files.File, image: Image.Image, actual: Kind, image_size: int | None
) -> np.ndarray:
    """The upright image [h,w,c] with the stored channels."""
    if actual.dtype == np.uint8:
        image_files.draft(image, image_size)
        ImageOps.exif_transpose(image, in_place=True)
        mode = _MODES[actual.channels]
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
        return pixels.reshape(*pixels.shape[:2], actual.channels)
    image.load()  # detects truncated files
    if image.mode == "I;16":
        pixels = np.asarray(image)
    else:  # Pillow reads colours of 16 bits as 8
        pixels = cv2.imdecode(image_files.content(file), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError(f"16 bits per channel in the mode {image.mode}")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    order = {2: [0, 3], 3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(actual.channels, [0])  # of BGRA
    return tiff_files.upright(pixels[..., order], image.getexif().get(tiff_files.ORIENTATION, 1))
