"""Ranges and statistics of channels, measured on the training images."""

import numpy as np
import pytest

from dim_jax import contracts, data
from dim_jax.data import channel_statistics, fingerprint, pixel_range

LEVELS = np.array([1000.0, -40.0, 3.5, 0.0, 8.0])
SPREADS = np.array([300.0, 9.0, 0.02, 1e-4, 2.0])


def dataset(images: np.ndarray, mean=None, std=None) -> data.Dataset:
    facts = data.Facts("bands", images.shape[1:], None, mean, std, dtype=str(images.dtype))
    halves = np.split(images, [3 * len(images) // 4])
    splits = [data.Split(half, np.zeros(len(half), np.int32)) for half in halves]
    return data.Dataset(facts, dict(zip(("train", "test"), splits, strict=True)))


@pytest.fixture(scope="module")
def bands() -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((64, 12, 10, 5))
    return (LEVELS + SPREADS * noise).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "uint16", "int16"])
def test_standardised_pixels_have_mean_0_and_deviation_1(bands, dtype):
    images = bands if dtype == "float32" else np.round(bands[..., :1] + 2000).astype(dtype)
    measured = channel_statistics.measure(dataset(images), "standardized")
    facts = measured.facts
    scaled = data.normalise(
        measured.splits["train"].images, facts.mean, facts.std, facts.pixel_range
    ).astype(np.float64)
    np.testing.assert_allclose(scaled.mean((0, 1, 2)), 0, atol=2e-4)
    np.testing.assert_allclose(scaled.std((0, 1, 2)), 1, rtol=2e-4)
    assert measured.splits["test"].pixel_range == facts.pixel_range


def test_symmetric_pixels_span_their_range_per_channel(bands):
    measured = channel_statistics.measure(dataset(bands), "symmetric")
    mean, std = data.scaling(measured.facts, "symmetric")
    scaled = data.normalise(measured.splits["train"].images, mean, std, measured.facts.pixel_range)
    np.testing.assert_allclose(scaled.min((0, 1, 2)), -1, atol=1e-6)
    np.testing.assert_allclose(scaled.max((0, 1, 2)), 1, atol=1e-6)


def test_quantiles_leave_out_extreme_values():
    images = np.random.default_rng(1).exponential(1.0, (40, 16, 16, 2)).astype(np.float32)
    images[0, 0, 0] = 1e6
    measured = channel_statistics.measure(dataset(images), "quantiles")
    train = measured.splits["train"].images
    expected = np.quantile(train, channel_statistics.QUANTILES, axis=(0, 1, 2))
    np.testing.assert_allclose(measured.facts.pixel_range[:2], expected, rtol=1e-5)
    unit = data.to_unit(train, measured.facts.pixel_range)
    assert unit.min() == 0 and unit.max() == 1
    assert 0.015 < np.mean((unit == 0) | (unit == 1)) < 0.025


def test_quantiles_of_uint8_images():
    images = np.random.default_rng(2).integers(0, 256, (20, 8, 8, 1), np.uint8)
    measured = channel_statistics.measure(dataset(images), "quantiles")
    (low,), (high,), clip = measured.facts.pixel_range
    assert 0 <= low < 8 and 247 < high <= 255 and clip


def test_uint8_images_keep_their_range_and_statistics_that_are_known():
    images = np.random.default_rng(3).integers(0, 256, (20, 8, 8, 3), np.uint8)
    unknown = dataset(images)
    assert channel_statistics.measure(unknown, "symmetric") is unknown
    known = dataset(images, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert channel_statistics.measure(known, "standardized") is known
    measured = channel_statistics.measure(unknown, "standardized")
    train = measured.splits["train"].images / 255
    np.testing.assert_allclose(measured.facts.mean, train.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(measured.facts.std, train.std((0, 1, 2)), rtol=1e-5)
    assert measured.facts.pixel_range is None


def test_a_channel_with_one_value_is_named_and_becomes_0(bands):
    images = bands.copy()
    images[..., 1] = 7.0
    measured = channel_statistics.measure(dataset(images), "standardized")
    facts = measured.facts
    scaled = data.normalise(images, facts.mean, facts.std, facts.pixel_range)
    assert np.all(scaled[..., 1] == 0) and np.all(np.isfinite(scaled))
    assert "Channel 2 of 5 has one value" in measured.notes[1]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9, -3e12])
def test_one_value_of_any_size_becomes_a_number(bands, value):
    images = bands.copy()
    images[..., (1, 3)] = value
    for kind in ("standardized", "symmetric", "quantiles"):
        measured = channel_statistics.measure(dataset(images), kind)
        mean, std = data.scaling(measured.facts, kind)
        scaled = data.normalise(images, mean, std, measured.facts.pixel_range)
        assert np.all(scaled[..., 1] == (0 if kind == "standardized" else -1))
        assert "Channels 2, 4 of 5 have one value" in measured.notes[1]


def test_quantiles_of_a_channel_that_is_mostly_0_keep_its_values(bands):
    images = bands.astype(np.uint16)
    images[..., 1] = 0
    images[::7, 3, 3, 1] = np.arange(1, 11) * 900
    measured = channel_statistics.measure(dataset(images), "quantiles")
    train = measured.splits["train"].images
    unit = data.to_unit(train, measured.facts.pixel_range)
    np.testing.assert_allclose(unit[..., 1], train[..., 1] / train[..., 1].max(), rtol=1e-6)
    assert any("Channel 2 of 5 has equal quantiles" in note for note in measured.notes)


def test_values_that_are_too_far_apart_are_refused(bands):
    images = bands.copy()
    images[..., 2] = np.where(images[..., 2] > 3.5, 3e38, -3e38)
    with pytest.raises(contracts.UserError, match=r"channel 3 .* bands has values from -3e\+38 to"):
        channel_statistics.measure(dataset(images), "standardized")


def test_a_pixel_that_changes_the_scaling_is_a_difference(bands):
    known = dataset(bands)._replace(fingerprint=fingerprint.of("bands", None, {"train": 48}))
    images = bands.copy()
    images[5, 0, 0, 3] = 60.0
    changed = known._replace(splits=dataset(images).splits)
    before, after = (channel_statistics.measure(each, "symmetric") for each in (known, changed))
    difference = fingerprint.difference(before.fingerprint, after.fingerprint)
    assert difference.startswith("pixels changed since") and ", 60, " in difference


def test_of_many_images_some_are_measured(bands, monkeypatch):
    monkeypatch.setattr(channel_statistics, "_VALUES", 0)
    monkeypatch.setattr(channel_statistics, "_FEWEST", 16)
    measured = channel_statistics.measure(dataset(bands), "symmetric")
    assert "16 of the 48 training images" in measured.notes[1]
    rows = np.linspace(0, 47, 16).astype(int)
    np.testing.assert_allclose(
        measured.facts.pixel_range.low, bands[rows].min((0, 1, 2)), rtol=1e-6
    )


def test_parts_do_not_change_the_result(bands, monkeypatch):
    complete = channel_statistics.measure(dataset(bands), "standardized").facts
    monkeypatch.setattr(channel_statistics, "_PER_PART", 3 * bands[0].size)
    parts = channel_statistics.measure(dataset(bands), "standardized").facts
    np.testing.assert_allclose(parts.mean, complete.mean, rtol=1e-5)
    np.testing.assert_allclose(parts.std, complete.std, rtol=1e-5)
    assert parts.pixel_range == complete.pixel_range


def test_images_to_look_at_are_8_bits_of_the_range():
    raw = np.array([[[[100.0]], [[300.0]], [[500.0]], [[900.0]]]])
    ends = pixel_range.PixelRange((100.0,), (500.0,))
    np.testing.assert_array_equal(pixel_range.to_u8(raw, ends).ravel(), [0, 128, 255, 255])
    plain = np.array([[[[3]]]], np.uint8)
    assert pixel_range.to_u8(plain, None) is plain
