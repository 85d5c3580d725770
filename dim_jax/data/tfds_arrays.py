"""TensorFlow Datasets image sets as arrays, read without TensorFlow and decoded by OpenCV."""

from typing import Any, NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, facts, pixels, tfds_disk

_ATTRIBUTES = "attributes"
_RECORDS_PER_READ = 1024


class _Source(NamedTuple):
    """A TFDS builder, its features to read (None = none) and the images to make of them."""

    name: str
    builder: Any
    image: str
    label: str | None
    attributes: tuple[str, ...] | None
    shape: tuple[int, int, int]
    image_size: int | None


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
    source = _Source(name, builder, image, label, attributes, shape, image_size)
    splits = {role: _read(source, split) for role, split in wanted.items()}
    mean, std = facts.statistics(name, channels)
    classes = tuple(builder.info.features[label].names) if label else None
    return dataset.Dataset(facts.Facts(name, shape, classes, mean, std, attributes), splits)


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


def _read(source: _Source, split: str) -> dataset.Split:
    """All images, labels and attributes of one split, decoded into one array as they are read."""
    records = _records(source, split)
    images = pixels.allocate(len(records), source.shape)
    labels = np.full(len(records), -1, np.int32)
    names = source.attributes or ()
    attributes = np.zeros((len(records), len(names)), np.int8)
    for start in range(0, len(records), _RECORDS_PER_READ):
        rows = range(start, min(start + _RECORDS_PER_READ, len(records)))
        for row, record in zip(rows, records.__getitems__(list(rows)), strict=True):
            image = pixels.decode(record[source.image], source.shape[-1])
            if image is None:
                raise contracts.UserError(
                    f"record {row} of {source.name}, split {split}, is no readable image: prepare "
                    "the set again"
                )
            images[row] = pixels.fit(image, source.image_size) if source.image_size else image
            if source.label:
                labels[row] = record[source.label]
            attributes[row] = [record[_ATTRIBUTES][name] for name in names]
    known = bool(names) and np.all(attributes >= 0)  # a class that is not known is -1
    return dataset.Split(images, labels, None, attributes.astype(np.uint8) if known else None)


def _records(source: _Source, split: str) -> Any:
    """The examples of a split, by position, with images left encoded."""
    import tensorflow_datasets as tfds

    info = source.builder.info
    encoded = {
        key: tfds.decode.SkipDecoding()
        for key, feature in info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    try:
        records = source.builder.as_data_source(split=split, decoders=encoded)
        len(records)  # fails for a part that ends before it begins
        return records
    except ValueError as error:
        raise contracts.UserError(
            f"{source.name} has no examples under the split {split!r}: use "
            f"{', '.join(info.splits)}, a part such as train[:80%], or a sum such as train+test"
        ) from error
