"""The embedded data set: scikit-learn's 1,797 handwritten digits, without a download."""

import importlib.util
import pathlib

import numpy as np

from dim_jax import settings
from dim_jax.data import dataset, facts, fingerprint, holdout, pixels


def load(block: settings.Data) -> dataset.Dataset:
    """The digits, u8[n,8,8,1]; by default 1,438 for training and 359 for testing.

    The source has 17 grey levels, 0 to 16; level v becomes round(255 v / 16). The split is
    stratified and independent of the seed of an experiment.

    Source: E. Alpaydin, C. Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI: the
    test part, as `sklearn.datasets.load_digits`.
    """
    rows = _rows()
    images = np.round(rows[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    images = pixels.fit_all(images, block.image_size, block.fit)
    labels = rows[:, -1].astype(np.int32)
    train, test = holdout.hold_out(labels, block.test_fraction, seed=0)
    mean, std = facts.statistics("digits", channels=1)
    classes = tuple(str(digit) for digit in range(10))
    return dataset.Dataset(
        facts.Facts("digits", images.shape[1:], classes, mean, std),
        {
            "train": dataset.Split(images[train], labels[train]),
            "test": dataset.Split(images[test], labels[test]),
        },
        fingerprint=fingerprint.of("digits", classes, {"train": len(train), "test": len(test)}),
        stored={"train": {"digits": train}, "test": {"digits": test}},
    )


def _rows() -> np.ndarray:
    """The 64 levels of each image and its label, f64[n,65]."""
    package = pathlib.Path(importlib.util.find_spec("sklearn").origin).parent
    file = package / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")  # to import the package takes a second
    from sklearn import datasets

    data, labels = datasets.load_digits(return_X_y=True)
    return np.column_stack([data, labels])
