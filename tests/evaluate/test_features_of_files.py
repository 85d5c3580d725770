"""Files of features: their arrays, and which of their rows are for training and for testing."""

import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import dataset, facts
from dim_jax.evaluate.encoders import feature_arrays, file_splits, sources

ROWS = np.arange(12, dtype=np.float32).reshape(6, 2)


def write(path, **arrays):
    np.savez(path, **arrays)
    return feature_arrays.read(path)


def of_images(names=None, classes=("cat", "dog")) -> dataset.Dataset:
    """Four training and two test images."""
    labels = np.array([0, 1, 0, 1, 0, 1], np.int32)
    splits = {}
    for role, rows in (("train", slice(0, 4)), ("test", slice(4, 6))):
        images = np.zeros((len(labels[rows]), 2, 2, 1), np.uint8)
        splits[role] = dataset.Split(images, labels[rows], names and tuple(names[rows]))
    return dataset.Dataset(facts.Facts("pets", (2, 2, 1), classes, None, None), splits)


def test_the_arrays_of_a_file(tmp_path):
    read = write(tmp_path / "a.npz", features=ROWS.astype(int), labels=[0, 1, 0, 1, -1, 2])
    assert read.features.dtype == np.float32 and read.classes == ("0", "1", "2")
    named = write(tmp_path / "b.npz", features=ROWS, labels=["b", "a", "", "a", "b", "a"])
    assert named.labels.tolist() == [1, 0, -1, 0, 1, 0] and named.classes == ("a", "b")
    bare = write(tmp_path / "c.npz", features=ROWS, names=[*"uvwxyz"])
    assert bare.labels is bare.classes is None and bare.names == tuple("uvwxyz")


def test_an_array_with_a_table_of_names(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    assert feature_arrays.read(tmp_path / "a.npy").names is None
    table = tmp_path / "a.names.csv"
    table.write_text('name,label\n"x,1",cat\nb,dog\nc,\nd,dog\ne,cat\nf,dog\n')
    read = feature_arrays.read(tmp_path / "a.npy")
    assert read.names[0] == "x,1" and read.labels.tolist() == [0, 1, -1, 1, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (dict(x=ROWS), "no array 'features', it has x: write it by np.savez"),
        (dict(features=ROWS[0]), r"shape \[2\]; write f\[n,d\]"),
        (dict(features=ROWS[:0]), r"shape \[0, 2\]; write f\[n,d\]"),
        (dict(features=ROWS * 1j), "type complex.*; write real numbers"),
        (dict(features=ROWS.astype(object)), "cannot be read .*; write it by NumPy, without"),
        (dict(features=np.where(ROWS == 6, np.nan, ROWS)), "not finite, first those of image 3 of"),
        (dict(features=ROWS, labels=[0, 1]), r"6 images and labels of shape \[2\]"),
        (dict(features=ROWS, names=["a"]), r"6 images and names of shape \[1\]"),
        (dict(features=ROWS, labels=np.ones(6)), "labels of type float64; write integers"),
        (dict(features=ROWS, labels=[0] * 5 + [-2]), "labels from -2 to 0 and 1 classes"),
        (dict(features=ROWS, labels=[0] * 5 + [2], classes=["a", "b"]), "to 2 and 2 classes"),
    ],
)
def test_other_arrays(arrays, message, tmp_path):
    with pytest.raises(contracts.UserError, match=message):
        write(tmp_path / "a.npz", **arrays)


def test_damaged_files(tmp_path):
    for name in ("a.npz", "a.npy"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 no features")
        with pytest.raises(contracts.UserError, match="cannot be read"):
            feature_arrays.read(tmp_path / name)


def test_two_files_share_the_classes_of_the_first(tmp_path):
    train = write(tmp_path / "a.npz", features=ROWS, labels=["a", "b", "c", "a", "b", "c"])
    test = write(tmp_path / "b.npz", features=ROWS[:2], labels=["c", "a"])
    loaded, parts = file_splits.alone([train, test], 0.2)
    assert loaded.splits["test"].labels.tolist() == [2, 0] and loaded.notes == ()
    assert [len(part.rows) for part in parts.values()] == [6, 2]
    other = write(tmp_path / "c.npz", features=ROWS[:2], labels=["d", "a"])
    with pytest.raises(
        contracts.UserError, match=r"has the class d and .* has a, b, c; give files"
    ):
        file_splits.alone([train, other], 0.2)
    wide = write(tmp_path / "d.npz", features=np.ones((2, 3)), labels=["a", "b"])
    with pytest.raises(contracts.UserError, match=r"the shape \[2\] in .* and \[3\] in"):
        file_splits.alone([train, wide], 0.2)


def test_a_part_is_held_out_by_class_and_by_name(tmp_path):
    names = [f"{number}.png" for number in range(20)]
    arrays = dict(features=np.ones((20, 2)), labels=[0] * 10 + [1] * 10, names=names)
    _, parts = file_splits.alone([write(tmp_path / "a.npz", **arrays)], 0.2)
    test = parts["test"].rows
    assert (test < 10).sum() == (test >= 10).sum() == 2
    backwards = {name: np.asarray(array)[::-1] for name, array in arrays.items()}
    _, others = file_splits.alone([write(tmp_path / "b.npz", **backwards)], 0.2)
    assert {names[row] for row in test} == {names[19 - row] for row in others["test"].rows}


def test_rows_are_matched_by_name_or_by_order(tmp_path):
    names = [f"{role}/{n}.png" for role, count in (("train", 4), ("test", 2)) for n in range(count)]
    loaded = of_images(names)
    order = [3, 5, 1, 0, 4, 2]
    one = write(tmp_path / "a.npz", features=ROWS[order], names=np.array(names)[order])
    rows = file_splits.of_parts([one], file_splits.matched([one], loaded))
    np.testing.assert_array_equal(rows["train"], ROWS[:4])
    np.testing.assert_array_equal(rows["test"], ROWS[4:])
    # Names below the folder of the split, as of `--folder pets/train`.
    train = write(tmp_path / "b.npz", features=ROWS[2::-1], names=["2.png", "1.png", "0.png"])
    test = write(tmp_path / "c.npz", features=ROWS[4:])
    with pytest.raises(contracts.UserError, match=r"no features of the image train/0\.png"):
        file_splits.matched([train, test], loaded)
    with pytest.raises(contracts.UserError, match="features of 6 images and pets has 4 train"):
        file_splits.matched([one._replace(names=None), test], loaded)
    with pytest.raises(contracts.UserError, match="it is not clear which are for testing; give"):
        file_splits.matched([one], of_images())
    train = write(tmp_path / "d.npz", features=ROWS[:4], names=[*"0123"])
    parts = file_splits.matched([train, test], loaded)
    assert parts["train"].rows.tolist() == [0, 1, 2, 3] and parts["test"].file == 1
    assert file_splits.only(parts, np.array([1, 3]))["train"].rows.tolist() == [1, 3]


def test_labels_have_to_be_those_of_the_images(tmp_path):
    test = write(tmp_path / "a.npz", features=ROWS[4:])
    labels = np.array(["dog", "cat"])
    same = write(tmp_path / "b.npz", features=ROWS[:4], labels=labels[[1, 0, 1, 0]])
    file_splits.matched([same, test], of_images(classes=("cat", "dog")))
    with pytest.raises(
        contracts.UserError, match=r"image 0 has the label cat in .* and dog in pets"
    ):
        file_splits.matched([same, test], of_images(classes=("dog", "cat")))
    few = write(tmp_path / "c.npz", features=ROWS[:4], labels=["cat", "dog", "", "cat"])
    with pytest.raises(contracts.UserError, match=r"image 3 has .* and 0 others differ"):
        file_splits.matched([few, test], of_images())


def test_names_of_encoders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first.v2" / "encoder").mkdir(parents=True)
    for text, name in {
        "package.module:encode": "package.module-encode",
        "folder/model.py:net.encode": "model-net.encode",
        "runs/first.v2": "first.v2",
        "runs/first.v2/encoder": "first.v2",
        "features/train.npz,features/test.npz": "train-test",
    }.items():
        assert sources.short_name(text) == name
