"""Folders of training and test images, and what is a class instead."""

import pathlib

import pytest

from dim_jax import contracts
from dim_jax.data import folder_layout

CLASSES = ("cat/0.png", "dog/1.png")


def write(root: pathlib.Path, *names: str) -> pathlib.Path:
    """Empty-looking image files, which are not decoded."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def below(*folders: str, classes=CLASSES) -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in classes]


def names(root: pathlib.Path, train=None, test=None) -> tuple[str | None, ...]:
    """The training and the test folder, relative to the root."""
    layout = folder_layout.layout(root, train, test)
    return tuple(
        None if path is None else path.relative_to(root).as_posix()
        for path in (layout.train, layout.test)
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("train", "val"),
        ("train", "valid"),
        ("train", "dev"),
        ("training", "testing"),
        ("seg_train", "seg_test"),
        ("training_set", "test-set"),
        ("train2017", "val2017"),
        ("TrainingData", "TestingData"),
        ("TrainSet", "TestSet"),
        ("trainData", "TestImages"),
        ("TRAINset", "TESTImages"),
    ],
)
@pytest.mark.parametrize("classes", [CLASSES, ("0.png",)], ids=["classes", "flat"])
def test_split_folders_by_their_usual_names(tmp_path, train, test, classes):
    write(tmp_path, *below(train, test, classes=classes))
    assert names(tmp_path) == (train, test)


def test_a_test_folder_is_preferred_to_validation_and_the_rest_is_said(tmp_path):
    write(tmp_path, *below("train", "val", "Test"), "pred/0.png")
    layout = folder_layout.layout(tmp_path, None, None)
    assert layout.test == tmp_path / "Test"
    assert layout.notes == (
        f"Trained on train, tested on Test of {tmp_path}; not read: pred, val.",
    )


def test_images_beside_the_split_folders_are_said(tmp_path):
    write(tmp_path, *below("train", "test"), "figure.png")
    layout = folder_layout.layout(tmp_path, None, None)
    assert layout.notes == (f"Trained on train, tested on test of {tmp_path}; not read: 1 image.",)
    (tmp_path / "test").rename(tmp_path / "other")
    assert names(tmp_path) == (".", None)  # of which the listing says that images are beside it


def test_a_test_folder_without_labels_gives_way_to_a_labelled_one(tmp_path):
    write(tmp_path, *below("train", "val"), "test/0.png")
    assert names(tmp_path) == ("train", "val")


@pytest.mark.parametrize("wrapper", ["data", "data/PetImages"])
def test_a_lone_folder_around_all_is_descended(tmp_path, wrapper):
    write(tmp_path, *below(f"{wrapper}/Train", f"{wrapper}/Test"))
    (tmp_path / "readme.txt").write_text("x")
    assert names(tmp_path) == (f"{wrapper}/Train", f"{wrapper}/Test")


def test_lone_folders_inside_the_splits_are_descended(tmp_path):
    write(tmp_path, *below("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred/0.png")
    layout = folder_layout.layout(tmp_path, None, None)
    assert names(tmp_path) == ("seg_train/seg_train", "seg_test/seg_test")
    assert [note.split()[-1] for note in layout.notes] == ["it.", "it.", "seg_pred."]


def test_a_lone_folder_around_classes(tmp_path):
    write(tmp_path, *below("PetImages"))
    layout = folder_layout.layout(tmp_path, None, None)
    assert (layout.train, layout.test) == (tmp_path / "PetImages", None)
    assert layout.notes == (
        f"The images of {tmp_path} are those of {tmp_path / 'PetImages'}, the only folder in it.",
    )


@pytest.mark.parametrize(
    "files",
    [
        ("bus/0.png", "car/1.png", "train/2.png"),
        ("bus/a/0.png", "car/b/1.png", "train/c/2.png"),
        ("cat/0.png", "dog/1.png"),
        ("indoor/day/0.png", "indoor/night/0.png", "outdoor/day/0.png", "outdoor/dusk/0.png"),
        ("indoor/day/0.png", "outdoor/day/0.png"),
        (*below("indoor", "outdoor"), "outdoor/0.png"),
        ("road/train/0.png", "road/car/0.png", "sea/ship/0.png", "sea/car/0.png"),
        ("Express/0.png", "TrainStation/0.png"),
        ("cat/0.png",),
        ("test/0.png",),
        ("0.png", "test/"),
    ],
)
def test_classes_stay_classes(tmp_path, files):
    write(tmp_path, *(name for name in files if not name.endswith("/")))
    assert names(tmp_path) == (".", None)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((*below("train", "extra"),), "train beside extra"),
        ((*below("train"), "extra/0.png"), "train beside extra"),
        ((*below("learn", "test"),), "test beside learn"),
        (("cat/0.png", "dog/0.png", "test/0.png"), "test beside cat, dog"),
        (("train/0.png", "test/0.png", "unlabelled/0.png"), "train, test beside unlabelled"),
        ((*below("train", "Train", "test"),), "Train, train, test"),
        (("test/0.png", "val/0.png"), "test, val, and"),
        (below("xtrain", "xtest"), "xtest, xtrain, all with sub-folders (such as cat, dog), and"),
        (below("xtrain/in", "xtest/in"), "xtest, xtrain, all with sub-folders (such as in), and"),
        (("1/train/cat/0.png", "2/train/cat/0.png"), "1, 2, all with sub-folders (such as train)"),
        (("1/train/0.png", "2/x/test/0.png", "2/x/new/0.png"), "1, 2, all with sub-folders"),
        ((*below("1/train", "1/test", "2/train", "2/val"),), "1, 2, all with sub-folders"),
    ],
)
def test_what_is_not_clear_is_asked(tmp_path, files, words):
    write(tmp_path, *files)
    with pytest.raises(contracts.UserError, match=r"set data\.train_split and") as error:
        names(tmp_path)
    assert words in str(error.value)
    assert names(tmp_path, train=".") == (".", None)  # the way out that the message gives


def test_split_folders_below_several_others_are_named_by_their_path(tmp_path):
    write(tmp_path, *below("1/train", "1/test", "2/train", "2/test"))
    assert names(tmp_path, "1/train", "2/test") == ("1/train", "2/test")


def test_named_folders(tmp_path):
    write(tmp_path, *below("Train", "eins", "zwei"))
    assert names(tmp_path, "eins", "zwei") == ("eins", "zwei")
    assert names(tmp_path, None, "zwei") == ("Train", "zwei")
    with pytest.raises(contracts.UserError, match=r"data\.test_split is drei and .* not a folder"):
        names(tmp_path, "eins", "drei")
    (tmp_path / "Train").rename(tmp_path / "vier")
    with pytest.raises(contracts.UserError, match="no folder train"):
        names(tmp_path, None, "zwei")


def test_named_folders_inside_a_lone_folder(tmp_path):
    write(tmp_path, *below("data/eins", "data/zwei"))
    assert names(tmp_path, "eins", "zwei") == ("data/eins", "data/zwei")
    assert names(tmp_path, "data/eins", "data/zwei") == ("data/eins", "data/zwei")
    assert names(tmp_path, ".") == ("data", None)


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path, target_is_directory=True)
    folder_layout.layout(tmp_path, None, None)
