"""Training and test examples by the names of splits, or held out; labels and class names."""

import numpy as np
import pytest

from dim_jax import contracts, settings
from dim_jax.data import partition


def of(count=10, names=None, labels=None, splits=None, classes=None, seed=0, **options):
    labels = [-1] * count if labels is None and names is None and splits is None else labels
    return partition.partition(
        "the set",
        settings.Data.of(dict(options, name="array:x")),
        seed,
        names=names,
        labels=labels,
        splits=splits,
        classes=classes,
    )


def test_splits_with_usual_names():
    found = of(splits=["Train", "val", "test", "extra"] * 3)
    assert {role: rows.tolist() for role, rows in found.rows.items()} == {
        "train": [0, 4, 8],
        "test": [2, 6, 10],
    }
    assert found.notes == ("Not used of the set: the splits extra, val.",)
    assert found.classes is None and found.labels.tolist() == [-1] * 12


def test_splits_that_the_settings_name():
    splits = ["a", "b", "c"] * 2
    found = of(splits=splits, train_split="a+c", test_split="b")
    assert found.rows["train"].tolist() == [0, 2, 3, 5] and found.rows["test"].tolist() == [1, 4]
    held_out = of(splits=splits, train_split="a+c")
    assert sorted(np.concatenate([*held_out.rows.values()])) == [0, 2, 3, 5]


def test_one_example_more_moves_at_most_one_other():
    names = [f"{row}.png" for row in range(50)]
    before = {names[row] for row in of(names=names).rows["test"]}
    more = ["new.png", *names]
    after = {more[row] for row in of(names=more).rows["test"]}
    assert len(before) == 10 and len(before - after) <= 1


@pytest.mark.parametrize(
    ("labels", "classes", "codes", "names"),
    [
        ([3, 7, -1, 3], None, [0, 1, -1, 0], ("3", "7")),
        ([2, 0, 1, 0], ["a", "b", "c"], [2, 0, 1, 0], ("a", "b", "c")),
        (["b", "a", None, ""], None, [1, 0, -1, -1], ("a", "b")),
        ([b"b", b"a", b"a", b"b"], None, [1, 0, 0, 1], ("a", "b")),
        ([True, False, True, False], None, [1, 0, 1, 0], ("0", "1")),
        (["e\u0301", "\u00e9", "a", "a"], None, [1, 1, 0, 0], ("a", "\u00e9")),
        ([[1], [0], [1], [0]], None, [1, 0, 1, 0], ("0", "1")),
    ],
)
def test_labels(labels, classes, codes, names):
    found = of(labels=labels, classes=classes, splits=["train"] * 3 + ["test"])
    assert found.labels.tolist() == codes and found.classes == names


def test_one_class_is_none():
    found = of(labels=["cat"] * 10)
    assert found.classes is None and found.labels.tolist() == [-1] * 10
    assert found.notes == ("All images are of one class (cat), so they have no labels.",)


def test_labels_of_one_example_each_are_kept():
    found = of(labels=list(range(10)))
    assert len(found.classes) == 10 and len(found.rows["test"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(count=1), "holds 1 images"),
        (dict(splits=["a"] * 4), "set data.train_split to those to train on"),
        (dict(splits=["train"] * 4, train_split="trian"), "data.train_split is trian and the set"),
        (dict(train_split="train"), "the set names no splits"),
        (dict(names=list("abc"), labels=[1, 2]), "3 images and 2 labels"),
        (dict(labels=[[0, 1]] * 4), "2 labels per image"),
        (dict(labels=[0, 3] * 2, classes=["a"]), "the label 3 and names of 1 classes"),
        (dict(labels=[0.5] * 4), "the label 0.5, a float"),
        (dict(labels=[0, 1, 0, 2], splits=["train"] * 3 + ["test"]), "the class 2 of the test"),
    ],
)
def test_mistakes(arguments, words):
    with pytest.raises(contracts.UserError, match=words):
        of(**arguments)
