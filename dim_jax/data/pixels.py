"""Decoding and resizing of images to uint8 pixels of one size."""

from typing import Any

import cv2
import numpy as np

from dim_jax import contracts
from dim_jax.data import memory


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


def fit(
    image: np.ndarray, size: int, method: str = "resize", name: object = "an image"
) -> np.ndarray:
    """The image as [size,size,c] of its type.

    Args:
      method: "resize": the shorter side resized to `size`, then a centre crop. "crop": a centre
        crop, nothing resized. "pad": zeros around the image, which is made smaller if its longer
        side is more than `size`.
      name: of the image, for messages.

    Downsampling averages pixel areas, upsampling is bilinear (OpenCV INTER_AREA and INTER_LINEAR).

    Raises:
      UserError: an image smaller than the crop.
    """
    shorter, longer = sorted(image.shape[:2])
    if method == "pad":
        return _pad(_resize(image, size / longer) if longer > size else image, size)
    if method == "crop" and shorter < size:
        raise contracts.UserError(
            f"{name} is {image.shape[1]}x{image.shape[0]} (width x height), smaller than "
            f"data.image_size, {size}, and data.fit is crop: use a smaller data.image_size, or "
            "set data.fit to resize or pad"
        )
    if method == "resize" and shorter != size:
        image = _resize(image, size / shorter, least=size)
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def _resize(image: np.ndarray, factor: float, least: int = 1) -> np.ndarray:
    height, width = (max(least, round(side * factor)) for side in image.shape[:2])
    if image.dtype == np.float16:  # which OpenCV does not read
        return _resize(image.astype(np.float32), factor, least).astype(np.float16)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    parts = [
        cv2.resize(part, (width, height), interpolation=interpolation).reshape(height, width, -1)
        for part in np.split(image, range(4, image.shape[-1], 4), axis=-1)
    ]  # OpenCV averages areas of at most 4 channels, and drops a single one
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _pad(image: np.ndarray, size: int) -> np.ndarray:
    margins = [((size - side) // 2, (size - side + 1) // 2) for side in image.shape[:2]]
    return np.pad(image, [*margins, (0, 0)])


def fit_all(images: np.ndarray, size: int | None, method: str = "resize") -> np.ndarray:
    """The images [n,h,w,c] as [n,size,size,c], see `fit`; the same array if they have this size."""
    if size is None or images.shape[1:3] == (size, size):
        return images
    out = allocate(len(images), (size, size, images.shape[-1]), images.dtype)
    for index, image in enumerate(images):
        out[index] = fit(image, size, method)
    return out


def allocate(count: int, shape: tuple[int, int, int], dtype: Any = np.uint8) -> np.ndarray:
    """An uninitialised array for `count` images, [count,h,w,c] of a type.

    Raises:
      UserError: the array is larger than this machine's memory.
    """
    needed = memory.needed((count, *shape), dtype)
    available = memory.of_host()
    if needed > available:
        raise contracts.UserError(
            f"{count} images of {shape[0]}x{shape[1]} need {needed / 2**30:.1f} GiB of memory and "
            f"this machine has {available / 2**30:.1f}: set a smaller data.image_size"
        )
    return np.empty((count, *shape), dtype)
