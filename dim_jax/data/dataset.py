"""What a data source hands over: decoded images and labels of a training and a test split."""

from typing import NamedTuple

import numpy as np

from dim_jax.data import facts


class Split(NamedTuple):
    """Images u8[n,h,w,c], labels i32[n] (-1 = none), and file names where the source has files."""

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] | None = None


class Dataset(NamedTuple):
    """The facts of a data set and its splits, with the keys "train" and "test"."""

    facts: facts.Facts
    splits: dict[str, Split]
