"""The image files of a folder: each once, and counts of what is not read."""

import os
import pathlib

import pytest

from dim_jax import contracts, data
from dim_jax.data import folder_listing


def write(root: pathlib.Path, *names: str) -> pathlib.Path:
    """Files that are not decoded."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def listed(root: pathlib.Path) -> tuple[list[str], str]:
    """The names of the images, and the note on what is not read."""
    ignored = folder_listing.Ignored()
    images = folder_listing.images(root, ignored)
    names = [image.path.relative_to(root).as_posix() for image in images]
    return names, " ".join(ignored.describe(root))


def test_every_kind_in_any_case(tmp_path):
    names = [f"{number}{kind}" for number, kind in enumerate(folder_listing.EXTENSIONS)]
    write(tmp_path, *names, "upper.TIF")
    found, note = listed(tmp_path)
    assert sorted(found) == sorted([*names, "upper.TIF"])
    assert note == ""


def test_what_is_not_read_is_counted(tmp_path):
    system = ("@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found", "__pycache__")
    write(tmp_path, "cat/0.png", "dog/0.png", *(f"cat/{i}.heic" for i in range(3)), "dog/a")
    write(tmp_path, "notes.txt", ".DS_Store", "cat/.thumbs/0.png", "cat/._0.png", "dog/Thumbs.db")
    write(tmp_path, *(f"{folder}/0.png" for folder in system), "cat/@eaDir/0.png")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog" / "loop.png").symlink_to(tmp_path / "dog" / "loop.png")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    found, note = listed(tmp_path)
    assert found == ["cat/0.png", "dog/0.png"]
    assert note == (
        f"Not read below {tmp_path}: 5 files of other kinds (.heic 3, no extension 1, .txt 1), "
        "3 hidden (the name begins with a dot), 7 of the system ($RECYCLE.BIN, @eaDir, Thumbs.db, "
        f"__MACOSX, __pycache__, lost+found), 3 broken links or special files "
        f"({tmp_path}/dog/gone.png)."
    )


def test_a_class_without_an_image_is_an_error(tmp_path):
    write(tmp_path, "cat/0.png", "dog/0.png", "elk/0.heic", "elk/deep/1.heic")
    (tmp_path / "empty").mkdir()
    with pytest.raises(contracts.UserError, match=r"elk has 2 files and no image \(\.heic 2\)"):
        listed(tmp_path)


def test_a_flat_folder_may_have_folders_of_other_files(tmp_path):
    write(tmp_path, "0.png", "labels/0.txt")
    assert listed(tmp_path) == (
        ["0.png"],
        f"Not read below {tmp_path}: 1 file of other kinds (.txt 1).",
    )


def test_linked_folders_are_followed(tmp_path):
    write(tmp_path / "elsewhere", "cat/1.png", "cat/deep/2.png", "dog/3.png")
    root = write(tmp_path / "root", "cat/0.png")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "cat")
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    found, note = listed(root)
    assert found == ["cat/0.png", "cat/more/1.png", "cat/more/deep/2.png", "dog/3.png"]
    assert note == ""


@pytest.mark.parametrize("target", ["cat", ".", "..", "dog", "cat/deep"])
def test_a_link_to_a_folder_that_is_read_already_doubles_nothing(tmp_path, target):
    root = write(tmp_path / "root", "cat/0.png", "cat/deep/1.png", "dog/2.png")
    (root / "cat" / "again").symlink_to(root / target)
    (root / "ape").symlink_to(root / target)  # before the others in the order of names
    found, note = listed(root)
    assert found == ["cat/0.png", "cat/deep/1.png", "dog/2.png"]
    assert "2 links to folders that are read already" in note


def test_the_parent_of_a_split_is_not_part_of_it(tmp_path):
    write(tmp_path, "train/cat/0.png", "train/dog/1.png", "test/cat/2.png")
    (tmp_path / "train" / "cat" / "up").symlink_to(tmp_path)
    assert listed(tmp_path / "train")[0] == ["cat/0.png", "dog/1.png"]


def test_a_folder_called_like_an_image_is_a_folder(tmp_path):
    write(tmp_path, "x.png/0.png", "y.png/1.png")
    assert listed(tmp_path)[0] == ["x.png/0.png", "y.png/1.png"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    write(tmp_path, "cat/0.png", "dog/0.png")
    scandir = os.scandir

    def refuse(path):
        if pathlib.Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(contracts.UserError, match=r"dog cannot be read \(Permission denied\)"):
        listed(tmp_path)


@pytest.mark.parametrize("name", [b"caf\xe9/0.png", b"cat/\xff.png"])
def test_a_name_that_is_not_utf8_is_an_error(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(b"x")
    write(tmp_path, "dog/0.png")
    with pytest.raises(contracts.UserError, match=r"\\x(e9|ff).* is not UTF-8") as error:
        listed(tmp_path)
    str(error.value).encode()


def test_an_empty_file_is_an_error(tmp_path):
    write(tmp_path, "0.png")
    (tmp_path / "1.png").touch()
    with pytest.raises(contracts.UserError, match=r"1\.png is not a readable image .*empty"):
        data.load(f"folder:{tmp_path}")


def test_two_classes_that_look_alike_are_an_error(tmp_path):
    write(tmp_path, "caf\u00e9/0.png", "cafe\u0301/1.png")
    with pytest.raises(contracts.UserError, match="NFC and NFD"):
        listed(tmp_path)
