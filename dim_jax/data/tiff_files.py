"""TIFF files with any number of channels and type, decoded by tifffile (extra `tiff`)."""

import contextlib
import importlib
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import image_files

_WHITE_IS_ZERO, _RGB, _PALETTE = 0, 2, 3  # values of the tag PhotometricInterpretation
ORIENTATION = 274
_UNNAMED = ("QYX", "IYX")


class Header(NamedTuple):
    """The type and the channels of the pixels of a file.

    is_colour: the channels are red, green, blue. shape: of the stored pixels, without axes of size
    1 besides height and width. channel_axis: in this shape, None = there is none.
    """

    dtype: np.dtype
    channels: int
    is_colour: bool
    shape: tuple[int, ...]
    channel_axis: int | None


def header(file: image_files.File, channels: int) -> Header:
    """The type and channels of a file, which is to have `channels`.

    Raises:
      UserError: as `read`.
    """
    with _opened(file) as opened:
        return _header(file, opened, channels)


def read(file: image_files.File, channels: int) -> tuple[Header, np.ndarray]:
    """The header and the upright image [h,w,c] with the stored type and channels.

    Channels are pages, planes or samples of pixels, as the axes of the file say. Axes without a
    name, of arrays that were written as they are, are those that `channels` fits.

    Raises:
      UserError: a file that is not readable, or holds several images or a palette; tifffile or the
        package of its compression is missing.
    """
    with _opened(file) as opened:
        header = _header(file, opened, channels)
        pixels = opened.series[0].asarray(maxworkers=1)
        photometric = int(opened.pages[0].photometric)
        orientation = opened.pages[0].tags.valueof(ORIENTATION, 1)
    with np.errstate(over="ignore"):  # of float64, whose infinite pixels are refused
        pixels = pixels.reshape(header.shape).astype(header.dtype, copy=False)
    axis = header.channel_axis
    pixels = pixels[..., None] if axis is None else np.moveaxis(pixels, axis, -1)
    if photometric == _WHITE_IS_ZERO and header.dtype.kind == "u":
        pixels = np.iinfo(header.dtype).max - pixels
    return header, upright(pixels, orientation)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The image [h,w,c] turned and mirrored as the tag Orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


@contextlib.contextmanager
def _opened(file: image_files.File) -> Iterator[Any]:
    try:
        tifffile = importlib.import_module("tifffile")
    except ImportError as error:
        raise contracts.UserError(
            f"{file} is a TIFF file, which data.channels reads by the package tifffile: install "
            "it with pip install 'dim-jax[tiff]'"
        ) from error
    # What it would log of a damaged file is raised, or of no matter for the pixels.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    with image_files.readable(file):
        try:
            with tifffile.TiffFile(image_files.stream(file)) as opened:
                yield opened
        except (KeyError, ValueError) as error:  # by version
            if "imagecodecs" not in str(error):
                raise
            raise contracts.UserError(
                f"{file} is compressed in a way that needs the package imagecodecs: install it "
                "with pip install imagecodecs, or save the file without compression or as deflate"
            ) from error


def _header(file: image_files.File, opened: Any, channels: int) -> Header:
    if len(opened.series) != 1:
        raise contracts.UserError(
            f"{file} holds {len(opened.series)} images of different sizes or types: save one "
            "image per file"
        )
    series, photometric = opened.series[0], int(opened.pages[0].photometric)
    if photometric == _PALETTE:
        raise contracts.UserError(
            f"{file} holds indices of a palette: convert it to grey or to red, green, blue"
        )
    axes = [
        (name, size)
        for name, size in zip(series.axes, series.shape, strict=True)
        if name in "YX" or size > 1
    ]
    names, shape = "".join(name for name, _ in axes), tuple(size for _, size in axes)
    if len(shape) not in (2, 3) or not {"Y", "X"} <= set(names):
        raise contracts.UserError(
            f"{file} has the axes {series.axes} of sizes {list(series.shape)}: save one image per "
            "file, with height, width and channels"
        )
    axis = next((place for place, name in enumerate(names) if name not in "YX"), None)
    if names in _UNNAMED and shape[axis] != channels and shape[-1] == channels:
        axis = 2  # an array [h,w,c] written as it is, whose axes tifffile takes for [c,h,w]
    count = 1 if axis is None else shape[axis]
    is_colour = photometric == _RGB and count == 3 and names[axis] == "S"
    return Header(raw_type(file, series.dtype), count, is_colour, shape, axis)


def raw_type(file: image_files.File, dtype: np.dtype) -> np.dtype:
    """The number type that pixels of a stored type are read as.

    Raises:
      UserError: a type that images cannot have.
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype == np.float64:
        return np.dtype(np.float32)
    if dtype.name not in ("uint8", "uint16", "int16", "float16", "float32"):
        raise contracts.UserError(
            f"{file} has pixels of type {dtype}: convert it to uint8, uint16, int16, float16 or "
            "float32"
        )
    return dtype
