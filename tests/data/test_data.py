"""`data.load`: names, and the errors that do not depend on a source."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from dim_jax import contracts, data, settings
from dim_jax.data import memory


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        *(("digit", "digits"), ("Digits", "digits"), ("cifra10", "cifar10")),
        *(("folder", "folder:PATH"), ("arrays:x.npy", "array:PATH"), ("shard", "shards:PATTERN")),
    ],
)
def test_unknown_name_offers_the_nearest(tmp_path, monkeypatch, name, nearest):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(contracts.UserError, match=f"did you mean {re.escape(nearest)}\\?"):
        data.load(name, data_dir=str(tmp_path))


@pytest.mark.parametrize("name", ["", "..", "/", "a/b/c", "../cifar10", "mnist:", "*"])
def test_malformed_name(tmp_path, monkeypatch, name):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(contracts.UserError, match="unknown data set"):
        data.load(name, data_dir=str(tmp_path))


@pytest.mark.parametrize("size", [0, -3, 2.5, "32", True])
def test_image_size_must_be_a_positive_whole_number(size):
    with pytest.raises(contracts.UserError, match=r"data\.image_size is"):
        data.load("digits", image_size=size)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_test_fraction_must_lie_between_0_and_1(fraction):
    with pytest.raises(contracts.UserError, match=r"data\.test_fraction is"):
        data.load("digits", test_fraction=fraction)


def test_digits_are_the_ones_of_scikit_learn():
    from sklearn import datasets

    bunch = datasets.load_digits()
    loaded = data.load("digits")
    train, test = loaded.splits["train"], loaded.splits["test"]
    assert train.images.shape == (1438, 8, 8, 1) and test.images.shape == (359, 8, 8, 1)
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    assert loaded.facts.shape == (8, 8, 1) and loaded.facts.classes == tuple("0123456789")
    levels = np.concatenate([train.images, test.images]).astype(np.float64)[..., 0] * 16 / 255
    both = {(*np.round(levels[i]).ravel(), label) for i, label in _labels(train, test)}
    assert np.abs(levels - np.round(levels)).max() < 0.04
    assert both == {(*x.ravel(), y) for x, y in zip(bunch.images, bunch.target, strict=True)}


def _labels(*splits):
    return enumerate(np.concatenate([split.labels for split in splits]))


def test_digits_split_is_stratified_and_the_same_for_every_seed():
    one, other = data.load("digits", seed=0), data.load("digits", seed=5)
    for role in ("train", "test"):
        np.testing.assert_array_equal(one.splits[role].images, other.splits[role].images)
    parts = [np.bincount(one.splits[role].labels) for role in ("train", "test")]
    np.testing.assert_allclose(parts[1] / (parts[0] + parts[1]), 0.2, atol=0.005)


def test_digits_statistics_are_those_of_the_training_split():
    loaded = data.load("digits")
    pixels = loaded.splits["train"].images / 255
    np.testing.assert_allclose(pixels.mean(), loaded.facts.mean[0], atol=1e-6)
    np.testing.assert_allclose(pixels.std(), loaded.facts.std[0], atol=1e-6)


def test_digits_resized():
    small, large = data.load("digits"), data.load("digits", image_size=32)
    images = large.splits["train"].images
    assert images.shape == (1438, 32, 32, 1) and large.facts.shape == (32, 32, 1)
    blocks = images.reshape(1438, 8, 4, 8, 4).mean(axis=(2, 4))
    correlation = np.corrcoef(blocks.ravel(), small.splits["train"].images.ravel())[0, 1]
    assert correlation > 0.97


def test_loading_digits_imports_no_other_source():
    code = (
        "import sys; from dim_jax import data; assert 'sklearn' not in sys.modules;"
        "data.load('digits');"
        "bad = {'tensorflow', 'tensorflow_datasets', 'PIL.ImageOps', 'flax'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_centre_of_images_that_are_no_squares():
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 11, 2), np.uint8)
    split = data.Split(images, np.zeros(3, np.int32))
    facts = data.Facts("made", (6, 11, 2), None, None, None)
    result = data.centre(data.Dataset(facts, {"train": split, "test": split}), 4)
    np.testing.assert_array_equal(result.splits["train"].images, images[:, 1:5, 3:7])
    assert result.facts.shape == (4, 4, 2)


def test_evaluations_of_a_part_see_training_images_all_over():
    images = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1)
    split = data.Split(images, np.arange(200, dtype=np.int32))
    facts = data.Facts("made", (1, 1, 1), None, None, None)
    everything = data.Dataset(facts, {"train": split, "test": split})
    train, again = (data.evaluated(everything, limit=50).splits["train"] for _ in range(2))
    np.testing.assert_array_equal(train.labels, again.labels)
    np.testing.assert_array_equal(train.labels, train.images.ravel())
    assert (np.diff(train.labels) > 0).all() and len(train.labels) == 50
    # Uniform: 12.5 expected in each quarter, with a deviation of 2.7.
    counts = np.histogram(train.labels, 4, (0, 200))[0]
    assert (np.abs(counts - 12.5) < 10).all() and len(set(np.diff(train.labels))) > 3


def test_decoded_images_may_take_a_quarter_of_the_memory():
    line = pathlib.Path("/proc/meminfo").read_text().splitlines()[0]
    assert line.startswith("MemTotal:")
    assert memory.limit() == pytest.approx(int(line.split()[1]) * 1024 / 4, rel=0.01)


@pytest.mark.parametrize(
    ("setting", "value", "name"),
    [("channels", 5, "digits"), ("bits", 12, "array:x.npy"), ("label_column", "cls", "folder:x")],
)
def test_settings_that_a_source_does_not_read_are_refused(setting, value, name):
    message = f"data.{setting} is {value} and data.name is {name}, whose images do not depend on it"
    with pytest.raises(contracts.UserError, match=message):
        data.load(name, **{setting: value})


def test_the_ring_has_eight_gaussians_of_radius_1_whose_labels_are_right():
    loaded = data.load("ring")
    assert loaded.facts.shape == (1, 1, 2) and len(loaded.facts.classes) == 8
    for role, count in dict(train=16_000, test=4_000).items():
        split = loaded.splits[role]
        points = split.images.reshape(count, 2).astype(np.float64)
        for mode in range(8):
            of_mode = points[split.labels == mode]
            centre = [np.cos(mode * np.pi / 4), np.sin(mode * np.pi / 4)]
            assert len(of_mode) == count // 8
            assert of_mode.mean(axis=0) == pytest.approx(centre, abs=0.01)
            assert of_mode.std(axis=0) == pytest.approx([0.05, 0.05], abs=0.005)
    scaled = data.to_unit(loaded.splits["train"].images, loaded.facts.pixel_range)
    assert scaled.min() == 0 and scaled.max() == 1
    with pytest.raises(contracts.UserError, match=r"points, .* set data.image_size to None"):
        data.load("ring", image_size=8)


@pytest.mark.parametrize(
    ("changes", "crop", "message"),
    [
        (dict(eval_size=6), None, "data.eval_size is 6 and augment.crop is None"),
        (dict(eval_size=3), 4, "are 3x3 pixels and augment.crop is 4"),
        (dict(eval_size=12), 10, "are 8x8 pixels and augment.crop is 10"),
        (dict(eval_size=6, shortcut="value"), 4, "data.shortcut marks single pixels"),
    ],
)
def test_sizes_of_evaluations_that_cannot_be(changes, crop, message):
    block = settings.Data.of(dict(name="digits", **changes))
    trained = data.load_configured(block)
    with pytest.raises(contracts.UserError, match=message):
        data.load_evaluated(trained, block, crop)
