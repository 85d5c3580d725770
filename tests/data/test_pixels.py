"""Decoding and resizing of single images."""

import io

import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts
from dim_jax.data import pixels


def _encode(image, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **options)
    return buffer.getvalue()


def _picture(height, width, channels=3, seed=0):
    """A smooth random picture, so that JPEG keeps it and a channel swap shows."""
    small = np.random.RandomState(seed).randint(0, 256, (4, 4, channels)).astype(np.uint8)
    planes = [Image.fromarray(small[..., c]).resize((width, height)) for c in range(channels)]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "WEBP", "lossless": True}])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_images_come_back_exactly(options, channels):
    picture = _picture(20, 30, channels)
    encoded = _encode(picture[..., 0] if channels == 1 else picture, **options)
    np.testing.assert_array_equal(pixels.decode(encoded, channels), picture)


def test_jpeg_against_pillow():
    encoded = _encode(_picture(40, 56), format="JPEG", quality=90)
    reference = np.asarray(Image.open(io.BytesIO(encoded)))
    ours = pixels.decode(encoded, 3).astype(int)
    assert np.abs(ours - reference).max() <= 3  # two builds of libjpeg may round differently


def test_grey_as_three_channels():
    grey = _picture(16, 16, 1)
    for options in ({"format": "PNG"}, {"format": "JPEG"}):
        image = pixels.decode(_encode(grey[..., 0], **options), 3)
        assert image.shape == (16, 16, 3)
        np.testing.assert_array_equal(image, np.repeat(image[..., :1], 3, axis=-1))


@pytest.mark.parametrize("encoded", [b"", b"not an image", bytes(100)])
def test_unreadable_is_none(encoded):
    assert pixels.decode(encoded, 3) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_shrinking_by_a_whole_factor_averages_areas(channels):
    picture = np.random.RandomState(0).randint(0, 256, (12, 12, channels)).astype(np.uint8)
    means = picture.reshape(4, 3, 4, 3, channels).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels.fit(picture, 4), means, atol=0.51)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32"])
@pytest.mark.parametrize("channels", [2, 5, 13])
def test_channels_of_any_number_and_type_are_resized_one_by_one(dtype, channels):
    picture = np.random.RandomState(0).uniform(0, 100, (12, 15, channels)).astype(dtype)
    for size, method in ((5, "resize"), (18, "resize"), (7, "crop"), (13, "pad"), (20, "pad")):
        image = pixels.fit(picture, size, method)
        planes = [pixels.fit(picture[..., [c]], size, method) for c in range(channels)]
        assert image.shape == (size, size, channels) and image.dtype == dtype
        rounding = 0.1 if picture.dtype.kind == "f" else 1
        np.testing.assert_allclose(
            image.astype(float), np.concatenate(planes, axis=-1), atol=rounding
        )


def test_growing_is_bilinear():
    picture = np.random.RandomState(0).randint(0, 256, (8, 8)).astype(np.uint8)
    reference = Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(
        pixels.fit(picture[..., None], 32)[..., 0].astype(int), np.asarray(reference), atol=1
    )


@pytest.mark.parametrize(("height", "width"), [(10, 16), (16, 10), (7, 50), (10, 10)])
@pytest.mark.parametrize("size", [5, 7, 10, 23])
def test_any_shape_becomes_square(height, width, size):
    assert pixels.fit(_picture(height, width), size).shape == (size, size, 3)


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_centre_is_kept(upright, scale):
    picture = np.zeros((4 * scale, 10 * scale, 1), np.uint8)
    picture[:, 3 * scale : 7 * scale] = 200
    picture = picture.swapaxes(0, 1) if upright else picture
    np.testing.assert_array_equal(pixels.fit(picture, 4), np.full((4, 4, 1), 200))


@pytest.mark.parametrize("side", [1000, 2**31])  # the second product has more than 64 bits
def test_more_than_the_memory(side):
    with pytest.raises(contracts.UserError, match=r"GiB.*smaller data\.image_size"):
        pixels.allocate(10**9, (side, side, 3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32"])
@pytest.mark.parametrize("channels", [1, 5])
def test_a_crop_and_a_margin_change_no_pixel(dtype, channels):
    image = np.arange(6 * 9 * channels).reshape(6, 9, channels).astype(dtype)
    np.testing.assert_array_equal(pixels.fit(image, 5, "crop"), image[:5, 2:7])
    padded = pixels.fit(image, 12, "pad")
    assert padded.shape == (12, 12, channels) and padded.dtype == image.dtype
    np.testing.assert_array_equal(padded[3:9, 1:10], image)
    assert not padded[:3].any() and not padded[9:].any() and not padded[:, [0, 10, 11]].any()
    smaller = pixels.fit(image, 3, "pad")
    assert smaller.shape == (3, 3, channels) and not smaller[2].any() and smaller[:2].any()


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(contracts.UserError, match=r"9x6 \(width x height\), smaller than .*, 7"):
        pixels.fit(_picture(6, 9), 7, "crop")
