"""Files of features: the .npz and .npy files that `python -m dim_jax.encoder` and NumPy write."""

import csv
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.encoder import feature_files

ENDINGS = (".npz", ".npy")
_ARRAYS = ("features", "labels", "classes", "names")


class FeatureFile(NamedTuple):
    """The features of images in one file.

    features: f32[n,...]. labels: i32[n], -1 = none; None where there are none, and classes, the
    names of all labels, too. names: of the images; None where they have none.
    """

    path: Path
    features: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...] | None
    names: tuple[str, ...] | None


def read(path: Path) -> FeatureFile:
    """The features of a file, with labels and names where it has them.

    An .npz file has the array `features`, and may have `labels` (integers, -1 = none, or names of
    classes), `classes` and `names`. Beside x.npy there may be x.names.csv with the columns name and
    label.

    Raises:
      UserError: a file that cannot be read, or arrays that are not those.
    """
    arrays = _arrays(path)
    features = _checked(arrays["features"], path)
    labels, classes = _labels(arrays, path)
    names = arrays.get("names")
    for name, array in (("labels", labels), ("names", names)):
        if array is not None and np.shape(array) != (len(features),):
            raise contracts.UserError(
                f"{path} has features of {len(features):,} images and {name} of shape "
                f"{list(np.shape(array))}; write one of them for each image"
            )
    return FeatureFile(
        path, features, labels, classes, None if names is None else tuple(map(str, names))
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # Of a path, np.load would leave a damaged file open.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                return {"features": archive, **_named(path)}
            if "features" not in archive.files:
                there = contracts.abridged(archive.files, 5) or "nothing"
                raise contracts.UserError(
                    f"{path} has no array 'features', it has {there}: write it by np.savez(file, "
                    "features=features, labels=labels)"
                )
            return {name: archive[name] for name in _ARRAYS if name in archive.files}
    except OSError as error:
        raise contracts.UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise contracts.UserError(
            f"{path} cannot be read ({' '.join(str(error).split())}); write it by NumPy, without "
            "objects"
        ) from error


def _named(path: Path) -> dict[str, np.ndarray]:
    """Names and labels of the table beside an .npy file, {} without one."""
    table = feature_files.names_beside(path)
    if not table.is_file():
        return {}
    with table.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [*csv.DictReader(file)]
    columns = {"names": "name", "labels": "label"}
    there = {key: column for key, column in columns.items() if rows and column in rows[0]}
    return {key: np.array([row[column] or "" for row in rows]) for key, column in there.items()}


def _checked(features: np.ndarray, path: Path) -> np.ndarray:
    what = f"{path} has features of type {features.dtype} and shape {list(features.shape)}"
    if features.dtype.kind not in "fiub":
        raise contracts.UserError(f"{what}; write real numbers, f[n,d]")
    if features.ndim < 2 or not features.size:
        raise contracts.UserError(f"{what}; write f[n,d], one row for each image")
    with np.errstate(over="ignore"):  # infinity is refused below
        features = features.astype(np.float32)
    finite = np.isfinite(features).reshape(len(features), -1).all(axis=1)
    if not finite.all():
        raise contracts.UserError(
            f"{path} has features that are not finite, first those of image "
            f"{int(np.argmin(finite))} of {len(features):,}; compute them again, or leave such "
            "images out"
        )
    return features


def _labels(
    arrays: dict[str, np.ndarray], path: Path
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    labels, classes = arrays.get("labels"), arrays.get("classes")
    if labels is None:
        return None, None
    if labels.dtype.kind in "US":  # the names of classes, "" = none
        labels = labels.astype(str)
        classes = np.unique(labels[labels != ""])
        codes = np.searchsorted(classes, labels)
        return np.where(labels == "", -1, codes).astype(np.int32), (*map(str, classes),)
    if labels.dtype.kind not in "iu" or labels.size == 0:
        raise contracts.UserError(
            f"{path} has labels of type {labels.dtype}; write integers from 0, with -1 for none, "
            "or names of classes"
        )
    low, high = int(labels.min()), int(labels.max())
    count = high + 1 if classes is None else len(classes)
    if low < -1 or high >= count:
        raise contracts.UserError(
            f"{path} has labels from {low} to {high} and {count} classes; write integers from 0 to "
            f"{count - 1}, with -1 for none"
        )
    names = range(count) if classes is None else classes
    return labels.astype(np.int32), tuple(map(str, names))
