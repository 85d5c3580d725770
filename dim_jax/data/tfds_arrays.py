"""TensorFlow Datasets image sets as arrays, read without TensorFlow.

Files must be in the array_record format. TensorFlow is needed only to download and prepare a set
that is not on disk yet, and only TFDS itself imports it.
"""

import difflib
import importlib.util
import json
import os
import pathlib
import re
import textwrap
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, facts, pixels

_RECORDS_PER_READ = 1024


def load(
    name: str,
    data_dir: str | None,
    image_size: int | None,
    train_split: str | None,
    test_split: str | None,
) -> dataset.Dataset:
    """A TFDS image data set as arrays; see `data.load` for the arguments.

    Raises:
      UserError: an unknown name; a set that is neither on disk nor preparable here; a split that
        does not exist; images of several sizes and no image_size; a record that is no image.
    """
    root = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    root = root.expanduser()
    builder = _builder(name, root)
    image_key, label_key = _feature_keys(name, builder.info)
    height, width, channels = builder.info.features[image_key].shape
    if image_size is None and None in (height, width):
        raise contracts.UserError(
            f"the images of {name} differ in size: set data.image_size, such as 64, to have them "
            "resized and centre-cropped"
        )
    available = list(builder.info.splits)
    wanted = {
        "train": train_split or _default_split(name, available, ("train",), "train"),
        "test": test_split or _default_split(name, available, ("test", "validation"), "test"),
    }
    shape = (image_size or height, image_size or width, channels)
    splits = {
        role: _read(name, builder, split, image_key, label_key, shape, image_size is not None)
        for role, split in wanted.items()
    }
    mean, std = facts.statistics(name, channels)
    classes = tuple(builder.info.features[label_key].names) if label_key else None
    return dataset.Dataset(facts.Facts(name, shape, classes, mean, std), splits)


def _builder(name: str, root: pathlib.Path) -> Any:
    """The read-only TFDS builder of a set on disk, prepared first if that is possible."""
    folder = _find(name, root)
    if folder is None and importlib.util.find_spec("tensorflow") is not None:
        folder = _prepare(name, root)
    if folder is None:
        raise _absent(name, root)
    stored = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    formats = [stored.get("fileFormat", "tfrecord"), *stored.get("alternativeFileFormats", ())]
    if "array_record" not in formats:
        raise contracts.UserError(
            f"{folder} is stored as {formats[0]}, which cannot be read without TensorFlow: move "
            "it away or set data.data_dir to another folder, to have the set prepared again as "
            "array_record"
        )
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(folder)


def _find(name: str, root: pathlib.Path) -> pathlib.Path | None:
    """The folder root/name[/config]/version of a prepared set, the newest version by default."""
    name, _, version = name.partition(":")
    folder = root / name
    default = folder / ".config" / "metadata.json"
    if "/" not in name and default.is_file():
        config = json.loads(default.read_text(encoding="utf-8")).get("default_config_name")
        folder = folder / config if config else folder
    found = [
        path.parent
        for path in folder.glob(f"{version or '*'}/features.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
        and (path.parent / "dataset_info.json").is_file()
    ]
    return max(found, key=lambda path: [int(part) for part in path.name.split(".")], default=None)


def _prepare(name: str, root: pathlib.Path) -> pathlib.Path:
    """Downloads the set and writes it to root/name/... as array_record, with TensorFlow."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=root, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        raise _absent(name, root) from error
    except (ValueError, RuntimeError) as error:  # an unknown config or version
        raise contracts.UserError(
            f"TFDS cannot build {name} ({_shortened(error.__cause__ or error)}): write the name "
            "as in its catalogue, NAME, NAME/CONFIG or NAME:VERSION"
        ) from error
    print(f"{name} is not on disk in {root}: TensorFlow Datasets downloads and prepares it")
    try:
        builder.download_and_prepare()
    except Exception as error:  # network, disk space, licence pages, broken archives
        raise contracts.UserError(
            f"TFDS could not prepare {name} in {root}: {_shortened(error)}"
        ) from error
    return pathlib.Path(builder.data_dir)


def _shortened(error: BaseException) -> str:
    return textwrap.shorten(str(error), width=400) or type(error).__name__


def _absent(name: str, root: pathlib.Path) -> contracts.UserError:
    """The error for a set that is not on disk, after what is known of its name."""
    builder = re.split("[/:]", name)[0]
    on_disk = _names_on_disk(root)
    place = f"in {root}" if root.is_dir() else f"in {root}, a folder that does not exist"
    siblings = [known for known in on_disk if known.split("/")[0] == builder]
    if builder in facts.STATISTICS or siblings:
        instead = f" (there is {', '.join(siblings)})" if siblings else ""
        return contracts.UserError(
            f"the data set {name} is not on disk {place}{instead}: set data.data_dir or the "
            "environment variable TFDS_DATA_DIR to the folder that holds it, or install what "
            "downloads and prepares it with `python -m pip install -e '.[prepare]'`"
        )
    known = sorted({"digits", "folder:PATH", *facts.STATISTICS, *on_disk})
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return contracts.UserError(
        f"unknown data set {name}: {hint}it can be {', '.join(known)} or another TFDS image set "
        f"that is on disk {place}"
    )


def _names_on_disk(root: pathlib.Path) -> list[str]:
    """The names, with configs, of the prepared sets in a TFDS data folder."""
    found = [*root.glob("*/*/features.json"), *root.glob("*/*/*/features.json")]
    return sorted({path.parent.parent.relative_to(root).as_posix() for path in found})


def _feature_keys(name: str, info: Any) -> tuple[str, str | None]:
    """The names of the image feature and of the label feature, None without labels."""
    from tensorflow_datasets import features

    def first(kind: type, preferred: tuple[str, ...]) -> str | None:
        of_kind = [key for key, feature in info.features.items() if isinstance(feature, kind)]
        return next((key for key in preferred if key in of_kind), None)

    supervised = [key for key in info.supervised_keys or () if isinstance(key, str)]
    image = first(features.Image, (*supervised, "image"))
    if image is None:
        raise contracts.UserError(
            f"{name} has no feature named image (it has {', '.join(info.features)}): choose an "
            "image data set"
        )
    kind = info.features[image]
    if kind.shape[-1] not in (1, 3) or np.dtype(kind.np_dtype) != np.uint8:
        raise contracts.UserError(
            f"the images of {name} are {np.dtype(kind.np_dtype)} with {kind.shape[-1]} channels: "
            "choose a set of uint8 images with 1 or 3"
        )
    return image, first(features.ClassLabel, (*supervised, "label"))


def _default_split(name: str, available: list[str], choices: tuple[str, ...], role: str) -> str:
    for choice in choices:
        if choice in available:
            return choice
    raise contracts.UserError(
        f"{name} has no split {' or '.join(choices)}: set data.{role}_split to one of "
        f"{', '.join(available)} or to a part such as {available[0]}[:80%]"
    )


def _read(
    name: str,
    builder: Any,
    split: str,
    image_key: str,
    label_key: str | None,
    shape: tuple[int, int, int],
    resize: bool,
) -> dataset.Split:
    """All images and labels of one split, decoded into one array as they are read."""
    import tensorflow_datasets as tfds

    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        source = builder.as_data_source(split=split, decoders=encoded)
    except ValueError as error:
        raise contracts.UserError(
            f"{name} has no split {split!r}: use {', '.join(builder.info.splits)}, a part such "
            "as train[:80%], or a sum such as train+test"
        ) from error
    images = pixels.allocate(len(source), shape)
    labels = np.full(len(source), -1, np.int32)
    for start in range(0, len(source), _RECORDS_PER_READ):
        indices = range(start, min(start + _RECORDS_PER_READ, len(source)))
        for index, example in zip(indices, source.__getitems__(list(indices)), strict=True):
            image = pixels.decode(example[image_key], shape[-1])
            if image is None:
                raise contracts.UserError(
                    f"record {index} of {name}, split {split}, is no readable image: prepare the "
                    "set again"
                )
            images[index] = pixels.fit(image, shape[0]) if resize else image
            if label_key:
                labels[index] = example[label_key]
    return dataset.Split(images, labels)
