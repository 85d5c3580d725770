"""A user's own images."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data
from dim_jax.data import pixels


def _picture(seed, height=8, width=8, channels=3):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def _save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


def _load(root, **options):
    return data.load(f"folder:{root}", **options)


def _by_name(loaded):
    return {
        name: (split.images[row], int(split.labels[row]))
        for split in loaded.splits.values()
        for row, name in enumerate(split.names)
    }


def test_flat(tmp_path):
    for i in range(10):
        _save(tmp_path / f"{i}.png", _picture(i))
    loaded = _load(tmp_path)
    train, test = loaded.splits["train"], loaded.splits["test"]
    assert (len(train.images), len(test.images)) == (8, 2)
    assert loaded.facts == data.Facts(f"folder:{tmp_path}", (8, 8, 3), None, None, None)
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    assert sorted(train.names + test.names) == [f"{i}.png" for i in range(10)]
    for name, (image, label) in _by_name(loaded).items():
        np.testing.assert_array_equal(image, _picture(int(name[0])))
        assert label == -1


def test_nested_with_any_depth_and_spelling(tmp_path):
    for i in range(10):
        _save(tmp_path / "zebra" / f"{i}.PNG", _picture(i))
        _save(tmp_path / "ape" / "big" / f"{i}.bmp", _picture(100 + i))
    _save(tmp_path / ".hidden" / "x.png", _picture(0))
    _save(tmp_path / "ape" / ".thumbs" / "x.png", _picture(0))
    (tmp_path / "ape" / "._0.jpg").write_bytes(b"resource fork")
    (tmp_path / "zebra" / "notes.txt").write_text("not an image")
    (tmp_path / "empty").mkdir()
    loaded = _load(tmp_path)
    assert loaded.facts.classes == ("ape", "zebra")
    assert np.bincount(loaded.splits["test"].labels).tolist() == [2, 2]
    found = _by_name(loaded)
    assert len(found) == 20
    np.testing.assert_array_equal(found["ape/big/3.bmp"][0], _picture(103))
    assert found["ape/big/3.bmp"][1] == 0 and found["zebra/3.PNG"][1] == 1


@pytest.mark.parametrize("held", ["test", "val", "validation"])
def test_train_and_test_folders(tmp_path, held):
    for i in range(4):
        _save(tmp_path / "train" / ("a", "b")[i % 2] / f"{i}.png", _picture(i))
    _save(tmp_path / held / "b" / "9.png", _picture(9))
    loaded = _load(tmp_path)
    names = ("train/a/0.png", "train/a/2.png", "train/b/1.png", "train/b/3.png")
    assert loaded.splits["train"].names == names
    assert loaded.splits["train"].labels.tolist() == [0, 0, 1, 1]
    assert loaded.splits["test"].names == (f"{held}/b/9.png",)
    assert loaded.splits["test"].labels.tolist() == [1]


def test_named_split_folders(tmp_path):
    for part in ("fit", "judge", "train"):
        for i in range(2):
            _save(tmp_path / part / f"{i}.png", _picture(i))
    loaded = _load(tmp_path, train_split="fit", test_split="judge")
    assert loaded.splits["train"].names == ("fit/0.png", "fit/1.png")
    assert loaded.splits["test"].names == ("judge/0.png", "judge/1.png")
    with pytest.raises(contracts.UserError, match=r"data\.test_split is judg and .* not a folder"):
        _load(tmp_path, train_split="fit", test_split="judg")


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("bus", "car", "train"):
        for i in range(2):
            _save(tmp_path / name / f"{i}.png", _picture(i))
    assert _load(tmp_path).facts.classes == ("bus", "car", "train")


def test_only_a_train_folder_is_split(tmp_path):
    for i in range(5):
        _save(tmp_path / "train" / f"{i}.png", _picture(i))
    loaded = _load(tmp_path)
    assert [len(loaded.splits[role].images) for role in ("train", "test")] == [4, 1]


def test_one_class_is_no_label(tmp_path):
    for i in range(4):
        _save(tmp_path / "images" / f"{i}.png", _picture(i))
    loaded = _load(tmp_path)
    assert loaded.facts.classes is None
    assert loaded.splits["train"].labels.tolist() == [-1] * 3


@pytest.mark.parametrize(
    "files", [("cat/0.png", "cat/1.png"), ("train/cat/0.png", "test/cat/1.png")]
)
def test_the_only_class_is_said(tmp_path, files):
    for i, name in enumerate(files):
        _save(tmp_path / name, _picture(i))
    loaded = _load(tmp_path)
    assert loaded.facts.classes is None
    assert "All images are of one class (cat), so they have no labels." in loaded.notes


def test_the_held_out_part_is_deterministic(tmp_path):
    for i in range(30):
        _save(tmp_path / f"{i}.png", _picture(i))
    one, again, other = (_load(tmp_path, test_fraction=0.5, seed=seed) for seed in (0, 0, 1))
    assert one.splits["test"].names == again.splits["test"].names
    assert one.splits["test"].names != other.splits["test"].names
    assert len(other.splits["test"].names) == 15


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for i in range(2):
        _save(tmp_path / "pictures" / f"{i}.png", _picture(i))
    assert data.load("folder:~/pictures").facts.name == "folder:~/pictures"


def _one(tmp_path, encoded, suffix=".png", **options):
    """The image that a folder of two copies of one file gives."""
    for i in range(2):
        (tmp_path / f"{i}{suffix}").write_bytes(encoded)
    return _load(tmp_path, **options).splits["train"].images[0]


def _encode(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_grey_becomes_three_channels(tmp_path):
    grey = _picture(0, channels=1)
    image = _one(tmp_path, _encode(Image.fromarray(grey)))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=-1))


def test_sixteen_bits_keep_the_high_byte(tmp_path):
    deep = np.random.RandomState(0).randint(0, 2**16, (8, 8)).astype(np.uint16)
    image = _one(tmp_path, _encode(Image.fromarray(deep)))
    np.testing.assert_array_equal(image[..., 0], deep // 256)


def test_transparency_is_dropped(tmp_path):
    colours = _picture(0, channels=4)
    image = _one(tmp_path, _encode(Image.fromarray(colours)))
    np.testing.assert_array_equal(image, colours[..., :3])


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": b"\x00\x80\xff"}])
def test_palette(tmp_path, options):
    palette = Image.fromarray(_picture(0)).quantize(16)
    image = _one(tmp_path, _encode(palette, **options))
    np.testing.assert_array_equal(image, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("mode", ["LA", "1", "CMYK"])
def test_other_modes(tmp_path, mode):
    source = Image.fromarray(_picture(0, 16, 16)).convert(mode)
    form, suffix = ("JPEG", ".jpg") if mode == "CMYK" else ("PNG", ".png")
    encoded = _encode(source, form)
    reference = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    np.testing.assert_array_equal(_one(tmp_path, encoded, suffix), reference)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (3, lambda x: x[::-1, ::-1]),
        (6, lambda x: np.rot90(x, -1)),
        (8, lambda x: np.rot90(x)),
        (2, lambda x: x[:, ::-1]),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, upright):
    stored = _picture(0, 6, 10)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = _one(tmp_path, _encode(Image.fromarray(stored), exif=exif))
    np.testing.assert_array_equal(image, upright(stored))


def test_sizes_must_agree_without_image_size(tmp_path):
    _save(tmp_path / "a.png", _picture(0, 8, 8))
    _save(tmp_path / "b.png", _picture(1, 6, 10))
    with pytest.raises(contracts.UserError, match=r"[ab]\.png is (10x6|8x8) .*data\.image_size"):
        _load(tmp_path)
    loaded = _load(tmp_path, image_size=4)
    assert loaded.facts.shape == (4, 4, 3)
    assert loaded.splits["train"].images.shape == (1, 4, 4, 3)


def test_large_jpegs_are_shrunk_faithfully(tmp_path):
    rows, columns = np.mgrid[0:600, 0:800]
    waves = [128 + 100 * np.sin(rows / a + columns / b) for a, b in ((40, 90), (70, 50), (30, 60))]
    picture = np.stack(waves, axis=-1).astype(np.uint8)
    image = _one(
        tmp_path, _encode(Image.fromarray(picture), "JPEG", quality=95), ".jpg", image_size=50
    )
    whole = pixels.fit(picture, 50)  # without JPEG, and without its decoding at a quarter
    assert np.abs(image.astype(int) - whole).mean() < 1


@pytest.mark.parametrize(
    ("form", "suffix"), [("PNG", ".png"), ("JPEG", ".jpeg"), ("WEBP", ".webp"), ("BMP", ".bmp")]
)
def test_a_broken_file_is_named(tmp_path, form, suffix):
    for i in range(3):
        _save(tmp_path / f"{i}{suffix}", _picture(i, 40, 40), format=form)
    whole = (tmp_path / f"1{suffix}").read_bytes()
    for broken in (whole[: len(whole) // 2], b"no image", b""):
        (tmp_path / f"1{suffix}").write_bytes(broken)
        with pytest.raises(contracts.UserError, match=f"1\\{suffix} is not a readable image"):
            _load(tmp_path)


def test_folder_errors(tmp_path):
    with pytest.raises(contracts.UserError, match="nowhere does not exist"):
        _load(tmp_path / "nowhere")
    with pytest.raises(contracts.UserError, match="nothing after folder:"):
        data.load("folder:")
    with pytest.raises(contracts.UserError, match=r"no images in .*\.jpg, \.jpeg, .*\.png, \.webp"):
        _load(tmp_path)
    _save(tmp_path / "one.png", _picture(0))
    with pytest.raises(contracts.UserError, match=r"single image, one\.png"):
        _load(tmp_path)
    _save(tmp_path / "a" / "two.png", _picture(0))
    with pytest.raises(contracts.UserError, match=r"one\.png.* beside sub-folders"):
        _load(tmp_path)


def test_train_and_test_must_be_alike(tmp_path):
    for name in ("train/a/0.png", "train/b/0.png", "test/0.png"):
        _save(tmp_path / name, _picture(0))
    with pytest.raises(contracts.UserError, match=r"train has a sub-folder per class and .*test"):
        _load(tmp_path)
    os.remove(tmp_path / "test" / "0.png")
    _save(tmp_path / "test" / "c" / "0.png", _picture(0))
    with pytest.raises(contracts.UserError, match=r"the class c in .*test has no images in"):
        _load(tmp_path)
