"""What a data source hands over: decoded images and labels of a training and a test split."""

from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import facts


class Split(NamedTuple):
    """Images u8[n,h,w,c], labels i32[n] (-1 = none), and what only some sources have.

    names: of the files. attributes: 0 or 1, u8[n,a], in the order of `Facts.attributes`;
    None also where one of them is not known.
    """

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] | None = None
    attributes: np.ndarray | None = None


class Dataset(NamedTuple):
    """The facts of a data set and its splits, with the keys "train" and "test"."""

    facts: facts.Facts
    splits: dict[str, Split]


def centre(dataset: Dataset, size: int | None) -> Dataset:
    """The same data set with the centre [size, size] of every image; None keeps the images.

    Raises:
      UserError: a size that is not positive, or images smaller than that.
    """
    if size is None:
        return dataset
    height, width, channels = dataset.facts.shape
    if not 0 < size <= min(height, width):
        raise contracts.UserError(
            f"the images of {dataset.facts.name} are {height}x{width} pixels and augment.crop is "
            f"{size}; use a crop from 1 to {min(height, width)} or another data.image_size"
        )
    top, left = (height - size) // 2, (width - size) // 2
    splits = {
        name: split._replace(images=split.images[:, top : top + size, left : left + size])
        for name, split in dataset.splits.items()
    }
    return Dataset(dataset.facts._replace(shape=(size, size, channels)), splits)
