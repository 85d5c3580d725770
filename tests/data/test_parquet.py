"""Parquet files with encoded images."""

import json
import os
import sys

import numpy as np
import pytest
from archives import encoded, picture

from dim_jax import contracts, data
from dim_jax.data import index_files, parquet_images

pa = pytest.importorskip("pyarrow", reason="the extra `parquet`")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet`")

_CLASSES = ["cat", "dog"]
_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setenv("DIM_JAX_CACHE", "")


def _load(pattern, **options):
    return data.load(f"parquet:{pattern}", **options)


def _images(numbers, kind=_STRUCT):
    content = [encoded(picture(number)) for number in numbers]
    if not pa.types.is_struct(kind):
        return pa.array(content, kind)
    paths = [f"{number:04d}.png" for number in numbers]
    rows = [{"bytes": one, "path": path} for one, path in zip(content, paths, strict=True)]
    return pa.array(rows, kind)


def _write(path, columns, classes=None, label="label", **options):
    table = pa.table(columns)
    if classes is not None:
        features = {"image": {"_type": "Image"}, label: {"_type": "ClassLabel", "names": classes}}
        metadata = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": metadata})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def _set(path, numbers, classes=_CLASSES, **options):
    labels = pa.array([number % 2 for number in numbers], pa.int64())
    columns = {"image": _images(numbers), "label": labels}
    return _write(path, columns, classes, row_group_size=2, **options)


def test_splits_order_and_classes_on_both_roads(tmp_path):
    _set(tmp_path / "data" / "train-00000-of-00002.parquet", [3, 1, 9])
    _set(tmp_path / "data" / "train-00001-of-00002.parquet", [2, 0])
    _set(tmp_path / "data" / "test-00000-of-00001.parquet", [4, 1])
    for road in ("resident", "streaming"):
        loaded = _load(tmp_path, road=road)
        train, test = loaded.splits["train"], loaded.splits["test"]
        assert loaded.facts.classes == ("cat", "dog")
        assert train.labels[:].tolist() == [1, 1, 1, 0, 0]
        assert test.names == tuple(f"test-00000-of-00001.parquet:{row}" for row in (0, 1))
        for split, numbers in ((train, [3, 1, 9, 2, 0]), (test, [4, 1])):
            np.testing.assert_array_equal(split.images[:], [picture(n) for n in numbers])


def test_note_when_images_are_copied(tmp_path):
    path = _set(tmp_path / "a.parquet", range(6))
    (note,) = _load(path).notes
    assert note == (
        f"The images of 1 Parquet file (1.6 KiB) were copied once to {tmp_path}, to be read in any "
        "order."
    )
    assert _load(path).notes == ()
    assert sorted(os.listdir(tmp_path)) == [
        *("a.parquet", "a.parquet.image.images", "a.parquet.image.index.npz"),
    ]


def test_copied_again_when_the_file_or_the_copy_differs(tmp_path):
    path = _set(tmp_path / "a.parquet", [1, 2, 3])
    _load(path)
    _set(path, [4, 5, 6])
    everything = data.load_all(f"parquet:{path}")
    assert everything.notes
    np.testing.assert_array_equal(everything.splits["all"].images[0], picture(4))
    (tmp_path / "a.parquet.image.images").write_bytes(b"cut off")
    np.testing.assert_array_equal(
        data.load_all(f"parquet:{path}").splits["all"].images[2], picture(6)
    )


def test_copied_to_the_cache_where_the_folder_is_read_only(tmp_path, monkeypatch):
    path = _set(tmp_path / "data" / "a.parquet", range(4))
    write = index_files.write
    monkeypatch.setattr(
        index_files, "write", lambda place, fill: place.parent != path.parent and write(place, fill)
    )
    with pytest.raises(contracts.UserError, match=r"are copied once .* cannot be written to, or"):
        _load(path)
    monkeypatch.setenv("DIM_JAX_CACHE", str(tmp_path / "cache"))
    assert str(tmp_path / "cache") in _load(path).notes[0] and not _load(path).notes
    assert os.listdir(tmp_path / "data") == ["a.parquet"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_columns_of_bytes_and_other_names(tmp_path, kind):
    path = _write(
        tmp_path / "a.parquet",
        {
            "id": pa.array(range(6)),
            "photo": _images(range(6), kind),
            "kind": pa.array(["a", "b", None, "a", "b", "a"]),
            "half": pa.array([0, 1] * 3).dictionary_encode(),
        },
    )
    assert _load(path).facts.classes is None
    loaded = _load(path, label_column="kind", image_column="photo")
    assert loaded.facts.classes == ("a", "b")
    assert sorted(np.concatenate([one.labels for one in loaded.splits.values()])) == [
        *(-1, 0, 0, 0, 1, 1)
    ]
    assert _load(path, label_column="half").facts.classes == ("0", "1")


def test_only_column_of_classes_is_that_of_the_labels(tmp_path):
    columns = {"image": _images(range(4)), "fine": pa.array([0, 1, 0, 1])}
    path = _write(tmp_path / "a.parquet", columns, _CLASSES, label="fine")
    assert _load(path).facts.classes == ("cat", "dog")


def test_held_out_by_the_paths_of_images(tmp_path):
    numbers = list(range(10))
    for name, order in (("one", numbers), ("two", numbers[::-1])):
        _set(tmp_path / name / "a.parquet", order)
    held_out = [
        {image.tobytes() for image in _load(tmp_path / name).splits["test"].images}
        for name in ("one", "two")
    ]
    assert held_out[0] == held_out[1] and len(held_out[0]) == 2


def test_images_in_files_beside(tmp_path):
    rows = [{"bytes": None, "path": "x/1.png"}, {"bytes": encoded(picture(2)), "path": "x/1.png"}]
    path = _write(tmp_path / "a.parquet", {"image": pa.array(rows, _STRUCT)})
    with pytest.raises(contracts.UserError, match=r"row 0 of .* names the image x/1.png and does"):
        _load(path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1.png").write_bytes(encoded(picture(1)))
    images = data.load_all(f"parquet:{path}").splits["all"].images
    np.testing.assert_array_equal(images[:], [picture(1), picture(2)])


def _truncated(path):
    path.write_bytes(_set(path, range(4)).read_bytes()[:-20])


def _without_end_of_images(path):
    content = bytearray(_set(path, range(4)).read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)


def _columns(columns, classes=None):
    return lambda path: _write(path, columns, classes)


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        (_truncated, {}, "a.parquet is not a readable Parquet file"),
        (_without_end_of_images, {}, "a.parquet is not a readable Parquet file"),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
            {},
            "a.parquet is a pointer of Git LFS and not the file itself",
        ),
        (
            _columns({"x": pa.array([1, 2])}),
            {},
            "a.parquet has no column of images; its columns are x: set data.image_column",
        ),
        (
            _columns({"a": _images([0, 1]), "b": _images([0, 1])}),
            {},
            r"a.parquet has several columns of images \(a, b\)",
        ),
        (None, dict(image_column="no"), "data.image_column is no and .* columns image,"),
        (None, dict(label_column="no"), "data.label_column is no and .* the columns image, label"),
        (None, dict(image_column="label"), "the column label of .* is of type int64: images are"),
        (
            _columns({"image": _images([0, 1]), "label": pa.array([0.5, 1])}),
            {},
            "the label column label of .* is of type double: labels are integers or strings",
        ),
        (
            _columns({"image": _images([0, 1]), "labels": pa.array([[0], [1]])}),
            {},
            "the label column labels of .* is of type list",
        ),
        (
            _columns({"image": pa.array([encoded(picture(0)), None])}),
            {},
            "row 1 of .*a.parquet has no image: remove the row",
        ),
        (
            _columns({"image": pa.array([{"bytes": b"", "path": "1.png"}, None], _STRUCT)}),
            {},
            "row 0 of .*a.parquet has no image",
        ),
        (
            _columns({"image": pa.array([{"bytes": None, "path": "../1.png"}] * 2, _STRUCT)}),
            {},
            "row 0 of .* names the image ../1.png and does not hold it, and only files below",
        ),
        (
            _columns({"image": pa.array([b"no image", b"none"])}),
            {},
            "a.parquet:0 is not a readable image",
        ),
    ],
)
def test_mistakes(tmp_path, write, options, message):
    (write or (lambda path: _set(path, range(4))))(tmp_path / "a.parquet")
    with pytest.raises(contracts.UserError, match=message):
        _load(tmp_path / "a.parquet", **options)


def test_a_row_without_an_image_is_refused_when_it_is_read(tmp_path):
    _columns({"image": pa.array([None, encoded(picture(0)), b""])})(tmp_path / "a.parquet")
    images = data.load_all(f"parquet:{tmp_path}/a.parquet", image_size=8).splits["all"].images
    assert images[np.array([1])].shape == (1, 8, 8, 3)
    for row in (0, 2):
        with pytest.raises(contracts.UserError, match=f"a.parquet:{row} .*the file is empty"):
            images[np.array([row])]


def test_several_columns_of_classes(tmp_path):
    metadata = {name: {"_type": "ClassLabel", "names": _CLASSES} for name in ("coarse", "fine")}
    columns = {"image": _images(range(4)), "coarse": [0, 0, 1, 1], "fine": [0, 1, 0, 1]}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": metadata}})}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(contracts.UserError, match=r"several columns of classes \(coarse, fine\)"):
        _load(tmp_path)
    assert _load(tmp_path, label_column="fine").facts.classes == ("cat", "dog")


def test_files_with_other_classes_or_columns(tmp_path):
    _set(tmp_path / "train-0.parquet", range(4))
    _set(tmp_path / "train-1.parquet", range(4), classes=["ape", "bee"])
    with pytest.raises(contracts.UserError, match=r"has the classes cat, dog and .* has ape, bee:"):
        _load(tmp_path)
    _write(tmp_path / "train-1.parquet", {"image": _images([0, 1])})
    with pytest.raises(contracts.UserError, match=r"has the label column label and .* has none"):
        _load(tmp_path)


def test_without_pyarrow(tmp_path, monkeypatch):
    path = _set(tmp_path / "a.parquet", range(4))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(contracts.UserError, match="read by pyarrow, which is not installed: insta"):
        _load(path)


def test_groups_larger_than_a_batch_of_the_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_images, "_BATCH", 3)
    path = _write(tmp_path / "a.parquet", {"image": _images(range(8))})
    images = data.load_all(f"parquet:{path}").splits["all"].images
    np.testing.assert_array_equal(images[:], [picture(number) for number in range(8)])
