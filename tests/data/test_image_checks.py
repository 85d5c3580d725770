"""Notes on images of one colour and on repeated images."""

import numpy as np
import pytest
from PIL import Image

from dim_jax import data
from dim_jax.data import image_checks


def made(train: np.ndarray, test: np.ndarray) -> data.Dataset:
    splits = {
        role: data.Split(images, np.full(len(images), -1, np.int32))
        for role, images in (("train", train), ("test", test))
    }
    return data.Dataset(data.Facts("made", train.shape[1:], None, None, None), splits)


def pictures(seed: int, count: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (count, 4, 4, 3)).astype(np.uint8)


def test_repeated_images_are_counted(monkeypatch):
    train, test = pictures(0, 20), pictures(1, 6)
    assert data.add_notes(made(train, test)).notes == ()
    test[:2] = train[[3, 11]]
    assert data.add_notes(made(train, test)).notes[0].startswith("2 of the 6 test images are equal")
    assert data.add_notes(made(train, test[1:])).notes[0].startswith("1 of the 5 test images is ")
    monkeypatch.setattr(image_checks, "_COMPARED", 100)
    assert data.add_notes(made(train, test)).notes == ()


def test_images_of_one_colour():
    plain = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    plain = plain.repeat(3, 3)
    plain[..., 1] = 7  # a colour, not a grey level
    assert "one colour only" in data.add_notes(made(plain, plain)).notes[0]
    plain[5, 0, 3, 2] = 99
    assert not any("one colour" in note for note in data.add_notes(made(plain, plain)).notes)


@pytest.mark.parametrize("road", ["resident", "streaming"])
def test_transparent_images_without_colour_are_said(tmp_path, road):
    for i in range(6):
        image = np.zeros((8, 8, 4), np.uint8)
        image[i:, i:, 3] = 255  # what shows is the transparency alone
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    loaded = data.add_notes(data.load(f"folder:{tmp_path}", road=road))
    assert "transparency is dropped" in loaded.notes[-1]


@pytest.mark.parametrize(("channels", "notes"), [(1, ()), (3, ()), (5, ("mean of the 5",))])
def test_channels_that_pictures_cannot_show(channels, notes):
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, channels), np.uint8)
    noted = image_checks.add_notes(made(*np.split(images, 2))).notes
    assert len(noted) == len(notes) and all(text in noted[0] for text in notes)
