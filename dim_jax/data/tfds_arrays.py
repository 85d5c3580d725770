"""TensorFlow Datasets image sets by position, read without TensorFlow and decoded by OpenCV."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.data import facts, pixels, sources, tfds_disk

_ATTRIBUTES = "attributes"


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of one split: a `sources.Source`.

    records: by position, images encoded. image, label, attributes: the features to read, None =
    none. image_size: None = images have one size already.
    """

    name: str
    split: str
    records: Any
    image: str
    label: str | None
    attributes: tuple[str, ...]
    shape: tuple[int, int, int]
    image_size: int | None
    names: None = None

    def __len__(self) -> int:
        return len(self.records)

    def read(self, rows: Sequence[int]) -> sources.Examples:
        """The examples at some positions; see `sources.Source`."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        records = self._get(rows)
        for place, (row, record) in enumerate(zip(rows, records, strict=True)):
            image = pixels.decode(record[self.image], self.shape[-1])
            if image is None:
                raise contracts.UserError(
                    f"record {row} of {self.name}, split {self.split}, is no readable image: "
                    "prepare the set again"
                )
            images[place] = pixels.fit(image, self.image_size) if self.image_size else image
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
                f"({' '.join(str(error).split())[:200]}): prepare the set again"
            ) from error


def open_(
    name: str,
    data_dir: str | None,
    image_size: int | None,
    train_split: str | None,
    test_split: str | None,
) -> sources.Opened:
    """A TFDS image data set, none of whose images is read yet; see `data.load` for the arguments.

    Raises:
      UserError: an unknown name; a set that is neither on disk nor preparable here; a split that
        does not exist; images of several sizes and no image_size.
    """
    builder = tfds_disk.builder(name, data_dir)
    image, label = _feature_keys(name, builder.info)
    attributes = _attribute_names(builder.info)
    height, width, channels = builder.info.features[image].shape
    if image_size is None and None in (height, width):
        raise contracts.UserError(
            f"the images of {name} differ in size: set data.image_size, such as 64, to have them "
            "resized and centre-cropped"
        )
    wanted = {
        "train": train_split or _default_split(name, builder.info, "train", ("train",)),
        "test": test_split or _default_split(name, builder.info, "test", ("test", "validation")),
    }
    shape = (image_size or height, image_size or width, channels)
    opened = {
        role: Records(
            *(name, split, _records(name, builder, split)),
            *(image, label, attributes or (), shape, image_size),
        )
        for role, split in wanted.items()
    }
    mean, std = facts.statistics(name, channels)
    classes = tuple(builder.info.features[label].names) if label else None
    return sources.Opened(facts.Facts(name, shape, classes, mean, std, attributes), opened)


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


def _attribute_names(info: Any) -> tuple[str, ...] | None:
    """The sorted names in the dict "attributes" if all in it are booleans or one of two classes."""
    from tensorflow_datasets import features

    found = dict(info.features.items()).get(_ATTRIBUTES)
    if not isinstance(found, features.FeaturesDict) or not found.keys():
        return None
    binary = all(
        feature.num_classes == 2
        if isinstance(feature, features.ClassLabel)
        else feature.shape == () and np.dtype(feature.np_dtype) == np.bool_
        for _, feature in found.items()
    )
    return tuple(sorted(found.keys())) if binary else None


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
    """The examples of a split, by position, with images left encoded."""
    import tensorflow_datasets as tfds

    info = builder.info
    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        records = builder.as_data_source(split=split, decoders=encoded)
        len(records)  # fails for a part that ends before it begins
        return records
    except ValueError as error:
        raise contracts.UserError(
            f"{name} has no examples under the split {split!r}: use "
            f"{', '.join(info.splits)}, a part such as train[:80%], or a sum such as train+test"
        ) from error
