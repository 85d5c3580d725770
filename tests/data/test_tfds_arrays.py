"""TFDS sets: small ones written here, and the real ones where they are on disk."""

import io
import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data
from dim_jax.data import tfds_disk


def _png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def _images(count, shape, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (count, *shape)).astype(np.uint8)


def _examples(images, labels):
    pairs = zip(images, labels, strict=True)
    return [{"image": _png(image), "label": int(label)} for image, label in pairs]


@pytest.fixture
def no_tensorflow(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


@pytest.mark.parametrize("shape", [(6, 9, 3), (5, 5, 1)])
def test_arrays_equal_what_was_written(write_tfds, shape):
    train, test = _images(7, shape), _images(3, shape, seed=1)
    labels = np.arange(7) % 2
    splits = {"train": _examples(train, labels), "validation": _examples(test, [1, 0, -1])}
    root = write_tfds("shapes", splits, shape, classes=("round", "square"))
    loaded = data.load("shapes", data_dir=str(root))
    assert loaded.facts == data.Facts("shapes", shape, ("round", "square"), None, None)
    np.testing.assert_array_equal(loaded.splits["train"].images, train)
    np.testing.assert_array_equal(loaded.splits["train"].labels, labels)
    np.testing.assert_array_equal(loaded.splits["test"].images, test)
    np.testing.assert_array_equal(loaded.splits["test"].labels, [1, 0, -1])
    assert loaded.splits["train"].labels.dtype == np.int32


def test_the_fingerprint_has_the_version_that_was_read(write_tfds):
    splits = {"train": _examples(_images(4, (4, 4, 3)), range(4)), "test": []}
    splits["test"] = splits["train"][:1]
    for version in ("1.0.0", "1.2.0"):
        root = str(write_tfds("shapes", splits, (4, 4, 3), tuple("abcd"), version))
        content = data.load("shapes", data_dir=root, road="streaming").fingerprint
        assert content["name"] == f"shapes/{version}"
        assert content["images"] == {"train": 4, "test": 1}
        assert content["classes"] == ["a", "b", "c", "d"]


def test_split_expressions_and_names(write_tfds):
    images = _images(10, (4, 4, 3))
    splits = {"train": _examples(images[:6], range(6)), "extra": _examples(images[6:], range(4))}
    root = str(write_tfds("shapes", splits, (4, 4, 3), classes=tuple("abcdef")))
    loaded = data.load("shapes", data_dir=root, train_split="train[:4]+extra", test_split="extra")
    wanted = np.concatenate([images[:4], images[6:]])
    np.testing.assert_array_equal(loaded.splits["train"].images, wanted)
    with pytest.raises(contracts.UserError, match=r"data\.test_split to one of train, extra"):
        data.load("shapes", data_dir=root)
    sizes = r"it has train \(6 examples\), extra \(4 examples\)"
    for wrong in ("tran", "train[", "train[4:2]", "train[:0]", "train[:200%]", "train[4:9]"):
        with pytest.raises(contracts.UserError, match=rf"{re.escape(repr(wrong))}; {sizes}"):
            data.load("shapes", data_dir=root, train_split=wrong, test_split="extra")


def test_images_of_several_sizes_need_image_size(write_tfds):
    images = [_images(1, (12, 20, 3))[0], _images(1, (30, 10, 3))[0]]
    splits = {"train": _examples(images, [0, 1]), "test": _examples(images, [0, 1])}
    root = str(write_tfds("shapes", splits, (None, None, 3), classes=("a", "b")))
    with pytest.raises(contracts.UserError, match=r"differ in size: set data\.image_size"):
        data.load("shapes", data_dir=root)
    loaded = data.load("shapes", data_dir=root, image_size=8)
    assert loaded.splits["train"].images.shape == (2, 8, 8, 3) and loaded.facts.shape == (8, 8, 3)


def test_without_labels(write_tfds):
    images = _images(4, (4, 4, 3))
    examples = [{"image": _png(image)} for image in images]
    root = write_tfds("faces", {"train": examples, "test": examples[:1]}, (4, 4, 3))
    loaded = data.load("faces", data_dir=str(root))
    assert loaded.facts.classes is None
    np.testing.assert_array_equal(loaded.splits["train"].labels, [-1] * 4)


_KINDS = {"Young": "bool", "Bald": "bool", "Smiling": 2}


def _faces(images, values, names=("Bald", "Smiling", "Young")):
    """Examples of faces with attributes: one row of `values`, in the order of `names`, for each."""
    return [
        {"image": _png(image)}
        | {f"attributes/{name}": int(value) for name, value in zip(names, row, strict=True)}
        for image, row in zip(images, values, strict=True)
    ]


def test_attributes_of_a_set_like_celeb_a(write_tfds):
    images = _images(1500, (20, 16, 3))  # more than one read
    values = np.random.RandomState(1).randint(0, 2, (1500, 3))
    splits = {
        "train": _faces(images[:1400], values[:1400]),
        "validation": _faces(images[:1], [[1, 1, 1]]),
        "test": _faces(images[1400:], values[1400:]),
    }
    root = str(write_tfds("celeb_a", splits, (20, 16, 3), attributes=_KINDS))
    loaded = data.load("celeb_a", data_dir=root, image_size=8, test_split="test[10:]")
    assert loaded.facts.attributes == ("Bald", "Smiling", "Young")
    assert loaded.facts.classes is None and loaded.facts.shape == (8, 8, 3)
    for role, wanted in (("train", values[:1400]), ("test", values[1410:])):
        split = loaded.splits[role]
        np.testing.assert_array_equal(split.attributes, wanted)
        assert split.attributes.dtype == np.uint8
        np.testing.assert_array_equal(split.labels, [-1] * len(wanted))
        assert split.images.shape == (len(wanted), 8, 8, 3)


@pytest.mark.parametrize("kinds", [{**_KINDS, "Age": "int64"}, {**_KINDS, "Age": 3}, None])
def test_a_dict_of_other_things_gives_no_attributes(write_tfds, kinds):
    names = tuple(kinds or ())
    examples = _faces(_images(2, (4, 4, 3)), np.ones((2, len(names))), names)
    splits = {"train": examples, "test": examples}
    root = str(write_tfds("faces", splits, (4, 4, 3), attributes=kinds))
    loaded = data.load("faces", data_dir=root)
    assert loaded.facts.attributes is None and loaded.splits["test"].attributes is None


def test_a_split_whose_attributes_are_not_all_known_has_none(write_tfds):
    images = _images(2, (4, 4, 3))
    splits = {
        "train": _faces(images, [[1, 0, 1], [0, 1, 1]]),
        "test": _faces(images, [[1, 0, 1], [0, -1, 1]]),
    }
    root = str(write_tfds("faces", splits, (4, 4, 3), attributes=_KINDS))
    loaded = data.load("faces", data_dir=root)
    np.testing.assert_array_equal(loaded.splits["train"].attributes, [[1, 0, 1], [0, 1, 1]])
    assert loaded.splits["test"].attributes is None


def test_celeb_a_that_is_not_on_disk_is_a_known_set(tmp_path, no_tensorflow):
    with pytest.raises(contracts.UserError, match="celeb_a is not on disk"):
        data.load("celeb_a", data_dir=str(tmp_path))


def test_grey_records_of_a_colour_set(write_tfds):
    grey = _images(2, (6, 6, 1))
    splits = {"train": _examples(grey, [0, 1]), "test": _examples(grey, [0, 1])}
    root = write_tfds("shapes", splits, (6, 6, 3), classes=("a", "b"))
    loaded = data.load("shapes", data_dir=str(root))
    np.testing.assert_array_equal(loaded.splits["train"].images, np.repeat(grey, 3, axis=-1))


def test_a_broken_record_is_named(write_tfds):
    examples = _examples(_images(3, (4, 4, 3)), [0, 1, 0])
    examples[1]["image"] = b"\x00 no image"
    root = write_tfds("shapes", {"train": examples, "test": examples}, (4, 4, 3), ("a", "b"))
    with pytest.raises(contracts.UserError, match="record 1 of shapes, split train, is not a read"):
        data.load("shapes", data_dir=str(root))


def test_not_an_image_set(write_tfds):
    root = write_tfds("faces", {"train": [], "test": []}, (4, 4, 3), image_key="depth")
    with pytest.raises(contracts.UserError, match=r"no feature named image \(it has depth\)"):
        data.load("faces", data_dir=str(root))


def test_the_newest_version_is_read_unless_one_is_named(write_tfds):
    for version, count in (("2.0.0", 2), ("10.0.0", 3), ("9.9.9", 4)):
        examples = _examples(_images(count, (4, 4, 3)), [0] * count)
        splits = {"train": examples, "test": examples}
        root = write_tfds("shapes", splits, (4, 4, 3), ("a", "b"), version=version)
    assert len(data.load("shapes", data_dir=str(root)).splits["train"].labels) == 3
    assert len(data.load("shapes:9.9.9", data_dir=str(root)).splits["train"].labels) == 4
    assert len(data.load("shapes:2.*.*", data_dir=str(root)).splits["train"].labels) == 2


def test_configs(write_tfds, no_tensorflow, monkeypatch):
    examples = _examples(_images(2, (4, 4, 3)), [0, 1])
    splits = {"train": examples, "test": examples}
    root = write_tfds("shapes/small", splits, (4, 4, 3), ("a", "b"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert data.load("shapes/small").facts.name == "shapes/small"
    with pytest.raises(contracts.UserError, match=r"there is shapes/small:1\.0\.0"):
        data.load("shapes")
    (root / "shapes" / ".config").mkdir()
    default = json.dumps({"default_config_name": "small"})
    (root / "shapes" / ".config" / "metadata.json").write_text(default)
    assert len(data.load("shapes").splits["train"].labels) == 2


def test_other_file_formats_are_refused(write_tfds):
    root = write_tfds("shapes", {"train": [], "test": []}, (4, 4, 3), ("a", "b"))
    path = root / "shapes" / "1.0.0" / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(contracts.UserError, match="stored as tfrecord"):
        data.load("shapes", data_dir=str(root))


def test_not_on_disk_says_what_to_install(tmp_path, no_tensorflow):
    with pytest.raises(contracts.UserError, match=r"cifar10 is not on disk.*'\.\[prepare\]'"):
        data.load("cifar10", data_dir=str(tmp_path))
    with pytest.raises(contracts.UserError, match="a folder that does not exist"):
        data.load("cifar10", data_dir=str(tmp_path / "nowhere"))


class _Writer:
    """Stands in for the TFDS builder that TensorFlow would run."""

    def __init__(self, write, failure=None):
        self.write, self.failure, self.data_dir = write, failure, None

    def download_and_prepare(self):
        if self.failure:
            raise self.failure
        self.data_dir = self.write() / "shapes" / "1.0.0"


def test_a_missing_set_is_prepared_where_tensorflow_is_installed(
    write_tfds, tmp_path, monkeypatch, capsys
):
    import tensorflow_datasets as tfds

    asked = {}

    def write():
        examples = _examples(_images(2, (4, 4, 3)), [0, 1])
        return write_tfds("shapes", {"train": examples, "test": examples}, (4, 4, 3), ("a", "b"))

    def builder(name, **options):
        asked.update(options, name=name)
        return _Writer(write)

    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    monkeypatch.setattr(tfds, "builder", builder)
    root = tmp_path / "tfds"
    assert len(data.load("shapes", data_dir=str(root)).splits["train"].labels) == 2
    assert asked == {"name": "shapes", "data_dir": root, "file_format": "array_record"}
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert len(data.load("shapes", data_dir=str(root)).splits["test"].labels) == 2
    assert not capsys.readouterr().out  # the second time it is read from disk


def test_a_failed_preparation_is_one_sentence(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    writer = _Writer(None, failure=OSError("no route\nto host"))
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: writer)
    with pytest.raises(contracts.UserError, match=r"could not prepare shapes in .*: no route to"):
        data.load("shapes", data_dir=str(tmp_path))

    def unknown(*_, **__):
        raise tfds.core.DatasetNotFoundError("no such builder")

    monkeypatch.setattr(tfds, "builder", unknown)
    with pytest.raises(contracts.UserError, match="unknown data set 'minst': did you mean mnist"):
        data.load("minst", data_dir=str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "train", "test"),
    [
        ("cifar10", None, [5000] * 10, [1000] * 10),
        (
            "mnist",
            None,
            [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        ),
        (
            "imagenette/128px-v2",
            128,
            [963, 955, 993, 858, 941, 956, 961, 931, 951, 960],
            [387, 395, 357, 386, 409, 394, 389, 419, 399, 390],
        ),
    ],
)
def test_real_sets_counts_statistics_and_pixels(tfds_dir, name, size, train, test):
    if not pathlib.Path(tfds_dir, name).is_dir():
        pytest.skip(f"{name} is not in {tfds_dir}")
    loaded = data.load(name, data_dir=tfds_dir, image_size=size)
    images = loaded.splits["train"].images
    assert np.bincount(loaded.splits["train"].labels).tolist() == train
    assert np.bincount(loaded.splits["test"].labels).tolist() == test
    levels = np.arange(256) / 255
    for channel in range(images.shape[-1]):
        counts = sum(np.bincount(image[..., channel].ravel(), minlength=256) for image in images)
        share = counts / counts.sum()
        mean = share @ levels
        np.testing.assert_allclose(mean, loaded.facts.mean[channel], atol=1e-6)
        deviation = np.sqrt(share @ (levels - mean) ** 2)
        np.testing.assert_allclose(deviation, loaded.facts.std[channel], atol=1e-6)
    _compare_with_pillow(name, tfds_dir, images, tolerance=0 if size is None else 3)


def _compare_with_pillow(name, tfds_dir, images, tolerance):
    import tensorflow_datasets as tfds

    source = tfds_disk.builder(name, tfds_dir).as_data_source(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    for row in (0, 1, 1023, 1024, 5000, len(source) - 1):
        picture = Image.open(io.BytesIO(source[row]["image"]))
        reference = np.asarray(picture.convert("L" if images.shape[-1] == 1 else "RGB"))
        difference = images[row].squeeze().astype(int) - reference
        assert np.abs(difference).max() <= tolerance
