"""Seed patches for Exemplar-CNN: patches of training images with large gradients, one per class.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2: patches of 32x32 pixels at random places
  of unlabelled images, with probability proportional to the mean squared gradient.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import dataset, random_streams
from dim_jax.data.pixel_range import to_unit

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_IMAGES = 50_000  # maximum number of candidates, unless `seeds` is more than half of it
_PIXELS = 4_000_000  # of the images whose gradients are in memory at once
# Places are on a grid with this number of steps per patch: copies are translated by up to 0.2 of a
# patch, so that closer classes could not be distinguished.
_STEPS_PER_PATCH = 4


class _Places(NamedTuple):
    """Places: index of the image i[n], top and left i[n], and a key f[n]; low keys are drawn."""

    image: np.ndarray
    top: np.ndarray
    left: np.ndarray
    key: np.ndarray

    def lowest(self, count: int) -> "_Places":
        if len(self.key) <= count:
            return self
        lowest = np.argpartition(self.key, count - 1)[:count]
        return _Places(*(column[lowest] for column in self))


def seeded(
    data: dataset.Dataset, *, seeds: int, patch: int, context: int, seed: int
) -> dataset.Dataset:
    """The data set with `seeds` patches of its training images as training images.

    Places are drawn without replacement, with probability proportional to their mean squared
    gradient. They are on a grid with a step of a quarter of the patch and a random offset in each
    image; an image that is not larger than the patch has one place. At most 50,000 images, drawn at
    random, are candidates (twice `seeds` if this is more).

    Args:
      patch: side in pixels, at most that of the image.
      context: pixels around the patch that are included, mirrored beyond the edges of the image
        (edge pixels are not repeated). They do not affect the probability.
      seed: of the draw, which is the same in every run and on every road.

    Returns:
      images [seeds, patch + 2 * context, patch + 2 * context, c] with the labels and names of
      their source images, in the order of these; the test split is unchanged.

    Raises:
      UserError: an invalid number; more patches than places with a gradient.
    """
    _check(seeds, patch, context)
    train = data.splits["train"]
    height, width, channels = data.facts.shape
    sides = min(patch, height), min(patch, width)
    random = random_streams.generator(random_streams.Stream.SEED_PATCHES, seed)
    rows = np.arange(len(train.images))
    if (most := max(_IMAGES, 2 * seeds)) < len(rows):
        rows = np.sort(random.choice(len(rows), most, replace=False))
    drawn = _draw(train, rows, sides, seeds, random)
    if len(drawn.key) < seeds:
        raise contracts.UserError(
            f"data.seeds is {seeds:,} and {data.facts.name} has {len(drawn.key):,} places for "
            f"patches of {patch} pixels; set it to at most that, or use a smaller data.patch"
        )
    order = np.lexsort((drawn.left, drawn.top, drawn.image))
    drawn = _Places(*(column[order] for column in drawn))
    sides_of_patches = (side + 2 * context for side in sides)
    images = np.empty((seeds, *sides_of_patches, channels), train.images.dtype)
    _crop(train.images, drawn, sides, context, images)
    sources = len(np.unique(drawn.image))
    origin = f"of {sources:,} of the {len(train.images):,} training images of {data.facts.name}"
    margin = f", with {context} pixels around them" if context else ""
    note = f"Trained on {seeds:,} patches of {sides[0]}x{sides[1]} pixels{margin}, {origin}."
    return data._replace(
        facts=data.facts._replace(shape=images.shape[1:]),
        splits={**data.splits, "train": _make_split(train, drawn.image, images)},
        road=f"{data.road}; trained on {seeds:,} patches {origin}",
        notes=(note,),
    )


def _check(seeds: int, patch: int | None, context: int) -> None:
    for name, value in {"seeds": seeds, "patch": patch, "context": context}.items():
        if value is None:
            raise contracts.UserError(
                f"data.{name} is None and data.seeds asks for patches of the training images; set "
                f"data.{name} to a number of pixels"
            )
        settings.Data.settings()[name].verify(value)


def _make_split(train: dataset.Split, rows: np.ndarray, images: np.ndarray) -> dataset.Split:
    labels = np.asarray(train.labels[rows])
    names = None if train.names is None else tuple(train.names[row] for row in rows)
    return train._replace(images=images, labels=labels, names=names, attributes=None)


def _draw(
    train: dataset.Split, rows: np.ndarray, sides, count: int, random: np.random.Generator
) -> _Places:
    """The `count` places with the lowest keys, or all places if there are fewer.

    A key is an exponential variable divided by the weight of the place: the order of the keys is
    that of draws without replacement, proportional to the weights of the remaining places.
    """
    lowest = _Places(*(np.empty(0, kind) for kind in (np.int64, np.int64, np.int64, np.float64)))
    for chunk, squares in _gradients(train, rows):
        places = _grid(chunk, squares, sides, random)
        columns = (np.concatenate(pair) for pair in zip(lowest, places, strict=True))
        lowest = _Places(*columns).lowest(count)
    return lowest


def _gradients(train: dataset.Split, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields positions of images and their squared gradients f64[n,h,w], in chunks."""
    size = max(1, _PIXELS // math.prod(train.images.shape[1:3]))
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        images = train.images[chunk]
        if train.pixel_range is not None:
            images = 255 * to_unit(images, train.pixel_range)
        yield chunk, squared_gradient(images)


def squared_gradient(images: np.ndarray) -> np.ndarray:
    """|gradient|^2 of the grey images of [n,h,w,c], from 0 to 255, at each pixel, f64[n,h,w].

    From central differences, one-sided at the edges.
    """
    weights = _LUMA if images.shape[-1] == 3 else np.full(images.shape[-1], 1 / images.shape[-1])
    grey = images.astype(np.float32) @ weights.astype(np.float32)
    return sum(np.gradient(grey, axis=axis).astype(np.float64) ** 2 for axis in (1, 2))


def _grid(rows, squares: np.ndarray, sides, random: np.random.Generator) -> _Places:
    """The grid places with a nonzero gradient in some images, and their keys."""
    integral = np.pad(squares.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    tops, lefts = (
        _positions(image_side - side + 1, max(1, side // _STEPS_PER_PATCH), len(rows), random)
        for image_side, side in zip(squares.shape[1:], sides, strict=True)
    )
    top, left = np.broadcast_arrays(tops[:, :, None], lefts[:, None, :])
    n = np.broadcast_to(np.arange(len(rows))[:, None, None], top.shape)
    inside = (top >= 0) & (left >= 0)
    n, top, left = n[inside], top[inside], left[inside]
    bottom, right = top + sides[0], left + sides[1]
    weight = integral[n, bottom, right] - integral[n, top, right]
    weight += integral[n, top, left] - integral[n, bottom, left]
    # Where the gradient is 0, differences of sums of up to 1e10 leave rounding errors of 1e-6.
    nonzero = weight > 1e-3
    key = random.standard_exponential(len(weight))[nonzero] / weight[nonzero]
    return _Places(rows[n[nonzero]], top[nonzero], left[nonzero], key)


def _positions(count: int, step: int, images: int, random: np.random.Generator) -> np.ndarray:
    """Every `step`-th of `count` positions after a random start, i[images,m]; -1 past the end."""
    first = random.integers(min(step, count), size=images)
    positions = first[:, None] + step * np.arange(-(-count // step))
    return np.where(positions < count, positions, -1)


def _crop(images, drawn: _Places, sides, context: int, into: np.ndarray) -> None:
    """Writes the patches with their margins to `into`; reads each image once, in chunks."""
    size = max(1, _PIXELS // math.prod(images.shape[1:3]))
    margins = ((context, context), (context, context), (0, 0))
    rows, source = np.unique(drawn.image, return_inverse=True)
    for start in range(0, len(rows), size):
        chunk = images[rows[start : start + size]]
        for index in np.flatnonzero((source >= start) & (source < start + size)):
            padded = np.pad(chunk[source[index] - start], margins, mode="reflect")
            top, left = drawn.top[index], drawn.left[index]
            height, width = (side + 2 * context for side in sides)
            into[index] = padded[top : top + height, left : left + width]
