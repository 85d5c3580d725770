"""Data sets: images and labels of a training and a test split, and the subset for evaluations."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import facts, lazy, memory, origins
from dim_jax.data import pixel_range as ranges

# Default number of training images for evaluations if they do not all fit in memory.
_EVALUATED = 50_000


class Split(NamedTuple):
    """Images [n,h,w,c], labels i32[n] (-1 = none), and fields that only some sources have.

    names: of the files. attributes: 0 or 1, u8[n,a], in the order of `Facts.attributes`;
    None also if one of them is unknown. pixel_range: as in `Facts`; without one images are u8.
    display: the range of pictures, which leaves out extreme values; None = that of u8.
    told: the classes i32[n] that shortcut pixels give, where they are not the labels.
    uncut: the images [n,h',w',c] that training cuts its crops from, None = the images.

    Images and labels of a streamed split are `lazy.Images` and `lazy.Labels`, decoded when indexed;
    for evaluations, labels and attributes are arrays again (see `evaluated`).
    """

    images: np.ndarray | lazy.Images
    labels: np.ndarray | lazy.Labels
    names: tuple[str, ...] | None = None
    attributes: np.ndarray | None = None
    pixel_range: ranges.PixelRange | None = None
    display: ranges.PixelRange | None = None
    told: np.ndarray | None = None
    uncut: np.ndarray | lazy.Images | None = None


class Dataset(NamedTuple):
    """The facts of a data set and its splits, with the keys "train" and "test".

    road: a phrase that says where training images come from, and why. notes: sentences for the
    results. fingerprint: what a run that is continued compares (see `fingerprint`); None = nothing.
    stored: where the images of each complete split are; None = that is not known.
    """

    facts: facts.Facts
    splits: dict[str, Split]
    road: str = "resident"
    notes: tuple[str, ...] = ()
    fingerprint: dict[str, Any] | None = None
    stored: Mapping[str, origins.Origin] | None = None


def is_streamed(split: Split) -> bool:
    """Whether the images stay on disk until they are indexed."""
    return isinstance(split.images, lazy.Images)


def select(split: Split, rows: np.ndarray) -> Split:
    """The examples at some positions; streamed images stay on disk."""
    images = _chosen(split.images, rows)
    uncut = None if split.uncut is None else _chosen(split.uncut, rows)
    unread = isinstance(split.labels, lazy.Labels)
    labels = lazy.Labels(images) if unread else split.labels[rows]
    names = None if split.names is None else tuple(split.names[row] for row in rows)
    attributes = None if split.attributes is None else split.attributes[rows]
    told = None if split.told is None else split.told[rows]
    chosen = dict(images=images, labels=labels, names=names, attributes=attributes)
    return split._replace(**chosen, told=told, uncut=uncut)


def _chosen(images: np.ndarray | lazy.Images, rows: np.ndarray) -> np.ndarray | lazy.Images:
    return images.select(rows) if isinstance(images, lazy.Images) else images[rows]


def uncut(split: Split) -> Split:
    """The split with the images from which training cuts its crops, for views as in training."""
    return split if split.uncut is None else split._replace(images=split.uncut, uncut=None)


def shown(split: Split, rows: np.ndarray) -> np.ndarray:
    """The images at some positions as u8[n,h,w,c], to look at."""
    return ranges.to_u8(split.images[rows], split.display)


def in_unit(split: Split) -> Split:
    """The split with images u8, or with a pixel range f32 in [0, 1], in memory."""
    if split.pixel_range is None:
        return split
    unit = ranges.to_unit(np.asarray(split.images), split.pixel_range).clip(0, 1)
    return split._replace(images=unit, pixel_range=None)


def centre(dataset: Dataset, size: int | None) -> Dataset:
    """The same data set with the centre [size, size] of every image; None keeps the images.

    The complete images are `Split.uncut`, unless it has others.

    Raises:
      UserError: a size that is not positive, or images smaller than that.
    """
    if size is None:
        return dataset
    check_crop(dataset, size)
    height, width, channels = dataset.facts.shape
    top, left = (height - size) // 2, (width - size) // 2
    splits = {
        name: split._replace(
            images=split.images[:, top : top + size, left : left + size],
            uncut=split.images if split.uncut is None else split.uncut,
        )
        for name, split in dataset.splits.items()
    }
    cropped = dataset.facts._replace(shape=(size, size, channels), uncropped=dataset.facts.shape)
    return dataset._replace(facts=cropped, splits=splits)


def check_crop(dataset: Dataset, size: int) -> None:
    """Raises UserError for a crop that is not positive, or larger than the images."""
    height, width, _ = dataset.facts.shape
    if not 0 < size <= min(height, width):
        raise contracts.UserError(
            f"the images of {dataset.facts.name} are {height}x{width} pixels and augment.crop is "
            f"{size}; use a crop from 1 to {min(height, width)}, or another data.image_size (of "
            "evaluations: data.eval_size)"
        )


def evaluated(dataset: Dataset, crop: int | None = None, limit: int | None = None) -> Dataset:
    """The data for evaluations: centre crops of size `crop`, at most `limit` training images.

    These are drawn at random, the same ones in every run and for every seed. None: all of them, or
    50,000 if they do not fit in memory. Labels and attributes become arrays, images do not.

    Raises:
      UserError: a crop that cannot be used.
    """
    dataset = centre(dataset, crop)
    splits, notes = dict(dataset.splits), dataset.notes
    train = splits["train"]
    count = len(train.images)
    if limit is None:
        limit = (
            count
            if memory.fits(memory.needed(train.images.shape, train.images.dtype))
            else _EVALUATED
        )
    if limit < count:
        rows = np.random.RandomState(0).permutation(count)[:limit]
        splits["train"] = select(train, np.sort(rows))
        notes += (
            f"Evaluations use {limit:,} of the {count:,} training images, drawn at random "
            "(data.eval_train_images); the PCA is fitted on them too.",
        )
    return dataset._replace(
        splits={name: _with_targets(split) for name, split in splits.items()}, notes=notes
    )


def _with_targets(split: Split) -> Split:
    """The split with labels and attributes in memory."""
    if not isinstance(split.labels, lazy.Labels):
        return split
    labels, attributes = split.labels.targets()
    return split._replace(labels=labels, attributes=attributes)
