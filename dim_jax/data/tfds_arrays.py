"""TensorFlow Datasets (TFDS) images by position, read without TensorFlow, decoded by OpenCV."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import facts, fingerprint, origins, pixels, sources, tfds_disk

_ATTRIBUTES = "attributes"


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of one split: a `sources.Source`.

    records: indexed by position, with encoded images. image, label, attributes: the names of the
    features to read, None = none. image_size: None = all images have one size, else
    made so by `fit` (see `pixels.fit`). ranges: (the name of a split of the data set, with its
    version, first position there, and one after the last) of the records, in their order.
    """

    name: str
    split: str
    records: Any
    ranges: tuple[tuple[str, int, int], ...]
    image: str
    label: str | None
    attributes: tuple[str, ...]
    shape: tuple[int, int, int]
    image_size: int | None
    fit: str = "resize"
    names: None = None
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.records)

    def origin(self) -> origins.Origin:
        """The places of the images in storage; see `sources.Source`."""
        held: dict[str, np.ndarray] = {}
        for split, start, stop in self.ranges:
            held[split] = np.append(held.get(split, np.arange(0)), np.arange(start, stop))
        return held

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        records = self._get(rows)
        for position, (row, record) in enumerate(zip(rows, records, strict=True)):
            image = pixels.decode(record[self.image], self.shape[-1])
            if image is None:
                raise contracts.UserError(
                    f"record {row} of {self.name}, split {self.split}, is not a readable image: "
                    "prepare the data set again"
                )
            if self.image_size:
                image = pixels.fit(image, self.image_size, self.fit)
            images[position] = image
        return sources.Examples(images, *self._targets(records))

    def targets(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Labels and attributes at some positions; see `sources.Source`."""
        return self._targets(self._get(rows))

    def _targets(self, records: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        labels = [record[self.label] if self.label else -1 for record in records]
        attributes = [[record[_ATTRIBUTES][key] for key in self.attributes] for record in records]
        shape = (len(records), len(self.attributes))
        return np.array(labels, np.int32), np.array(attributes, np.int8).reshape(shape)

    def _get(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        try:
            return self.records.__getitems__(list(rows))
        except Exception as error:  # array_record and TFDS: RuntimeError, IndexError, DecodeError
            raise contracts.UserError(
                f"a record of {self.name}, split {self.split}, cannot be read "
                f"({' '.join(str(error).split())[:200]}): prepare the data set again"
            ) from error


def open_(block: settings.Data, seed: int = 0) -> sources.Opened:
    """A TFDS image data set, none of whose images is read yet.

    Raises:
      UserError: an unknown name; a data set that is not on disk and cannot be prepared; a split
        that does not exist; images of several sizes without image_size.
    """
    del seed  # splits are those of the data set
    name, image_size = block.name, block.image_size
    builder = tfds_disk.builder(name, block.data_dir)
    image, label = _feature_keys(name, builder.info)
    attributes = _attribute_names(builder.info)
    height, width, channels = builder.info.features[image].shape
    if image_size is None and None in (height, width):
        raise contracts.UserError(
            f"the images of {name} differ in size: set data.image_size, such as 64, to resize and "
            "centre-crop them"
        )
    splits = {
        "train": block.train_split or _default_split(name, builder.info, "train", ("train",)),
        "test": block.test_split
        or _default_split(name, builder.info, "test", ("test", "validation")),
    }
    shape = (image_size or height, image_size or width, channels)
    opened = {
        role: Records(
            *(name, split, _records(name, builder, split), _ranges(builder, split)),
            *(image, label, attributes or (), shape, image_size, block.fit),
        )
        for role, split in splits.items()
    }
    mean, std = facts.statistics(name, channels)
    classes = tuple(builder.info.features[label].names) if label else None
    counts = {role: len(records) for role, records in opened.items()}
    return sources.Opened(
        facts.Facts(name, shape, classes, mean, std, attributes),
        opened,
        fingerprint.of(builder.info.full_name, classes, counts),
    )


def _feature_keys(name: str, info: Any) -> tuple[str, str | None]:
    """The names of the image feature and the label feature, None without labels."""
    from tensorflow_datasets import features

    def first(kind: type, preferred: tuple[str, ...]) -> str | None:
        candidates = [key for key, feature in info.features.items() if isinstance(feature, kind)]
        return next((key for key in preferred if key in candidates), None)

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
            "choose a data set of uint8 images with 1 or 3 channels"
        )
    return image, first(features.ClassLabel, (*supervised, "label"))


def _attribute_names(info: Any) -> tuple[str, ...] | None:
    """The sorted names in the feature "attributes" if all are booleans or have two classes."""
    from tensorflow_datasets import features

    attributes = dict(info.features.items()).get(_ATTRIBUTES)
    if not isinstance(attributes, features.FeaturesDict) or not attributes.keys():
        return None
    binary = all(
        feature.num_classes == 2
        if isinstance(feature, features.ClassLabel)
        else feature.shape == () and np.dtype(feature.np_dtype) == np.bool_
        for _, feature in attributes.items()
    )
    return tuple(sorted(attributes.keys())) if binary else None


def _default_split(name: str, info: Any, role: str, choices: tuple[str, ...]) -> str:
    available = list(info.splits)
    for choice in choices:
        if choice in available:
            return choice
    raise contracts.UserError(
        f"{name} has no split {' or '.join(choices)}: set data.{role}_split to one of "
        f"{', '.join(available)} or to a part such as {available[0]}[:80%]"
    )


def _records(name: str, builder: Any, split: str) -> Any:
    """The examples of a split, indexed by position, with encoded images."""
    import tensorflow_datasets as tfds

    info = builder.info
    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        records = builder.as_data_source(split=split, decoders=encoded)
        len(records)  # raises for a slice that ends before it starts
        return records
    except ValueError as error:
        sizes = [f"{key} ({each.num_examples:,} examples)" for key, each in info.splits.items()]
        raise contracts.UserError(
            f"{name} cannot give the split {split!r}; it has {', '.join(sizes)}: use one of these, "
            "a part inside one, such as train[:80%], or a sum such as train+test"
        ) from error


def _ranges(builder: Any, split: str) -> tuple[tuple[str, int, int], ...]:
    """The positions of the examples of a split expression, as `Records.ranges`."""
    import tensorflow_datasets as tfds

    info = builder.info
    parts = tfds.core.splits.AbstractSplit.from_spec(split).to_absolute(info.splits)
    return tuple(
        (
            f"{info.full_name}, {part.splitname}",
            part.from_ or 0,
            info.splits[part.splitname].num_examples if part.to is None else part.to,
        )
        for part in parts
    )
