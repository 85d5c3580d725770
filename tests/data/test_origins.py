"""Test images that are training images too, by where their sources store them."""

import pathlib

import numpy as np
import pytest
from archives import encoded, picture

from dim_jax import contracts, data
from dim_jax.data import origins


def test_images_in_two_origins_are_counted_once():
    train = {"a": np.array([1, 2, 3, 3]), "b": np.array([7])}
    test = {"a": np.array([3, 3, 4]), "c": np.array([7])}
    assert (origins.count(train), origins.count(test)) == (4, 3)
    assert origins.count_shared(test, train) == origins.count_shared(train, test) == 1
    assert origins.count_shared(test, {}) == 0


@pytest.mark.parametrize(
    ("train", "test", "shared", "of"),
    [
        ("train", "test", 0, 4),
        ("train", "train[:3]", 3, 3),
        ("train[:5]", "train[3:]", 2, 5),
        ("train[:25%]", "train[25%:]", 0, 6),
        ("train+test", "test", 4, 4),
        ("train[2:4]+test[:1]", "train[:3]+test", 2, 7),
        ("train[:3]+train[1:5]", "train[4:6]", 1, 2),
        ("all", "train[-1:]", 1, 1),
    ],
)
def test_parts_of_tfds_splits(write_tfds, train, test, shared, of):
    records = [{"image": encoded(picture(row)), "label": row % 2} for row in range(12)]
    splits = {"train": records[:8], "test": records[8:]}
    root = str(write_tfds("shapes", splits, (8, 8, 3), classes=("a", "b")))
    options = dict(data_dir=root, train_split=train, test_split=test, road="streaming")
    loaded = data.load("shapes", **options)
    are = "is" if shared == 1 else "are"
    sentence = (
        f"{shared} of the {of} test images of shapes {are} among the training images, as the "
        "splits overlap: results on them do not show how well the encoder generalises."
    )
    assert data.describe_shared(loaded, loaded) == ([sentence] if shared else [])
    # With the same images compared by their pixels, one sentence says it.
    noted = data.add_notes(data.load("shapes", **options | dict(road="resident"))).notes
    assert list(noted) == ([sentence] if shared else [])


@pytest.mark.parametrize("test", ["train[:6]", "train[3:6]+train[:3]"])
def test_a_test_on_the_training_images_is_refused(write_tfds, test):
    records = [{"image": encoded(picture(row)), "label": row % 2} for row in range(8)]
    root = str(write_tfds("shapes", {"train": records}, (8, 8, 3), classes=("a", "b")))
    with pytest.raises(contracts.UserError, match=r"are its 6 training images.*set data\.test_spl"):
        data.load("shapes", data_dir=root, train_split="train[:6]", test_split=test)


def test_images_that_an_encoder_was_trained_on(write_tfds):
    """Counted once, with those of the probes; only of data sets that may have the same images."""
    records = [{"image": encoded(picture(row)), "label": row % 2} for row in range(12)]
    root = str(write_tfds("shapes", {"train": records}, (8, 8, 3), classes=("a", "b")))
    judged = data.load("shapes", data_dir=root, train_split="train[:6]", test_split="train[4:]")

    def count(*trainings):
        return data.count_trained_on(judged, trainings, root)

    def settings(split, name="shapes"):
        return {"name": name, "train_split": split, "test_split": "train[:1]"}

    encoder = "of the 8 test images of shapes are among those that the encoder was trained on: "
    assert count() == count(settings("train[:6]")) == (2, [])
    number, notes = count(settings("train[5:8]"))
    assert number == 4 and [note[: len(encoder) + 2] for note in notes] == [f"3 {encoder}"]
    assert count(settings("train[5:8]"), settings("train[7:9]"))[0] == 5
    assert count(settings("all", "shapes:1.0.0"))[0] == 8
    assert count(settings("train", "other"), settings("train", "folder:nowhere")) == (2, [])
    number, notes = count(settings("none"))
    assert number == 2 and notes[0].startswith(
        "It is not known whether test images are among those that the encoder was trained on, shap"
    )
    assert data.count_trained_on(data.load("digits"), [settings("train")]) == (0, [])


def pictures(folder: pathlib.Path, rows: range) -> list[pathlib.Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{row}.png" for row in rows]
    for row, path in zip(rows, paths, strict=True):
        path.write_bytes(encoded(picture(row)))
    return paths


def test_links_lead_to_the_images_that_they_are_of(tmp_path):
    train, test = tmp_path / "links" / "train", tmp_path / "links" / "test"
    images = pictures(tmp_path / "all", range(8))
    for folder, chosen in ((train, images[:6]), (test, images[5:])):
        folder.mkdir(parents=True)
        for path in chosen:
            (folder / f"again{path.name}").symlink_to(path)
    loaded = data.load(f"folder:{tmp_path / 'links'}", road="streaming")
    assert data.count_shared(loaded, loaded) == 1
    (tmp_path / "other").symlink_to(tmp_path / "all")  # the same images by another path
    whole = data.load(f"folder:{tmp_path / 'other'}", test_fraction=0.5)
    assert data.count_shared(loaded, whole) + data.count_shared(whole, loaded) > 0
    assert data.count_shared(whole, whole) == 0


def test_splits_that_are_one_folder_are_refused(tmp_path):
    pictures(tmp_path / "train", range(4))
    (tmp_path / "test").symlink_to(tmp_path / "train")
    with pytest.raises(contracts.UserError, match="are its 4 training images"):
        data.load(f"folder:{tmp_path}")
    assert len(data.load(f"folder:{tmp_path}/train").splits["test"].images) == 1


def test_embedded_images_of_another_share_are_known():
    usual, more = data.load("digits"), data.load("digits", test_fraction=0.5)
    assert data.count_shared(usual, usual) == 0
    shared = data.count_shared(more, usual)  # of half the images, nearly all the other four fifths
    assert (
        0
        < shared
        == 898 - len(np.intersect1d(more.stored["test"]["digits"], usual.stored["test"]["digits"]))
    )
    points = data.load("ring")
    assert data.count_shared(points, usual) == data.count_shared(points, points) == 0
