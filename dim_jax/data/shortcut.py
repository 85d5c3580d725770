"""Shortcut pixels that reveal the class, to test which other features a classifier learns.

Source: Jacobsen et al. 2019 (shiftMNIST); Klindt et al. 2020, Table 1.
"""

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset

# Where class 0's pixel is, as a rebuild of the original experiment has it; class k is k rows below.
_ROW, _COLUMN = 9, 1


def add(data: dataset.Dataset, kind: str | None) -> dataset.Dataset:
    """The data with one shortcut pixel in every image, and the split "clean": "test" without it.

    Args:
      kind: "location", a white pixel in column 1 and row 9 + class; "value", the pixel in the
        upper left corner is class / (classes - 1) of white; None changes nothing. The poster
        describes the value, the work that it cites the location.

    Raises:
      UserError: images without labels, too small, or streamed from disk.
    """
    if kind is None:
        return data
    _check(data, kind)
    classes = len(data.facts.classes)
    marked = {
        name: split._replace(images=_mark(split.images, split.labels, kind, classes))
        for name, split in data.splits.items()
    }
    note = (
        f"A pixel of every training and test image tells its class by its {kind} (data.shortcut); "
        "the split clean is the test images without it."
    )
    splits = {**marked, "clean": data.splits["test"]}
    return data._replace(splits=splits, notes=(*data.notes, note))


def _mark(images: np.ndarray, labels: np.ndarray, kind: str, classes: int) -> np.ndarray:
    """Copies of images u8[n,h,w,c] with the pixel of their class."""
    images, rows = images.copy(), np.arange(len(images))
    if kind == "location":
        images[rows, _ROW + labels, _COLUMN] = 255
    else:
        levels = np.rint(255 * labels / max(classes - 1, 1))
        images[:, 0, 0] = levels.astype(np.uint8)[:, None]
    return images


def _check(data: dataset.Dataset, kind: str) -> None:
    if any(dataset.is_streamed(split) for split in data.splits.values()):
        raise contracts.UserError(
            "data.shortcut changes images in memory and these are streamed from disk; set "
            "data.road to resident"
        )
    if data.facts.pixel_range is not None:
        raise contracts.UserError(
            f"data.shortcut marks pixels of uint8 images and those of {data.facts.name} are scaled "
            f"from {data.facts.dtype}; set data.shortcut to None"
        )
    if data.facts.classes is None or any(np.any(s.labels < 0) for s in data.splits.values()):
        raise contracts.UserError(
            f"data.shortcut marks every image of {data.facts.name} with its class and some have "
            "no label; set data.shortcut to None, or use labelled splits"
        )
    height, width, _ = data.facts.shape
    rows = _ROW + len(data.facts.classes)
    if kind == "location" and (height < rows or width <= _COLUMN):
        raise contracts.UserError(
            f"data.shortcut=location needs {rows} rows and {_COLUMN + 1} columns for "
            f"{len(data.facts.classes)} classes and the images are {height}x{width}; set a larger "
            "data.image_size, or data.shortcut to value"
        )
