"""Images: embedded digits, TensorFlow Datasets on disk, folders and other files, and arrays.

All become a `dataset.Dataset`; `resident` and `streaming` turn it into batches. May import
`contracts`, `settings` and `processes.user_cache`; no networks, methods or training.
"""

import dataclasses
import importlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import origins, trained_on
from dim_jax.data.dataset import Dataset, Split, centre, check_crop, evaluated, is_streamed, select
from dim_jax.data.facts import Facts, describe_classes, normalise, scaling
from dim_jax.data.fingerprint import difference, without_test
from dim_jax.data.image_checks import add_notes, count_shared, describe_shared
from dim_jax.data.pixel_range import PixelRange, to_unit
from dim_jax.data.seeds import seeded

# Modules by the prefix of `data.name`; other names are of TensorFlow Datasets.
_SOURCES = {
    "array": "array_file",
    "folder": "folder",
    "list": "file_list",
    "shards": "shards",
    "parquet": "parquet",
}

_EMBEDDED = ("digits", "ring")  # each a module with `load(block)`
_ENCODED = ("folder", "list", "shards", "parquet")
# Settings that only some sources read.
_READ_BY = {
    "channels": _ENCODED,
    "bits": _ENCODED,
    "image_column": ("array", "list", "shards", "parquet"),
    "label_column": ("array", "list", "shards", "parquet"),
}

__all__ = [
    "Dataset",
    "Facts",
    "PixelRange",
    "Split",
    "add_notes",
    "centre",
    "count_shared",
    "count_trained_on",
    "describe_classes",
    "describe_shared",
    "difference",
    "evaluated",
    "is_embedded",
    "is_encoded",
    "is_streamed",
    "lists_labels",
    "load",
    "load_all",
    "load_configured",
    "load_evaluated",
    "load_like",
    "normalise",
    "scaling",
    "seeded",
    "select",
    "to_unit",
    "without_test",
]


def load(name: str, *, seed: int = 0, road: str = "resident", **options) -> Dataset:
    """A data set: facts, and the splits "train" and "test".

    Args:
      name: "digits" (embedded, 8x8 grey) or "ring" (embedded points); a TFDS image set, such as
        "cifar10", "stl10:1.0.0" or "imagenette/160px-v2", with its binary attributes where it has
        some ("celeb_a");
        "folder:PATH", whose images (red, green, blue unless `channels` is set) lie directly in PATH
        (no labels), in PATH/CLASS, or in either way below PATH/train and PATH/test (or other usual
        names, see `folder_layout`); "list:FILE.csv", with the columns path, label and split;
        "shards:PATTERN" or "parquet:PATTERN", files with such images in them (see those modules);
        or "array:PATH", with images of any number of channels and type (see `array_file.open_`).
      seed: chooses which images of a folder are held out; `digits` has one fixed split.
      road, options: other settings of a config's block `data`, such as `image_size=64`
        (`settings.Data`).

    Raises:
      UserError: an unknown name or setting, a set that is not on disk, images that cannot be used;
        each message gives the remedy.
    """
    return load_configured(settings.Data.of(dict(options, name=name, road=road)), seed)


def load_all(name: str | os.PathLike, **options) -> Dataset:
    """All images of a source, read when indexed, as the one split "all".

    Args:
      name: a source with a prefix, as of `load`, or the path of a folder, whose images are in the
        order of their names.
      options: settings of a config's block `data`.

    Raises:
      UserError: as `load`.
    """
    from dim_jax.data import lazy

    name = str(name) if _source(str(name)) else f"folder:{name}"
    block = settings.Data.of(dict(options, name=name))
    opened = _module(block).open_all(block)
    source = opened.sources["all"]
    labels, _ = source.targets(np.arange(len(source)))
    images = lazy.Images(source, block.worker_threads)
    splits = {"all": Split(images, labels, source.names)}
    return Dataset(opened.facts, splits, notes=opened.notes)


def load_configured(block: settings.Data, seed: int = 0) -> Dataset:
    """`load` for the block `data` of a config; `seed` as there."""
    from dim_jax.data import channel_statistics, shortcut

    loaded = channel_statistics.measure(_load(block, seed), block.scaling)
    return shortcut.add(_with_fit(loaded, block), block)


def load_evaluated(trained: Dataset, block: settings.Data, crop: int | None) -> Dataset:
    """The data that evaluations see, of a data set that is trained on.

    They are the centres of size `crop`, `evaluated` on at most `block.eval_train_images`. With
    `block.eval_size` the images are decoded again, at that size and on the same road; the range and
    the statistics of pixels are those of the images that are trained on.

    Raises:
      UserError: a size for evaluations without a crop, or with shortcut pixels; a crop larger than
        the images.
    """
    if block.eval_size is None:
        return evaluated(trained, crop, block.eval_train_images)
    if crop is None and block.seeds is None:
        raise contracts.UserError(
            f"data.eval_size is {block.eval_size} and augment.crop is None, so that evaluations "
            "would see images of another size than the training; set augment.crop to the side "
            "that the encoder sees, or data.eval_size to None"
        )
    if block.shortcut is not None:
        raise contracts.UserError(
            f"data.eval_size is {block.eval_size} and data.shortcut marks single pixels, which "
            "another size would blur; set one of them to None"
        )
    if crop is not None:
        check_crop(trained, crop)
    road = "streaming" if is_streamed(trained.splits["train"]) else "resident"
    if is_embedded(block.name):
        road = "auto"
    sized = _load(dataclasses.replace(block, image_size=block.eval_size, road=road), seed=0)
    splits = {
        role: split._replace(
            pixel_range=trained.splits[role].pixel_range,
            display=trained.splits[role].display,
            uncut=trained.splits[role].images,
        )
        for role, split in sized.splits.items()
    }
    facts = trained.facts._replace(shape=sized.facts.shape, fit=block.fit)
    resized = trained._replace(facts=facts, splits=splits)
    return evaluated(resized, crop, block.eval_train_images)


def load_like(block: settings.Data, like: Dataset) -> Dataset:
    """A data set whose images have the channels and the range of pixels of those of another one.

    `block.scaling` and `block.shortcut` are not read.

    Raises:
      UserError: as `load`; images of another type, or with channels that are not converted.
    """
    from dim_jax.data import likeness

    return _with_fit(likeness.give(_load(block, seed=0), like), block)


def count_trained_on(
    judged: Dataset, trainings: Sequence[Mapping[str, Any]], data_dir: str | None = None
) -> tuple[int, list[str]]:
    """The number of test images that an encoder or its probes are trained on, and notes on them.

    Images are located without being read. Those that are not there are left out, with a note.

    Args:
      judged: the data set of the evaluations, on whose training images probes are trained.
      trainings: the settings of images that the encoder was trained on, as of
        `settings.Data.images`; those of `judged` may be missing.
      data_dir: the folder of TensorFlow Datasets, None = the usual one.
    """

    def locate(given: Mapping[str, Any]) -> origins.Origin:
        if not _may_share(given["name"], judged.facts.name):
            return {}
        block = settings.Data.of({**given, "data_dir": data_dir})
        return _module(block).open_(block, 0).sources["train"].origin()

    return trained_on.count(judged, trainings, locate)


def _may_share(name: str, other: str) -> bool:
    """Whether two data sets may have stored images in common: versions of one, or files."""
    if _source(name) and _source(other):
        return True
    return re.split("[/:]", name)[0] == re.split("[/:]", other)[0]


def _with_fit(loaded: Dataset, block: settings.Data) -> Dataset:
    if block.image_size is None:
        return loaded
    return loaded._replace(facts=loaded.facts._replace(fit=block.fit))


def _load(block: settings.Data, seed: int) -> Dataset:
    from dim_jax.data import roads

    _check_used(block)
    if is_embedded(block.name):
        if block.road == "streaming":
            raise contracts.UserError(
                f"data.road is streaming and the {block.name} are part of the package, in memory "
                "as they are: set data.road to auto"
            )
        return importlib.import_module(f"dim_jax.data.{block.name}").load(block)
    return roads.take(_module(block).open_(block, seed), block.road, block.worker_threads)


def _check_used(block: settings.Data) -> None:
    """Raises UserError for a setting that the source does not read."""
    prefix = block.name.partition(":")[0] if _source(block.name) else None
    for setting, prefixes in _READ_BY.items():
        value = getattr(block, setting)
        if value is not None and prefix not in prefixes:
            names = ", ".join(f"{each}:" for each in prefixes)
            raise contracts.UserError(
                f"data.{setting} is {value} and data.name is {block.name}, whose images do not "
                f"depend on it: set it to None, or use a source of {names}"
            )


def is_encoded(name: str) -> bool:
    """Whether a source is of encoded images, whose channels and bits can be set."""
    return _source(name) is not None and name.partition(":")[0] in _ENCODED


def is_embedded(name: str) -> bool:
    """Whether a data set is part of the package, in memory whatever `data.road` is."""
    return name in _EMBEDDED


def lists_labels(name: str) -> bool:
    """Whether the labels of a source are known without reading its images."""
    return is_embedded(name) or _source(name) is not None


def _source(name: str) -> str | None:
    prefix, colon, _ = name.partition(":")
    return _SOURCES.get(prefix) if colon else None


def _module(block: settings.Data) -> Any:
    """The module with `open_(block, seed)` for a source, and `open_all(block)` unless of TFDS."""
    name = _source(block.name) or "tfds_arrays"
    return importlib.import_module(f"dim_jax.data.{name}")  # some take a second to import
