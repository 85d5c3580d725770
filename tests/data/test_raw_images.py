"""Image files with their own number type and channels, as data.channels asks."""

import importlib.util
import io
import pickle
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data, settings
from dim_jax.data import decoding, image_files, pixels, raw_images


def values(seed: int, *shape: int, dtype=np.uint8) -> np.ndarray:
    high = 256 if dtype == np.uint8 else 30_000
    return np.random.RandomState(seed).randint(0, high, shape or (8, 9, 3)).astype(dtype)


def png(image: np.ndarray) -> bytes:
    """[h,w,c] of 8 or 16 bits; c = 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    height, width, channels = image.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * image.itemsize, kind, 0, 0, 0)
    stored = image.astype(image.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in stored)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(content: bytes, name: str = "a.png") -> image_files.Encoded:
    return image_files.Encoded(name, content)


def saved(image: Image.Image, form: str, **options) -> image_files.Encoded:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return encoded(stream.getvalue(), f"a.{form.lower()}")


def decode(file, channels: int, size: int | None = None) -> np.ndarray:
    return raw_images.decode(file, channels, size, raw_images.kind(file, channels).dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_its_bits_and_channels(channels, dtype):
    image = values(0, 8, 9, channels, dtype=dtype)
    found = decode(encoded(png(image)), channels)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_netpbm_keeps_its_bits(tmp_path, shape):
    image = values(0, *shape, dtype=np.uint16)
    path = tmp_path / ("a.pgm" if len(shape) == 2 else "a.ppm")
    cv2.imwrite(str(path), image[..., ::-1].copy() if image.ndim == 3 else image)
    np.testing.assert_array_equal(decode(path, 1 if image.ndim == 2 else 3).squeeze(), image)


def test_grey_and_colour_of_8_bits_become_each_other():
    grey, colour = values(0, 8, 9, 1), values(1, 8, 9, 3)
    np.testing.assert_array_equal(decode(encoded(png(grey)), 3), grey.repeat(3, axis=2))
    luma = np.asarray(Image.fromarray(colour).convert("L"))[..., None]
    np.testing.assert_array_equal(decode(encoded(png(colour)), 1), luma)
    palette = Image.fromarray(colour).quantize(16)
    found = decode(saved(palette, "PNG"), 3)
    np.testing.assert_array_equal(found, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(
    ("has", "dtype", "channels"),
    [(1, np.uint16, 3), (3, np.uint16, 1), (4, np.uint8, 3), (2, np.uint8, 1), (3, np.uint8, 5)],
)
def test_other_channels_are_refused(has, dtype, channels):
    file = encoded(png(values(0, 8, 9, has, dtype=dtype)), "x.png")
    words = rf"x\.png has {has} channels? of {np.dtype(dtype)} and data\.channels is {channels}"
    for read in (raw_images.kind, lambda *of: raw_images.decode(*of, None, np.dtype(dtype))):
        with pytest.raises(contracts.UserError, match=words):
            read(file, channels)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_orientation_is_applied(form, mode):
    if form == "TIFF":
        pytest.importorskip("tifffile", reason="reads TIFF files")
    rows, columns = np.mgrid[0:16, 0:24]
    smooth = Image.fromarray(np.stack([rows * 9, columns * 9, rows + columns], -1).astype("u1"))
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        file = saved(smooth.convert(mode), form, exif=exif)
        wanted = image_files.decode(file, None, None)[..., : len(mode)]
        np.testing.assert_array_equal(decode(file, len(mode)), wanted)


def test_a_large_jpeg_is_decoded_at_half_its_size():
    file = saved(Image.fromarray(values(0, 224, 300, 3)), "JPEG")
    assert decode(file, 3, 64).shape == (112, 150, 3)
    block = settings.Data.of(dict(name="folder:x", channels=3, image_size=64, fit="crop"))
    chosen, _ = decoding.survey([file], block)
    complete = image_files.decode(file, None, None)
    np.testing.assert_array_equal(chosen.image(file), pixels.fit(complete, 64, "crop"))


def save_all(folder, images) -> str:
    for index, image in enumerate(images):
        (folder / f"{index}.png").write_bytes(png(image))
    return f"folder:{folder}"


def test_a_folder_of_16_bits_is_equal_in_memory_and_streamed(tmp_path):
    images = [values(seed, 8, 9, 1, dtype=np.uint16) for seed in range(6)]
    name = save_all(tmp_path, images)
    resident, streamed = (
        data.load(name, channels=1, road=road) for road in ("resident", "streaming")
    )
    assert resident.facts.shape == (8, 9, 1) and resident.facts.dtype == "uint16"
    assert resident.facts.bits is None
    assert resident.facts.pixel_range == streamed.facts.pixel_range is not None
    assert resident.notes[0] == "Images keep their pixels: 1 channel of uint16."
    for role, split in resident.splits.items():
        for file, image in zip(split.names, split.images, strict=True):
            np.testing.assert_array_equal(image, images[int(file[0])])
        copy = pickle.loads(pickle.dumps(streamed.splits[role].images.source))
        np.testing.assert_array_equal(copy.read(range(len(copy))).images, split.images)
    everything = data.load_all(tmp_path, channels=1).splits["all"].images
    np.testing.assert_array_equal(everything[:], images)


def test_images_of_two_types_are_named_before_training(tmp_path):
    images = [values(seed, 8, 8, 1, dtype=np.uint16) for seed in range(4)]
    images[2] = values(2, 8, 8, 1)
    name = save_all(tmp_path, images)
    words = r"2\.png has 1 channel of uint8 and .*0\.png pixels of uint16"
    with pytest.raises(contracts.UserError, match=words):
        data.load(name, channels=1, road="streaming", image_size=8)
    later = encoded(png(images[2]), "later.png")
    with pytest.raises(contracts.UserError, match=r"later\.png has 1 channel of uint8 and other"):
        raw_images.decode(later, 1, None, np.dtype(np.uint16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_damaged_png_is_one_sentence(dtype, channels):
    content = png(values(0, 8, 9, channels, dtype=dtype))
    for size in (3, 40, len(content) // 2):
        with pytest.raises(contracts.UserError, match=r"a\.png is not a readable image"):
            raw_images.decode(encoded(content[:size]), channels, None, np.dtype(dtype))


def test_bits_and_channels_are_refused_together(tmp_path):
    name = save_all(tmp_path, [values(0, 8, 9, 1, dtype=np.uint16)] * 2)
    with pytest.raises(contracts.UserError, match=r"data\.bits is 12 and data\.channels 1"):
        data.load(name, channels=1, bits=12)


class TestTiff:
    """Files that tifffile and other programs write."""

    @pytest.fixture
    def write(self):
        tifffile = pytest.importorskip("tifffile", reason="writes and reads TIFF files")

        def write(array, **options) -> image_files.Encoded:
            stream = io.BytesIO()
            tifffile.imwrite(stream, array, **options)
            return encoded(stream.getvalue(), "a.tif")

        return write

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"byteorder": ">"},
            {"bigtiff": True},
            {"photometric": "minisblack", "planarconfig": "separate"},
            {"imagej": True},
            {"ome": True, "metadata": {"axes": "CYX"}},
            {"metadata": None},
            {"compression": "zlib", "predictor": True},
            {"tile": (16, 16)},
        ],
    )
    def test_stacks(self, write, options):
        image = values(0, 8, 9, 5, dtype=np.uint16)
        found = decode(write(np.moveaxis(image, -1, 0).copy(), **options), 5)
        assert found.dtype == np.uint16 and found.dtype.isnative
        np.testing.assert_array_equal(found, image)

    @pytest.mark.parametrize("options", [{}, {"planarconfig": "contig"}])
    @pytest.mark.parametrize("channels", [2, 5, 13])
    def test_interleaved(self, write, options, channels):
        image = values(0, 8, 9, channels, dtype=np.uint16)
        found = decode(write(image, photometric="minisblack", **options), channels)
        np.testing.assert_array_equal(found, image)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64"])
    @pytest.mark.parametrize("channels", [1, 5])
    def test_types(self, write, dtype, channels):
        image = (values(0, 8, 9, channels, dtype=np.uint16) / 150 - 9 * (dtype[0] != "u")).astype(
            dtype
        )
        found = decode(write(np.moveaxis(image, -1, 0).copy()), channels)
        np.testing.assert_array_equal(found, image.astype(found.dtype))
        assert found.dtype == ("float32" if dtype == "float64" else dtype)

    def test_grey_and_colour(self, write):
        grey, colour = values(0, 8, 9), values(1, 8, 9, 3)
        np.testing.assert_array_equal(decode(write(grey), 3), grey[..., None].repeat(3, axis=2))
        luma = np.asarray(Image.fromarray(colour).convert("L"))[..., None]
        np.testing.assert_array_equal(decode(write(colour), 1), luma)
        np.testing.assert_array_equal(
            decode(write(grey, photometric="miniswhite"), 1), 255 - grey[..., None]
        )

    @pytest.mark.parametrize(
        ("array", "options", "channels", "words"),
        [
            (np.ones((5, 8, 9), "u2"), {}, 3, "has 5 channels of uint16 and data.channels is 3"),
            (np.ones((3, 8, 9), "u1"), {"photometric": "minisblack"}, 1, "set data.channels to 3"),
            (np.ones((8, 9), "i4"), {}, 1, "has pixels of type int32: convert it to uint8, uint16"),
            (np.full((8, 9), np.nan, "f4"), {}, 1, "NaN or infinite"),
            (np.full((8, 9), 1e300), {}, 1, "NaN or infinite"),
            (np.ones((2, 5, 8, 9), "u1"), {"photometric": "minisblack"}, 5, "one image per file"),
            (
                np.ones((8, 9), "u1"),
                {"photometric": "palette", "colormap": np.zeros((3, 256), "u2")},
                1,
                "indices of a palette",
            ),
        ],
    )
    def test_what_is_refused(self, write, array, options, channels, words):
        with pytest.raises(contracts.UserError, match=words):
            decode(write(array, **options), channels)

    def test_pages_of_two_sizes(self, write, tmp_path):
        pages = [Image.fromarray(values(seed, 8 + seed, 9)) for seed in range(2)]
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        with pytest.raises(contracts.UserError, match="holds 2 images of different sizes"):
            decode(tmp_path / "a.tif", 1)

    def test_without_channels_they_are_asked_for(self, write):
        several = write(values(0, 5, 8, 9), photometric="minisblack", planarconfig="separate")
        floats = write(np.ones((8, 9), np.float32))
        for file in (several, floats):
            with pytest.raises(contracts.UserError, match=r"a\.tif .*set data\.channels to"):
                image_files.decode(file, None, None)

    def test_damage(self, write, caplog):
        content = write(values(0, 5, 8, 9, dtype=np.uint16)).content
        for size in (10, 100, 500):
            with pytest.raises(contracts.UserError, match=r"a\.tif is not a readable image"):
                raw_images.decode(encoded(content[:size], "a.tif"), 5, None, np.dtype(np.uint16))
        random = np.random.RandomState(0)
        for _ in range(100):
            damaged = bytearray(content)
            for place in random.randint(0, len(content), 3):
                damaged[place] = random.randint(256)
            try:
                decode(encoded(bytes(damaged), "a.tif"), 5)
            except contracts.UserError as error:
                assert "\n" not in str(error)
        assert not caplog.records

    def test_packages_that_are_missing(self, write, monkeypatch):
        file = saved(Image.fromarray(values(0, 8, 9, 3)), "TIFF", compression="tiff_lzw")
        if importlib.util.find_spec("imagecodecs"):
            np.testing.assert_array_equal(decode(file, 3), values(0, 8, 9, 3))
        else:
            with pytest.raises(contracts.UserError, match="pip install imagecodecs"):
                decode(file, 3)
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(contracts.UserError, match=r"a\.tiff .* pip install 'dim-jax\[tiff\]'"):
            decode(file, 3)
