"""Checks of arrays that are to be images, labels, splits or names."""

import sys
from collections.abc import Sequence

import numpy as np

from dim_jax import contracts
from dim_jax.data.array_formats import Array

_TYPES = ("uint8", "uint16", "int16", "float16", "float32")
_REMEDIES = {
    "b": "images.astype('uint8')",
    "i": "images.astype('uint16') for values from 0 to 65,535, or images.astype('float32')",
    "u": "images.astype('uint16') for values up to 65,535, or images.astype('float32')",
    "f": "images.astype('float32')",
    "c": "numpy.abs(images).astype('float32')",
}
_SPLITS = {0: "train", 1: "test"}


def image_shape(array: Array) -> tuple[int, int, int]:
    """(h, w, c) of an array [n,h,w] or [n,h,w,c]."""
    return (*array.shape[1:], 1)[:3]


def pixel_type(dtype: np.dtype) -> np.dtype:
    """The type of pixels as they are read: of this machine's byte order, and float32 of float64."""
    return np.dtype("float32") if dtype.str[1:] == "f8" else dtype.newbyteorder("=")


def check_images(array: Array) -> None:
    """Raises UserError for an array that cannot be images."""
    where, shape = array.where, [*array.shape]
    _check_no_objects(array)
    if pixel_type(array.dtype) not in map(np.dtype, _TYPES):
        remedy = _REMEDIES.get(array.dtype.kind)
        raise contracts.UserError(
            f"{where} is of type {array.dtype}, and pixels are {', '.join(_TYPES)} or float64: "
            + (f"save {remedy}" if remedy else "save numbers")
        )
    if len(shape) not in (3, 4):
        raise contracts.UserError(
            f"{where} has the shape {shape}: images are [n,h,w] or [n,h,w,c], with the channels "
            "at the end"
        )
    if not all(shape):
        what = ("images", "rows of pixels", "columns of pixels", "channels")[shape.index(0)]
        raise contracts.UserError(
            f"{where} has the shape {shape}, 0 {what}: save at least one image with at least one "
            "pixel and one channel"
        )
    if len(shape) == 3 and shape[2] <= 4 < min(shape[:2]):
        raise contracts.UserError(
            f"{where} has the shape {shape}, which looks like a single image with channels at the "
            "end: save images [n,h,w,c], such as numpy.stack of several"
        )
    if _is_channels_first(shape):
        raise contracts.UserError(
            f"{where} has the shape {shape}, which looks like [n,c,h,w]: move the channels to the "
            "end, images.transpose(0, 2, 3, 1)"
        )


def _is_channels_first(shape: Sequence[int]) -> bool:
    """Whether the second of four axes is smaller than two equal ones, or is at most 4."""
    if len(shape) != 4 or shape[1] >= min(shape[2:]):
        return False
    return shape[2] == shape[3] or shape[1] <= 4


def check_alike(arrays: Sequence[Array], image_size: int | None) -> None:
    """Raises UserError for images of several types, channels, or sizes without an `image_size`."""
    first = arrays[0]
    for other in arrays[1:]:
        types = [pixel_type(array.dtype) for array in (first, other)]
        if types[0] != types[1]:
            raise contracts.UserError(
                f"{first.where} is {types[0]} and {other.where} is {types[1]}: save all images in "
                "one type"
            )
        shapes = [image_shape(array) for array in (first, other)]
        if shapes[0][2] != shapes[1][2]:
            raise contracts.UserError(
                f"{first.where} has {shapes[0][2]} channels and {other.where} has {shapes[1][2]}: "
                "save all images with the same channels"
            )
        if shapes[0] != shapes[1] and image_size is None:
            sizes = ["x".join(map(str, shape[:2])) for shape in shapes]
            raise contracts.UserError(
                f"{first.where} has images of {sizes[0]} (height x width) and {other.where} of "
                f"{sizes[1]}: set data.image_size, such as 64, to make all of one size"
            )


def check_finite(array: Array, images: np.ndarray, rows: np.ndarray) -> None:
    """Raises UserError for NaN or infinite pixels, with the position of the image.

    Args:
      images: those at the positions `rows` of the array.
    """
    if images.dtype.kind != "f":
        return
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    if not finite.all():
        place = int(np.argmin(finite))
        count = int((~np.isfinite(images[place])).sum())
        raise contracts.UserError(
            f"image {int(rows[place]):,} (from 0) of {array.where} has {count:,} "
            f"pixel value{'s' if count > 1 else ''} that {'are' if count > 1 else 'is'} NaN or too "
            "large: replace such values, as by numpy.nan_to_num(images), or remove the image"
        )


def values(array: Array, count: int | None) -> np.ndarray:
    """An array that is not of images, with bytes decoded to strings.

    Args:
      count: the number of images, of each of which it has an entry; None = another number.

    Raises:
      UserError: an array of objects or of another length.
    """
    _check_no_objects(array)
    if not array.shape or (count is not None and array.shape[0] != count):
        given = f"{array.shape[0]:,} entries" if array.shape else "a single value"
        wanted = "a list" if count is None else f"{count:,} images"
        raise contracts.UserError(
            f"{array.where} has {given} for {wanted}: give one entry for each"
        )
    read = array.read(range(array.shape[0]))
    if read.dtype.kind == "S":
        return np.char.decode(read, "utf-8", "replace")
    if read.dtype.kind == "U":
        letters = np.ascontiguousarray(read, read.dtype.newbyteorder("=")).view(np.uint32)
        if np.any((letters > sys.maxunicode) | ((letters >= 0xD800) & (letters < 0xE000))):
            raise contracts.UserError(
                f"{array.where} has texts that are not of Unicode: restore it, or save it again"
            )
    return np.array(read.tolist(), str) if read.dtype.kind == "T" else read


def split_names(array: Array, count: int) -> np.ndarray:
    """The name of the split of every image, of words, of 0 and 1, or of booleans (true = test).

    Raises:
      UserError: as `values`, and for other values.
    """
    given = values(array, count)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 1 and given.dtype.kind == "U":
        return given
    if given.ndim == 1 and given.dtype.kind in "bui" and np.isin(given, (0, 1)).all():
        return np.where(given.astype(bool), "test", "train")
    raise contracts.UserError(
        f"{array.where} is {[*given.shape]} of type {given.dtype}"
        + (f" up to {given.max()}" if given.dtype.kind in "iu" and given.size else "")
        + ": give one word for each image, such as train or test, or 0 for training and 1 for test"
    )


def _check_no_objects(array: Array) -> None:
    if array.dtype.hasobject and array.dtype.kind != "T":
        raise contracts.UserError(
            f"{array.where} is an array of Python objects, which are never unpickled: save numbers "
            "or strings of one type and shape, such as numpy.stack(images) or labels.astype(str)"
        )
