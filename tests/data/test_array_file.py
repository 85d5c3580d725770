"""Images in arrays: labels, splits and classes; both roads; mistakes in one sentence each."""

import json
import pickle

import numpy as np
import pytest

from dim_jax import contracts, data
from dim_jax.data import array_file, array_formats, pixels, streaming

COUNT = 20
LABELS = np.arange(COUNT) % 3
SPLIT = np.arange(COUNT) >= 16


def make(dtype="uint8", channels=3, count=COUNT, size=(8, 6)):
    shape = (count, *size, channels) if channels else (count, *size)
    return np.random.RandomState(0).uniform(0, 200, shape).astype(dtype)


def save(path, **arrays):
    np.savez(path / "x.npz", **arrays)
    return f"array:{path / 'x.npz'}"


def equal(loaded, role, images, labels=None):
    split = loaded.splits[role]
    np.testing.assert_array_equal(np.asarray(split.images), images)
    assert split.images.dtype == images.dtype
    np.testing.assert_array_equal(
        split.labels[:], np.full(len(images), -1) if labels is None else labels
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [0, 1, 2, 13])
def test_types_and_channels(tmp_path, dtype, channels):
    images = make(dtype, channels)
    np.save(tmp_path / "x.npy", images)
    loaded = data.load(f"array:{tmp_path / 'x.npy'}")
    kept = "float32" if dtype == "float64" else dtype
    assert loaded.facts.dtype == kept and loaded.facts.classes is None
    assert loaded.facts.shape == (8, 6, channels or 1)
    assert ("read as images of one channel" in str(loaded.notes)) == (not channels)
    assert ("read as float32" in str(loaded.notes)) == (dtype == "float64")
    both = np.concatenate([loaded.splits[role].images for role in ("train", "test")])
    assert len(loaded.splits["test"].images) == 4
    kept_images = images.astype(kept).reshape(both.shape)
    assert {x.tobytes() for x in both} == {x.tobytes() for x in kept_images}


SPLITS = [
    np.array(["train", "test"] * 10),
    np.array([b"Training", b"val"] * 10),
    np.array([0, 1] * 10),
    np.array([[0], [1]] * 10),
    np.array([False, True] * 10),
]


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: str(split.dtype))
@pytest.mark.parametrize("road", ["resident", "streaming"])
def test_splits_keep_the_order_of_the_file(tmp_path, split, road):
    images = make("int16", 5)
    name = save(tmp_path, images=images, labels=LABELS, split=split)
    loaded = data.load(name, road=road)
    equal(loaded, "train", images[::2], LABELS[::2])
    equal(loaded, "test", images[1::2], LABELS[1::2])
    assert loaded.facts.classes == ("0", "1", "2")
    assert [note.split()[0] for note in loaded.notes] == ["Pixels"]  # of the range of int16


@pytest.mark.parametrize("names", [("{}_images", "{}_labels"), ("x_{}", "y_{}")])
def test_arrays_by_split(tmp_path, names):
    images, labels = make("uint16", 1), LABELS[:, None].astype(np.uint8)
    parts = {"train": slice(0, 10), "val": slice(10, 14), "test": slice(14, 20)}
    arrays = {names[0].format(split): images[rows] for split, rows in parts.items()}
    arrays |= {names[1].format(split): labels[rows] for split, rows in parts.items()}
    loaded = data.load(name := save(tmp_path, **arrays))
    equal(loaded, "train", images[:10], LABELS[:10])
    equal(loaded, "test", images[14:], LABELS[14:])
    assert loaded.notes[0] == f"Not used of {tmp_path / 'x.npz'}: the splits val."
    both = data.load(name, train_split="train+val", road="streaming")
    equal(both, "train", images[:14], LABELS[:14])
    equal(data.load_all(name), "all", images, LABELS)
    del arrays[names[1].format("test")]
    equal(data.load(save(tmp_path, **arrays)), "test", images[14:])


def test_names_and_classes(tmp_path):
    images, classes = make(), np.array(["cat", "dog", "elk"])
    names = np.array([f"{row}.png" for row in range(COUNT)])
    loaded = data.load(save(tmp_path, images=images, labels=LABELS, names=names, classes=classes))
    assert loaded.facts.classes == ("cat", "dog", "elk")
    for split in loaded.splits.values():
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            row = int(name.removesuffix(".png"))
            np.testing.assert_array_equal(image, images[row])
            assert label == LABELS[row]
    loaded = data.load(save(tmp_path, images=images, labels=classes[LABELS].astype(bytes)))
    assert loaded.facts.classes == ("cat", "dog", "elk")


def test_labels_of_one_image_each_are_held_out(tmp_path):
    """As in a folder, the classes of the test images then have no training images."""
    loaded = data.load(save(tmp_path, images=make(), labels=np.arange(COUNT)))
    labels = [split.labels.tolist() for split in loaded.splits.values()]
    assert sorted(labels[0] + labels[1]) == [*range(COUNT)] and len(labels[1]) == 4


def test_arrays_with_other_names(tmp_path):
    images = make()
    loaded = data.load(save(tmp_path, arr_0=images, ans=LABELS))
    assert loaded.facts.classes is None
    assert loaded.notes == (f"Not read of {tmp_path / 'x.npz'}: the arrays ans.",)
    name = save(tmp_path, one=images, two=images + 1, ans=LABELS)
    loaded = data.load_all(name, image_column="two", label_column="ans")
    equal(loaded, "all", images + 1, LABELS)
    with pytest.raises(contracts.UserError, match="it is not clear which are the images"):
        data.load(name)
    with pytest.raises(contracts.UserError, match=r"image_column is tow.*did you mean 'two'"):
        data.load(name, image_column="tow")


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_images_are_made_square(tmp_path, fit):
    images = make("uint16", 5)
    loaded = data.load_all(save(tmp_path, images=images), image_size=5, fit=fit)
    assert loaded.facts.shape == (5, 5, 5)
    equal(loaded, "all", np.stack([pixels.fit(image, 5, fit) for image in images]))


def test_two_sizes_are_made_one(tmp_path):
    train, test = make(), make(size=(10, 10))
    name = save(tmp_path, train_images=train, test_images=test)
    with pytest.raises(contracts.UserError, match=r"of 8x6 .*of 10x10: set data\.image_size"):
        data.load(name)
    equal(data.load(name, image_size=6), "test", pixels.fit_all(test, 6))


def test_batches_are_those_of_memory_in_worker_processes_too(tmp_path):
    images = make("float16", 4)
    name = save(tmp_path, images=images, labels=LABELS, split=np.arange(COUNT) >= 14)
    source = data.load(name, road="streaming").splits["train"].images.source
    copied = pickle.loads(pickle.dumps(source))
    for step in range(6):
        rows = streaming.indices(1, step, 14, 4)
        examples = copied.read(rows.tolist())
        np.testing.assert_array_equal(examples.images, images[rows])
        np.testing.assert_array_equal(examples.labels, LABELS[rows])
        assert examples.attributes.shape == (4, 0)


def test_a_folder_of_arrays_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "images.npy", make())
    np.save(tmp_path / "set" / "split.npy", np.arange(COUNT) % 2)
    equal(data.load("array:~/set"), "train", make()[::2])


@pytest.mark.parametrize("package", ["h5py", "zarr"])
def test_hdf5_and_zarr(tmp_path, package):
    module = pytest.importorskip(package, reason=f"{package} reads its files")
    path = tmp_path / ("x.h5" if package == "h5py" else "x.zarr")
    images, words = make("float32", 5), np.array(["dog", "cat"])[LABELS % 2]
    if package == "h5py":
        with module.File(path, "w") as file:
            file.update({"images": images, "split": SPLIT, "labels": words.tolist()})
    else:
        root = module.create_group(path)
        root.create_array("images", data=images)
        root.create_array("split", data=SPLIT)
        root.create_array("labels", shape=words.shape, dtype=str)[:] = words
    loaded = data.load(f"array:{path}", road="streaming")
    assert loaded.facts.classes == ("cat", "dog")
    equal(loaded, "train", images[:16], 1 - LABELS[:16] % 2)
    equal(loaded, "test", images[16:], 1 - LABELS[16:] % 2)


def test_only_the_same_data_are_continued_with(tmp_path):
    def of(**arrays):
        arrays = {"images": make(), "labels": LABELS, "split": SPLIT, **arrays}
        name = save(tmp_path, **arrays)
        loaded = data.load(name, road="streaming")
        return json.loads(json.dumps(loaded.fingerprint))

    first = of()
    assert data.difference(first, of()) is None
    assert data.difference(first, of(images=255 - make())) == ("the images changed since")
    assert "labels" in data.difference(first, of(labels=LABELS[::-1]))
    assert "splits" in data.difference(first, of(split=SPLIT[::-1]))
    assert "number of images" in data.difference(
        first, of(images=make()[1:], labels=LABELS[1:], split=SPLIT[1:])
    )


BAD = {
    "an array of Python objects": {"images": np.array([make()[0], None], object)},
    "labels of .* is an array of Python objects": {"labels": np.array([1, "a"] * 10, object)},
    "20 images and 19 labels|19 entries for 20 images": {"labels": LABELS[:-1]},
    "split of .* has 19 entries for 20 images": {"split": LABELS[:-1]},
    "names of .* has 21 entries for 20 images": {"names": np.arange(21)},
    "labels of .* has a single value": {"labels": np.array(3)},
    "up to 2: give one word": {"split": LABELS},
    "has 2 labels per image": {"labels": np.zeros((COUNT, 2), int)},
    "texts that are not of Unicode": {
        "labels": np.full(COUNT, 2**30, np.uint32).view("U1")
    },
    r"the label 0\.5, a float": {"labels": np.full(COUNT, 0.5)},
    "names of 1 classes": {"labels": LABELS, "classes": np.array(["a"])},
    r"type bool.*images\.astype\('uint8'\)": {"images": make() > 9},
    r"type int64.*images\.astype\('uint16'\)": {"images": make("int64")},
    r"type complex64.*numpy\.abs\(images\)": {"images": make("complex64")},
    "type <U.*: save numbers": {"images": make().astype(str)},
    r"\[20, 8\]: images are": {"images": make(channels=0)[..., 0]},
    r"\[20, 1, 8, 6, 3\]: images are": {"images": make()[:, None]},
    "0 images": {"images": make()[:0]},
    "0 rows of pixels": {"images": make()[:, :0]},
    "0 channels": {"images": make()[..., :0]},
    "looks like a single image": {"images": make(count=8)[0]},
    "holds 1 images": {"images": make(count=1)},
    r"\[20, 3, 9, 9\].*images\.transpose\(0, 2, 3, 1\)": {"images": make(size=(3, 9), channels=9)},
    r"\[20, 13, 64, 64\].*looks like": {"images": make(size=(13, 64), channels=64)},
    r"\[20, 2, 8, 6\].*looks like": {"images": make(size=(2, 8), channels=6)},
    "train_images of .* is uint8 and test_images of .* is uint16": {
        "images": None, "train_images": make(), "test_images": make("uint16")
    },
    "has 3 channels and .* has 4": {
        "images": None, "train_images": make(), "test_images": make(channels=4)
    },
    "holds no arrays": {"images": None},
    "no training images: add some": {
        "labels": np.repeat([0, 1, 2, 3], 5), "split": np.repeat([0, 0, 0, 1], 5)
    },
}  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_mistakes(tmp_path, words):
    arrays = {"images": make(), **BAD[words]}
    name = save(tmp_path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(contracts.UserError, match=words) as caught:
        data.load(name)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(20, 9, 9, 200), (20, 16, 64, 3), (20, 8, 8, 8), (20, 5, 4, 1)])
def test_small_images_with_channels_at_the_end_are_read(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8))
    assert data.load(f"array:{tmp_path / 'x.npy'}").facts.shape == shape[1:]


@pytest.mark.parametrize("road", ["resident", "streaming"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_pixels_that_are_not_finite(tmp_path, road, value):
    images = make("float64")
    images[13, 2, 3, 1] = value
    with pytest.raises(
        contracts.UserError, match=r"image 13 \(from 0\) of images .* 1 pixel value"
    ):
        loaded = data.load(save(tmp_path, images=images, split=LABELS * 0), road=road)
        loaded.splits["train"].images[:]


@pytest.mark.parametrize("name", ["array:", "array:nowhere.npy", "array:\0"])
def test_no_such_file(name):
    with pytest.raises(contracts.UserError, match=r"set it to array:PATH|does not exist"):
        data.load(name)


def test_reading_loads_no_more_than_asked_for(tmp_path, monkeypatch):
    """The images of an uncompressed archive stay on disk until they are read."""
    name = save(tmp_path, images=make(count=1000), split=np.arange(1000) % 2)
    read = []
    original = array_formats._Stored.read
    monkeypatch.setattr(
        array_formats._Stored,
        "read",
        lambda self, rows: read.append((self.where.split()[0], len(rows))) or original(self, rows),
    )
    source = array_file.open_(data.settings.Data.of({"name": name}), 0).sources["test"]
    source.read([1, 2, 3])
    assert read == [("split", 1000), ("images", 8), ("images", 3)]
