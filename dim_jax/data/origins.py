"""Places of images in storage, and the number of those that are in two splits."""

import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from dim_jax import contracts

# Names of images, or their positions, by the folder, file or split that holds them.
Origin = Mapping[str, np.ndarray]


def of_files(files: Iterable[pathlib.Path]) -> Origin:
    """The names of image files by their folder; of a link, those of the file that it leads to."""
    folders: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for file in files:
        folder, name = os.path.split(os.path.realpath(file) if os.path.islink(file) else file)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        names.setdefault(folders[folder], []).append(name)
    return {folder: np.array(there) for folder, there in names.items()}


def of_stretches(paths: Iterable[pathlib.Path], file: np.ndarray, offsets: np.ndarray) -> Origin:
    """The places of images in large files; `file` and `offsets` as of `packed.Parts`."""
    places = {number: offsets[file == number] for number in np.unique(file).tolist()}
    held: dict[str, np.ndarray] = {}
    for number, path in enumerate(paths):
        if number in places:
            name = os.path.realpath(path)
            held[name] = np.append(held.get(name, places[number][:0]), places[number])
    return held


def count(images: Origin) -> int:
    """The number of different images."""
    return sum(len(np.unique(places)) for places in images.values())


def unite(images: Origin, others: Origin) -> Origin:
    """The images that are in at least one of two."""
    united = {**images, **others}
    for holder in images.keys() & others.keys():
        united[holder] = np.union1d(images[holder], others[holder])
    return united


def count_shared(images: Origin, others: Origin) -> int:
    """The number of different images that are among the others."""
    shared = images.keys() & others.keys()
    return sum(len(np.intersect1d(images[holder], others[holder])) for holder in shared)


def check(name: str, train: Origin, test: Origin) -> None:
    """Raises UserError for test images that are the training images, all of them.

    Args:
      name: of the data set.
    """
    shared = count_shared(test, train)
    if shared and shared == count(test) == count(train):
        raise contracts.UserError(
            f"the test images of {name} are its {shared:,} training images, so that no result "
            "would be of images that are new to the encoder; set data.test_split or "
            "data.train_split to other images"
        )
