"""The training and the test images of files of features, with or without the images themselves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import Dataset, Facts, Split, holdout
from dim_jax.evaluate.encoders.feature_arrays import FeatureFile

ROLES = ("train", "test")


class Part(NamedTuple):
    """The rows of a file that are a split."""

    file: int
    rows: np.ndarray


Parts = Mapping[str, Part]


def of_parts(files: Sequence[FeatureFile], parts: Parts) -> dict[str, np.ndarray]:
    """The features f32[n,...] of every split.

    Raises:
      UserError: two files with features of different shapes, or fewer rows than the parts have.
    """
    shapes = [file.features.shape[1:] for file in files]
    if shapes[0] != shapes[-1]:
        each = (f"{list(shape)} in {file.path}" for shape, file in zip(shapes, files, strict=True))
        raise contracts.UserError(
            f"features of one image have the shape {' and '.join(each)}; give files of one encoder"
        )
    return {name: files[part.file].features[part.rows] for name, part in parts.items()}


def alone(files: Sequence[FeatureFile], fraction: float) -> tuple[Dataset, Parts]:
    """The data set of files without images, whose "images" are the features, and its parts.

    Args:
      files: those of the training and of the test images, or one, of which a part is held out.
      fraction: that is held out, by class, the same rows every time.

    Raises:
      UserError: too few images, or classes of the test images that no training image has.
    """
    notes: tuple[str, ...] = ()
    labels = _with_common_classes(files)
    if len(files) == 2:
        parts = {
            role: Part(number, np.arange(len(files[number].features)))
            for number, role in enumerate(ROLES)
        }
    else:
        (file,) = files
        if len(file.features) < 2:
            raise contracts.UserError(
                f"{file.path} has the features of {len(file.features)} image; give those of "
                "training and test images"
            )
        held = labels[0], fraction, 0
        rows = (
            holdout.hold_out(*held)
            if file.names is None
            else holdout.hold_out_by_name(file.names, *held)
        )
        parts = {role: Part(0, each) for role, each in zip(ROLES, rows, strict=True)}
        notes = (
            f"{len(rows[1]):,} of the {len(file.features):,} images of {file.path} were held out "
            "for testing, by class; the encoder may have been trained on them.",
        )
    features = of_parts(files, parts)
    splits = {
        role: Split(features[role], labels[part.file][part.rows], _names(files[part.file], part))
        for role, part in parts.items()
    }
    name = ", ".join(file.path.name for file in files)
    facts = Facts(name, features["train"].shape[1:], files[0].classes, None, None, dtype="float32")
    return Dataset(facts, splits, notes=notes), parts


def matched(files: Sequence[FeatureFile], data: Dataset) -> Parts:
    """The rows of the files that are the images of a data set, by their names or their order.

    Raises:
      UserError: other names, other numbers of images, or other labels than the data set has.
    """
    parts = {}
    for number, role in enumerate(ROLES):
        file, split = files[min(number, len(files) - 1)], data.splits[role]
        rows = _by_name(file, split)
        if rows is None and len(files) == 1:
            raise contracts.UserError(
                f"{file.path} is one file and its images and those of {data.facts.name} have no "
                "common names, so that it is not clear which are for testing; give two files, "
                "--encoder train.npz,test.npz"
            )
        if rows is None:
            rows = np.arange(len(file.features))
        if len(rows) != len(split.images):
            raise contracts.UserError(
                f"{file.path} has the features of {len(rows):,} images and {data.facts.name} has "
                f"{len(split.images):,} {role} images; give features of all of them, in their "
                "order"
            )
        parts[role] = Part(min(number, len(files) - 1), rows)
        _compare_labels(file, rows, split, data.facts)
    return parts


def only(parts: Parts, train_rows: np.ndarray | None) -> Parts:
    """The parts with some rows of the training images alone; None = all."""
    if train_rows is None:
        return parts
    train = parts["train"]
    return {**parts, "train": train._replace(rows=train.rows[train_rows])}


def check_alike(files: Sequence[FeatureFile], others: Sequence[FeatureFile]) -> None:
    """Raises UserError unless other files have features of as many images."""
    counts, there = ([len(file.features) for file in each] for each in (files, others))
    if counts != there:
        raise contracts.UserError(
            f"--encoder has features of {counts} images and --untrained of {there}; give features "
            "of the same images"
        )


def _with_common_classes(files: Sequence[FeatureFile]) -> list[np.ndarray]:
    """The labels of every file as places in the classes of the first, -1 = none."""
    labels = []
    for file in files:
        if file.labels is None:
            labels.append(np.full(len(file.features), -1, np.int32))
            continue
        known = files[0].classes or ()
        codes = {name: code for code, name in enumerate(known)}
        for name in file.classes:
            if name not in codes:
                raise contracts.UserError(
                    f"{file.path} has the class {name} and {files[0].path} has "
                    f"{contracts.abridged(known, 8) or 'no labels'}; give files of the same classes"
                )
        places = np.array([codes[name] for name in file.classes] + [-1], np.int32)
        labels.append(places[file.labels])
    return labels


def _names(file: FeatureFile, part: Part) -> tuple[str, ...] | None:
    return file.names and tuple(file.names[row] for row in part.rows)


def _by_name(file: FeatureFile, split: Split) -> np.ndarray | None:
    """The rows of a file in the order of a split's images; None if one of both has other names.

    In a file that has the features of one folder of the data set, names begin below that folder.
    """
    if file.names is None or split.names is None:
        return None
    rows = {name: row for row, name in enumerate(file.names)}
    first = {name.partition("/")[0] for name in split.names}
    below = [name.partition("/")[2] for name in split.names] if len(first) == 1 else split.names
    for names in (split.names, below):
        if all(name in rows for name in names):
            return np.array([rows[name] for name in names])
    missing = next(name for name in split.names if name not in rows)
    if any(name in rows for name in (*split.names, *below)):
        raise contracts.UserError(
            f"{file.path} has no features of the image {missing}; give features of all images of "
            "--data"
        )
    return None


def _compare_labels(file: FeatureFile, rows: np.ndarray, split: Split, facts: Facts) -> None:
    if file.labels is None or facts.classes is None:
        return
    there, here = file.labels[rows], np.asarray(split.labels)
    classes = facts.classes
    if len(classes) == len(file.classes) and set(classes) == set(file.classes):
        codes = {name: code for code, name in enumerate(classes)}
        there = np.array([codes[name] for name in file.classes] + [-1])[there]
    wrong = np.flatnonzero((there != here) & (there >= 0) & (here >= 0))
    if len(wrong):
        row = int(wrong[0])
        raise contracts.UserError(
            f"image {row} has the label {file.classes[file.labels[rows[row]]]} in {file.path} and "
            f"{classes[here[row]]} in {facts.name}, and {len(wrong) - 1:,} others differ; give "
            "features in the order of the images"
        )
