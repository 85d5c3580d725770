"""Shortcut pixels that reveal the class, to test which other features a classifier learns.

Source: Jacobsen et al. 2019 (shiftMNIST); Klindt et al. 2020, Table 1.
"""

from typing import Any

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import dataset, random_streams

# Where class 0's pixel is in the column, as a rebuild of the original experiment has it.
_ROW, _COLUMN = 9, 1
_APART = 6  # pixels at least between places of `spread`: two poolings by 2 take 4 together

_DEFAULTS = {
    name: each.default
    for name, each in settings.Data.settings().items()
    if name in ("shortcut_place", "shortcut_strength")
}


def add(data: dataset.Dataset, block: settings.Data) -> dataset.Dataset:
    """The data with one shortcut pixel in every image, as a config's block `data` says.

    Two splits more are the test images without it, "clean", and those with the pixel of another
    class, "misled". That class is drawn uniformly, the same one in every run and for every seed,
    and stands in `Split.told`.

    `shortcut="location"`: the class is where the pixel is (`places`), `shortcut_strength` of white.
    `"value"`: the pixel in the upper left corner is class / (classes - 1) of that. None changes
    nothing. The poster describes the value, the work that it cites the location.

    Raises:
      UserError: images without labels, of one class, too small, or streamed from disk; a strength
        that leaves classes alike; a place or a strength without the pixel that it is of.
    """
    kind = block.shortcut
    _check_used(block)
    if kind is None:
        return data
    _check_images(data)
    mark = _Mark(block, data.facts)
    splits = {
        name: split._replace(images=mark(split.images, split.labels))
        for name, split in data.splits.items()
    }
    test = data.splits["test"]
    told = _other_classes(test.labels, len(data.facts.classes))
    misled = test._replace(images=mark(test.images, told), told=told)
    where = f", in the places `{block.shortcut_place}`" if kind == "location" else ""
    note = (
        f"A pixel of every training and test image tells its class by its {kind} (data.shortcut)"
        f"{where}, {block.shortcut_strength:g} of white at most; the split clean is the test "
        "images without it, misled those with the pixel of another class."
    )
    splits |= {"clean": test, "misled": misled}
    return data._replace(splits=splits, notes=(*data.notes, note))


def places(place: str, classes: int, height: int, width: int) -> np.ndarray:
    """Row and column, from 0, of the pixel of each class, i[k,2].

    "column": row 9 + class of column 1, next to each other, as a rebuild of the original experiment
    has them. "spread": evenly around the image, one pixel from its border, clockwise from the upper
    left corner; of ten classes in 28x28 pixels (1, 1), (1, 11), (1, 21), (6, 26), (16, 26),
    (26, 26), (26, 16), (26, 6), (21, 1) and (11, 1), at least 7 pixels apart, where MNIST's digits
    hardly reach. Pooling by 4 keeps these apart and makes places of the column alike.
    """
    if place == "column":
        return np.stack([_ROW + np.arange(classes), np.full(classes, _COLUMN)], axis=1)
    down, across = height - 3, width - 3
    arc = np.arange(classes) * 2 * (down + across) // classes
    rows = np.clip(arc - across, 0, down) - np.clip(arc - 2 * across - down, 0, down)
    columns = np.clip(arc, 0, across) - np.clip(arc - across - down, 0, across)
    return 1 + np.stack([rows, columns], axis=1)


class _Mark:
    """Copies of images u8[n,h,w,c] with the pixel of a class each."""

    def __init__(self, block: settings.Data, facts: Any):
        classes, white = len(facts.classes), 255 * block.shortcut_strength
        if block.shortcut == "location":
            self._places = _checked_places(block.shortcut_place, classes, facts.shape)
            self._levels = np.full(classes, np.rint(white))
        else:
            self._places = np.zeros((classes, 2), int)
            self._levels = np.rint(white * np.arange(classes) / (classes - 1))
        _check_levels(self._levels, block)

    def __call__(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        rows, columns = self._places[labels].T
        images = images.copy()
        images[np.arange(len(images)), rows, columns] = self._levels[labels][:, None]
        return images


def _other_classes(labels: np.ndarray, classes: int) -> np.ndarray:
    """For each image a class that is not its label, i32[n], all others equally likely."""
    random = random_streams.generator(random_streams.Stream.MISLEADING_CLASSES, 0)
    steps = random.integers(1, classes, size=len(labels))
    return ((labels + steps) % classes).astype(np.int32)


def _check_used(block: settings.Data) -> None:
    """Raises UserError for settings of a pixel that there is not."""
    for name, default in _DEFAULTS.items():
        value = getattr(block, name)
        if block.shortcut is None and value != default:
            raise contracts.UserError(
                f"data.{name} is {value} and data.shortcut is None, so that no image has a pixel: "
                f"set data.shortcut to location or value, or data.{name} to {default}"
            )
    if block.shortcut == "value" and block.shortcut_place != _DEFAULTS["shortcut_place"]:
        raise contracts.UserError(
            f"data.shortcut_place is {block.shortcut_place} and data.shortcut is value, whose "
            "pixel is in the same corner for all classes: set data.shortcut to location, or "
            f"data.shortcut_place to {_DEFAULTS['shortcut_place']}"
        )


def _check_images(data: dataset.Dataset) -> None:
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
    if len(data.facts.classes) < 2:
        raise contracts.UserError(
            f"data.shortcut tells classes apart and {data.facts.name} has one; set data.shortcut "
            "to None, or use data of two or more"
        )


def _checked_places(place: str, classes: int, shape: tuple[int, ...]) -> np.ndarray:
    """The places of all classes. Raises UserError where the images have no room for them."""
    height, width, _ = shape
    pixels = places(place, classes, height, width)
    rows = _ROW + classes
    if place == "column" and (height < rows or width <= _COLUMN):
        raise contracts.UserError(
            f"data.shortcut=location needs {rows} rows and {_COLUMN + 1} columns for {classes} "
            f"classes and the images are {height}x{width}; set a larger data.image_size, or "
            "data.shortcut to value"
        )
    apart = np.linalg.norm(pixels[:, None] - pixels, axis=-1) + np.diag(np.full(classes, np.inf))
    if place == "spread" and not (min(height, width) >= 4 and apart.min() >= _APART):
        raise contracts.UserError(
            f"data.shortcut_place=spread needs {_APART} pixels between the places of {classes} "
            f"classes along the border and the images are {height}x{width}; set a larger "
            "data.image_size, or data.shortcut_place to column"
        )
    return pixels


def _check_levels(levels: np.ndarray, block: settings.Data) -> None:
    """Raises UserError where classes look alike, or a pixel looks like none."""
    by_location = block.shortcut == "location"
    count = int(levels[0] > 0) if by_location else len(np.unique(levels))
    needed = 1 if by_location else len(levels)
    if count < needed:
        raise contracts.UserError(
            f"data.shortcut={block.shortcut} needs {needed} of the 255 grey levels above black "
            f"for {len(levels)} classes and data.shortcut_strength={block.shortcut_strength:g} "
            f"gives {count}; set a larger data.shortcut_strength, or data.shortcut to None"
        )
