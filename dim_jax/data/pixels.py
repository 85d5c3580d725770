"""Decoding and resizing of images to uint8 pixels of one size."""

import math
import os

import cv2
import numpy as np

from dim_jax import contracts


def decode(encoded: bytes, channels: int) -> np.ndarray | None:
    """The pixels u8[h,w,channels] of an encoded image, None if it is not readable.

    Colour channels are red, green, blue. EXIF orientation is ignored, as in TensorFlow's decoder; a
    grey image with `channels` 3 has three equal channels.

    Args:
      channels: 1 or 3.
    """
    colour = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    if not encoded:
        return None
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), colour | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        return None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if channels == 3 else image[:, :, None]


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """The image as u8[size,size,c]: shorter side resized to `size`, then a centre crop.

    Downsampling averages pixel areas, upsampling is bilinear (OpenCV INTER_AREA and INTER_LINEAR).
    """
    height, width, channels = image.shape
    shorter = min(height, width)
    if shorter != size:
        height, width = (max(size, round(side * size / shorter)) for side in (height, width))
        interpolation = cv2.INTER_AREA if size < shorter else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=interpolation)
        image = image.reshape(height, width, channels)  # OpenCV drops a single channel
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def fit_all(images: np.ndarray, size: int | None) -> np.ndarray:
    """The images u8[n,h,w,c] as u8[n,size,size,c]; the same array if they have this size."""
    if size is None or images.shape[1:3] == (size, size):
        return images
    out = allocate(len(images), (size, size, images.shape[-1]))
    for index, image in enumerate(images):
        out[index] = fit(image, size)
    return out


def allocate(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """An uninitialised array for `count` images, u8[count,h,w,c].

    Raises:
      UserError: the array is larger than this machine's memory.
    """
    needed = count * math.prod(shape)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise contracts.UserError(
            f"{count} images of {shape[0]}x{shape[1]} need {needed / 2**30:.1f} GiB of memory and "
            f"this machine has {memory / 2**30:.1f}: set a smaller data.image_size"
        )
    return np.empty((count, *shape), np.uint8)
