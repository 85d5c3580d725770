"""Seed patches: places of the training images where much changes, each to be a class of its own.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2: patches of 32x32 pixels at random places
  of unlabelled images, with probability proportional to the mean squared gradient.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_IMAGES = 50_000  # candidates at most, unless more patches than half of that are wanted
_PIXELS = 4_000_000  # of the images whose gradients are in memory at once
# Places lie on a grid, this part of the patch apart: copies are moved by up to 0.2 of a patch, so
# that classes nearer to each other could not be told apart.
_STEPS_PER_PATCH = 4


class _Places(NamedTuple):
    """Some places: the image's position i[n], top and left i[n], a key f[n]; low keys are drawn."""

    image: np.ndarray
    top: np.ndarray
    left: np.ndarray
    key: np.ndarray

    def lowest(self, count: int) -> "_Places":
        if len(self.key) <= count:
            return self
        kept = np.argpartition(self.key, count - 1)[:count]
        return _Places(*(column[kept] for column in self))


def seeded(
    whole: dataset.Dataset, *, seeds: int, patch: int, context: int, seed: int
) -> dataset.Dataset:
    """The data set whose training images are `seeds` patches of its training images.

    A place is drawn with probability proportional to the mean squared gradient there, among the
    places not drawn before. Places lie on a grid, a quarter of the patch apart and shifted at
    random in each image; of an image that is no larger than the patch there is one, the whole
    image. At most 50,000 images, drawn at random, are looked at.

    Args:
      patch: its side in pixels, that of the image where this is smaller.
      context: pixels around the patch that are kept where the image has them, and mirrored where it
        ends (edge pixels are not repeated). They carry no weight.
      seed: of the draw, which is the same in every run and on every road.

    Returns:
      images u8[seeds, patch + 2 * context, patch + 2 * context, c] with the labels and names of the
      images that they are from, in the order of these; the test split as it is.

    Raises:
      UserError: a number that cannot be; more patches than places with a gradient.
    """
    _check(seeds, patch, context)
    train = whole.splits["train"]
    height, width, channels = whole.facts.shape
    sides = min(patch, height), min(patch, width)
    random = np.random.default_rng([seed, 1])
    rows = np.arange(len(train.images))
    if (most := max(_IMAGES, 2 * seeds)) < len(rows):
        rows = np.sort(random.choice(len(rows), most, replace=False))
    drawn = _drawn(train.images, rows, sides, seeds, random)
    if len(drawn.key) < seeds:
        raise contracts.UserError(
            f"data.seeds is {seeds:,} and {whole.facts.name} has {len(drawn.key):,} places for "
            f"patches of {patch} pixels; set it to at most that, or use a smaller data.patch"
        )
    order = np.lexsort((drawn.left, drawn.top, drawn.image))
    drawn = _Places(*(column[order] for column in drawn))
    images = np.empty((seeds, *(side + 2 * context for side in sides), channels), np.uint8)
    _cut(train.images, drawn, sides, context, images)
    sources = len(np.unique(drawn.image))
    of = f"of {sources:,} of the {len(train.images):,} training images of {whole.facts.name}"
    margin = f", with {context} pixels around them" if context else ""
    note = f"Trained on {seeds:,} patches of {sides[0]}x{sides[1]} pixels{margin}, {of}."
    return dataset.Dataset(
        whole.facts._replace(shape=images.shape[1:]),
        {**whole.splits, "train": _of_patches(train, drawn.image, images)},
        f"{whole.road}; trained on {seeds:,} patches {of}",
        (note,),
    )


def _check(seeds: int, patch: int | None, context: int) -> None:
    numbers = {"seeds": (seeds, 1), "patch": (patch, 2), "context": (context, 0)}
    for name, (value, least) in numbers.items():
        if not isinstance(value, int) or value < least:
            raise contracts.UserError(
                f"data.{name} is {value!r} and data.seeds asks for patches of the training images; "
                f"set it to a whole number, {least} or more"
            )


def _of_patches(train: dataset.Split, rows: np.ndarray, images: np.ndarray) -> dataset.Split:
    labels = np.asarray(train.labels[rows])
    names = None if train.names is None else tuple(train.names[row] for row in rows)
    return dataset.Split(images, labels, names)


def _drawn(images, rows: np.ndarray, sides, count: int, random: np.random.Generator) -> _Places:
    """The `count` places with the lowest keys, fewer where there are not so many.

    A key is an exponential variable over the place's weight: their order is that of draws without
    replacement, each proportional to the weights that are left.
    """
    lowest = _Places(*(np.empty(0, kind) for kind in (np.int64, np.int64, np.int64, np.float64)))
    for chunk, squares in _gradients(images, rows):
        places = _grid(chunk, squares, sides, random)
        joined = (np.concatenate(both) for both in zip(lowest, places, strict=True))
        lowest = _Places(*joined).lowest(count)
    return lowest


def _gradients(images, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of some images and their squared gradients f64[n,h,w], part by part."""
    size = max(1, _PIXELS // int(np.prod(images.shape[1:3])))
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        yield chunk, squared_gradient(images[chunk])


def squared_gradient(images: np.ndarray) -> np.ndarray:
    """|gradient|^2 of the grey of images u8[n,h,w,c] at each pixel, f64[n,h,w].

    By central differences, and one-sided ones at the edges.
    """
    weights = _LUMA if images.shape[-1] == 3 else np.full(images.shape[-1], 1 / images.shape[-1])
    grey = images.astype(np.float32) @ weights.astype(np.float32)
    return sum(np.gradient(grey, axis=axis).astype(np.float64) ** 2 for axis in (1, 2))


def _grid(rows, squares: np.ndarray, sides, random: np.random.Generator) -> _Places:
    """The places of the grid in some images that have a gradient, and their keys."""
    integral = np.pad(squares.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    tops, lefts = (
        _positions(whole - side + 1, max(1, side // _STEPS_PER_PATCH), len(rows), random)
        for whole, side in zip(squares.shape[1:], sides, strict=True)
    )
    top, left = np.broadcast_arrays(tops[:, :, None], lefts[:, None, :])
    n = np.broadcast_to(np.arange(len(rows))[:, None, None], top.shape)
    inside = (top >= 0) & (left >= 0)
    n, top, left = n[inside], top[inside], left[inside]
    bottom, right = top + sides[0], left + sides[1]
    weight = integral[n, bottom, right] - integral[n, top, right]
    weight += integral[n, top, left] - integral[n, bottom, left]
    # Differences of sums of up to 1e10 leave 1e-6 where there is nothing.
    lively = weight > 1e-3
    key = random.standard_exponential(len(weight))[lively] / weight[lively]
    return _Places(rows[n[lively]], top[lively], left[lively], key)


def _positions(count: int, step: int, images: int, random: np.random.Generator) -> np.ndarray:
    """Every `step`-th of `count` positions from a random one on, i[images,m]; -1 beyond the end."""
    first = random.integers(min(step, count), size=images)
    found = first[:, None] + step * np.arange(-(-count // step))
    return np.where(found < count, found, -1)


def _cut(images, drawn: _Places, sides, context: int, into: np.ndarray) -> None:
    """Writes the patches with their margins, reading each image once, some at a time."""
    size = max(1, _PIXELS // int(np.prod(images.shape[1:3])))
    margins = ((context, context), (context, context), (0, 0))
    rows, owner = np.unique(drawn.image, return_inverse=True)
    for start in range(0, len(rows), size):
        read = images[rows[start : start + size]]
        for index in np.flatnonzero((owner >= start) & (owner < start + size)):
            padded = np.pad(read[owner[index] - start], margins, mode="reflect")
            top, left = drawn.top[index], drawn.left[index]
            height, width = (side + 2 * context for side in sides)
            into[index] = padded[top : top + height, left : left + width]
