"""Decoding of image files: kinds, depths, and what is refused."""

import pathlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data
from dim_jax.data import image_files, pixels


def picture(seed: int, *shape: int, bits: int = 8) -> np.ndarray:
    values = np.random.RandomState(seed).randint(0, 2**bits, shape or (8, 8, 3))
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def deep(path: pathlib.Path, values: np.ndarray) -> None:
    """A file of 16 bits per channel, by OpenCV, which has them as blue, green, red."""
    cv2.imwrite(str(path), np.ascontiguousarray(values[..., ::-1]) if values.ndim == 3 else values)


def load(root: pathlib.Path, **options) -> dict[str, np.ndarray]:
    """{name: image} of all images of a folder."""
    splits = data.load(f"folder:{root}", **options).splits.values()
    pairs = [pair for split in splits for pair in zip(split.names, split.images, strict=True)]
    return dict(pairs)


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".gif", ".jfif", ".ppm", ".pgm", ".pbm"])
def test_kinds(tmp_path, suffix):
    mode = {".pgm": "L", ".pbm": "1", ".gif": "L"}.get(suffix, "RGB")
    form = {".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF", ".jfif": "JPEG"}.get(suffix, "PPM")
    for seed in range(2):
        Image.fromarray(picture(seed)).convert(mode).save(tmp_path / f"{seed}{suffix}", form)
    with Image.open(tmp_path / f"0{suffix}") as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(load(tmp_path)[f"0{suffix}"], expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_decoded_at_half_its_size_and_upright(tmp_path, mode):
    rows, columns = np.mgrid[0:224, 0:300]
    waves = [128 + 100 * np.sin(rows / a + columns / b) for a, b in ((20, 40), (30, 25), (15, 35))]
    picture = Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "0.jpg", quality=95, exif=exif)
    picture.convert("L" if mode == "L" else "RGB").save(tmp_path / "0.png", exif=exif)
    complete, half, other = (
        image_files.decode(tmp_path / name, size, None)
        for name, size in (("0.jpg", None), ("0.jpg", 64), ("0.png", 64))
    )
    assert complete.shape == other.shape == (300, 224, 3) and half.shape == (150, 112, 3)
    assert image_files.decode(tmp_path / "0.jpg", 65, None).shape == complete.shape
    wanted, found = (pixels.fit(image, 64).astype(int) for image in (complete, half))
    assert np.abs(found - wanted).mean() < 1.5


@pytest.mark.parametrize("form", ["gif", "tif", "png", "webp"])
def test_the_first_of_several_images_is_read_and_said(tmp_path, form):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("black", "white"))
    for name in ("0", "1"):
        first.save(tmp_path / f"{name}.{form}", save_all=True, append_images=[second])
    Image.fromarray(picture(0)).save(tmp_path / f"2.{form}")
    loaded = data.load(f"folder:{tmp_path}")
    assert all(name.startswith("2") or not image.any() for name, image in load(tmp_path).items())
    assert loaded.notes == (
        f"2 files with several images (such as 0.{form}): the first of each is read.",
    )


@pytest.mark.parametrize(("highest", "bits"), [(200, 8), (300, 10), (4095, 12), (2**16 - 1, 16)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_one_scale_for_the_16_bit_images_of_a_set(tmp_path, highest, bits, suffix):
    bright, dark = picture(0, 8, 8, bits=16) % 100, picture(1, 8, 8, bits=16) % 50
    bright[0, 0] = highest
    deep(tmp_path / f"0{suffix}", bright)
    deep(tmp_path / f"1{suffix}", dark)
    Image.fromarray(picture(2)).save(tmp_path / "2.png")
    loaded, images = data.load(f"folder:{tmp_path}"), load(tmp_path)
    for name, values in ((f"0{suffix}", bright), (f"1{suffix}", dark)):
        np.testing.assert_array_equal(images[name], (values >> (bits - 8))[..., None].repeat(3, 2))
    np.testing.assert_array_equal(images["2.png"], picture(2))
    assert loaded.facts.bits == loaded.fingerprint["bits"] == bits
    assert loaded.notes == (
        f"2 of 3 images have 16 bits per channel, of which {bits} are in use (the highest value is "
        f"{highest:,}): values 0 to {2**bits - 1:,} become 0 to 255.",
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_keep_their_scale(tmp_path, suffix, channels):
    values = picture(0, 8, 8, 3, bits=12)
    stored = values
    if channels == 4:
        stored = np.dstack([np.full((8, 8), 9, np.uint16), values])  # alpha is last when reversed
    for name in "01":
        deep(tmp_path / f"{name}{suffix}", stored)
    np.testing.assert_array_equal(load(tmp_path)[f"0{suffix}"], values >> 4)


@pytest.mark.parametrize(("suffix", "shape"), [(".pgm", (8, 8)), (".ppm", (8, 8, 3))])
def test_netpbm_of_more_than_8_bits(tmp_path, suffix, shape):
    values = picture(0, *shape, bits=12)
    for name in "01":
        deep(tmp_path / f"{name}{suffix}", values)
    expected = (values >> 4).reshape(8, 8, -1)
    np.testing.assert_array_equal(*np.broadcast_arrays(load(tmp_path)[f"0{suffix}"], expected))


def test_the_bits_can_be_set(tmp_path):
    values = picture(0, 8, 8, bits=16)
    for name in "01":
        deep(tmp_path / f"{name}.png", values)
    expected = np.minimum(values >> 4, 255)
    np.testing.assert_array_equal(load(tmp_path, bits=12)["0.png"][..., 0], expected)
    assert "as data.bits says" in data.load(f"folder:{tmp_path}", bits=12).notes[0]


def test_pixels_are_not_read_before_their_turn_without_16_bit_images(tmp_path, monkeypatch):
    for seed in range(3):
        Image.fromarray(picture(seed)).save(tmp_path / f"{seed}.png")
        Image.fromarray(picture(seed)).save(tmp_path / f"{seed}.tif")
    decoded = []
    decode = image_files.decode
    monkeypatch.setattr(
        image_files, "decode", lambda file, *more: decoded.append(file) or decode(file, *more)
    )
    monkeypatch.setattr(image_files, "_deep_pixels", None)
    data.load(f"folder:{tmp_path}", road="streaming", image_size=8)
    assert decoded == []


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.random.RandomState(0).rand(8, 8).astype(np.float32), "pixels of type float"),
        (np.full((8, 8), -3, np.int32), "values from -3 to -3"),
        (np.full((8, 8), 70_000, np.int32), "values from 70,000 to 70,000"),
    ],
)
def test_other_types_of_pixels_are_refused(tmp_path, pixels, words):
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    Image.fromarray(pixels).save(tmp_path / "1.tiff")
    with pytest.raises(contracts.UserError, match=r"1\.tiff has ") as error:
        load(tmp_path)
    assert words in str(error.value)


def test_a_16_bit_image_under_another_name_is_refused(tmp_path):
    for name in ("0.jpg", "1.jpg"):
        deep(tmp_path / "x.png", picture(0, 8, 8, bits=16))
        (tmp_path / "x.png").rename(tmp_path / name)
    with pytest.raises(contracts.UserError, match=r"[01]\.jpg is a PNG file with 16 bits"):
        load(tmp_path)


def test_a_file_that_has_gone_is_told_from_a_damaged_one(tmp_path):
    for name in "01":
        Image.fromarray(picture(0)).save(tmp_path / f"{name}.png")
    images = data.load(f"folder:{tmp_path}", road="streaming").splits["train"].images
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(contracts.UserError, match=r"\.png cannot be read \(No such file"):
        images[0]


def test_an_image_of_too_many_pixels_is_told_from_a_damaged_one(tmp_path, monkeypatch):
    for name in "01":
        Image.fromarray(picture(0)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.raises(contracts.UserError, match=r"[01]\.png has more than 60 pixels"):
        load(tmp_path)


def test_an_image_smaller_than_the_crop_is_named(tmp_path):
    for name in "01":
        Image.fromarray(picture(0)).save(tmp_path / f"{name}.png")
    with pytest.raises(contracts.UserError, match=r"[01]\.png is 8x8 .* data\.image_size, 9, and"):
        load(tmp_path, image_size=9, fit="crop")
    assert load(tmp_path, image_size=9, fit="pad")["0.png"].shape == (9, 9, 3)


def test_a_crop_is_one_of_the_complete_jpeg(tmp_path):
    smooth = Image.fromarray(picture(0, 8, 8)).resize((400, 300))
    for name in "01":
        smooth.save(tmp_path / f"{name}.jpg")
    complete = image_files.decode(tmp_path / "0.jpg", None, None)
    found = load(tmp_path, image_size=64, fit="crop")["0.jpg"]
    np.testing.assert_array_equal(found, complete[118:182, 168:232])
