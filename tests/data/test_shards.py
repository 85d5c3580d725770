"""Webdataset tar files."""

import gzip
import io
import json
import os
import pickle
import tarfile

import numpy as np
import pytest
from archives import encoded, picture, samples, write_tar
from PIL import Image

from dim_jax import contracts, data
from dim_jax.data import index_files, shards, tar_index


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setenv("DIM_JAX_CACHE", "")


def _load(pattern, **options):
    return data.load(f"shards:{pattern}", **options)


def test_splits_order_and_labels_on_both_roads(tmp_path):
    write_tar(tmp_path / "train-000.tar", samples([3, 1]))
    write_tar(tmp_path / "train-001.tar", samples([2, 7, 0]))
    write_tar(tmp_path / "val-000.tar", samples([4, 1]))
    for road in ("resident", "streaming"):
        loaded = _load(tmp_path, road=road)
        train, test = loaded.splits["train"], loaded.splits["test"]
        assert loaded.facts.classes == ("0", "1") and loaded.facts.shape == (8, 8, 3)
        assert test.names == ("val-000.tar/0004.png", "val-000.tar/0001.png")
        assert train.labels[:].tolist() == [1, 1, 0, 1, 0]
        for split, numbers in ((train, [3, 1, 2, 7, 0]), (test, [4, 1])):
            np.testing.assert_array_equal(split.images[:], [picture(n) for n in numbers])
        positions = np.array([4, 0])
        np.testing.assert_array_equal(train.images[positions], [picture(0), picture(3)])
    source = pickle.loads(pickle.dumps(train.images.source))
    np.testing.assert_array_equal(source.read([1]).images[0], picture(1))


def test_held_out_by_key_in_whatever_shard(tmp_path):
    write_tar(tmp_path / "one" / "a.tar", samples(range(10)))
    write_tar(tmp_path / "two" / "a-0.tar", samples(range(5, 10)))
    write_tar(tmp_path / "two" / "a-1.tar", samples(range(5)))
    held_out = [
        {name.rpartition("/")[2] for name in _load(tmp_path / name).splits["test"].names}
        for name in ("one", "two")
    ]
    assert held_out[0] == held_out[1] and len(held_out[0]) == 2


def test_all_images_in_order(tmp_path):
    write_tar(tmp_path / "a.tar", samples([5, 2]))
    everything = data.load_all(f"shards:{tmp_path}/a.tar").splits["all"]
    assert everything.names == ("a.tar/0005.png", "a.tar/0002.png")
    assert everything.labels.tolist() == [1, 0]


def test_labels_of_json_text_and_columns(tmp_path):
    members = {}
    for number in range(6):
        members[f"x/{number}.seg.png"] = encoded(picture(100 + number))
        members[f"x/{number}.png"] = encoded(picture(number))
        members[f"x/{number}.json"] = json.dumps(
            {"label": ["cat", "dog"][number % 2], "kind": number % 3, "pad": "x" * 5000}
        )
        members[f"x/{number}.txt"] = f"{number % 2 + 7}\n"
    members |= {"README": "no sample", "._x.png": "resource fork", "x/.1.png": "hidden"}
    write_tar(tmp_path / "a.tar", members)
    by_name = _load(tmp_path, image_column="png")
    assert by_name.facts.classes == ("cat", "dog")
    by_key = _load(tmp_path, image_column=".seg.png", label_column="kind")
    assert by_key.facts.classes == ("0", "1", "2")
    row = by_key.splits["train"].names.index("a.tar/x/4.seg.png")
    assert by_key.splits["train"].labels[row] == 1
    np.testing.assert_array_equal(by_key.splits["train"].images[row], picture(104))
    assert _load(tmp_path, image_column="png", label_column="txt").facts.classes == ("7", "8")


@pytest.mark.parametrize(
    ("texts", "classes", "labels"),
    [
        (["007", "-1", " 3\n", "+3"], ("3", "7"), [1, -1, 0, 0]),
        (["cat ", "+-5", "cat"], ("+-5", "cat"), [1, 0, 1]),
    ],
)
def test_integers_and_names(tmp_path, texts, classes, labels):
    path = write_tar(tmp_path / "a.tar", samples(range(len(texts)), label=texts.__getitem__))
    everything = data.load_all(f"shards:{path}")
    assert everything.facts.classes == classes
    assert everything.splits["all"].labels.tolist() == labels


def test_without_labels(tmp_path):
    write_tar(tmp_path / "a.tar", {f"{n}.png": encoded(picture(n)) for n in range(5)})
    assert _load(tmp_path).facts.classes is None


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path, kind):
    name = "folder-" * 30 + "ä/" + "n" * 120
    members = {f"{name}{n}.png": encoded(picture(n)) for n in range(3)}
    write_tar(tmp_path / "a.tar", members, format=kind)
    found = data.load_all(f"shards:{tmp_path}/a.tar").splits["all"]
    assert found.names[1] == f"a.tar/{name}1.png"
    np.testing.assert_array_equal(found.images[2], picture(2))


def test_index_is_kept_and_made_again_for_another_tar(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", samples([1, 2]))
    first, is_kept = tar_index.read(path)
    assert is_kept and (tmp_path / "a.tar.index.npz").exists()
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "a.tar.index.npz"]
    made = []
    monkeypatch.setattr(
        tar_index, "_make", lambda *args, make=tar_index._make: made.append(1) or make(*args)
    )
    again = tar_index.read(path)[0]
    assert (
        not made
        and again.keys == first.keys
        and again.read_texts(again.members({"cls"}))
        == [
            b"1",
            b"0",
        ]
    )
    write_tar(path, samples([2, 1]))  # the same size, and newer
    assert tar_index.read(path)[0].keys == ["0002", "0001"] and made == [1]
    (tmp_path / "a.tar.index.npz").write_bytes(b"damaged")
    assert tar_index.read(path)[0].keys == ["0002", "0001"] and made == [1, 1]


def test_index_of_a_copy_fits_and_of_another_file_does_not(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples([1, 2]))
    tar_index.read(path)
    os.utime(path, (1, 1))
    assert index_files.load(path, index_files.checksum(path)) is not None
    write_tar(path, samples([2, 1]))
    os.utime(path, (1, 1))
    assert index_files.load(path, index_files.checksum(path)) is None


def test_index_without_permission_to_write(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "data" / "a.tar", samples(range(4)))
    write = index_files.write
    monkeypatch.setattr(
        index_files, "write", lambda place, fill: place.parent != path.parent and write(place, fill)
    )
    assert not tar_index.read(path)[1]
    assert len(_load(path).splits["train"].labels) == 2 and not _load(path).notes
    monkeypatch.setattr(shards, "_LONG", 0)
    (note,) = _load(path).notes
    assert note.startswith("The indexes of 1 tar file took 0 s and are made at every start")
    monkeypatch.setenv("DIM_JAX_CACHE", str(tmp_path / "cache"))
    assert tar_index.read(path)[1]
    assert [one.name[16:] for one in (tmp_path / "cache" / "data").iterdir()] == [
        "-a.tar.index.npz"
    ]


def _truncated(path):
    whole = write_tar(path, samples(range(4))).read_bytes()
    path.write_bytes(whole[:1700])


def _ends_after_a_member(path):
    content = write_tar(path, samples(range(4))).read_bytes()
    path.write_bytes(content.rstrip(b"\0") + bytes(-len(content.rstrip(b"\0")) % 512))


def _damaged(path):
    content = bytearray(write_tar(path, samples(range(4))).read_bytes())
    content[1024:1100] = b"x" * 76
    path.write_bytes(content)


def _concatenated(path):
    path.write_bytes(write_tar(path, samples([1])).read_bytes() * 2)


def _compressed(path):
    path.write_bytes(gzip.compress(write_tar(path, samples([1])).read_bytes()))


def _linked(path):
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("0.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member, io.BytesIO())


def _members(members):
    return lambda path: write_tar(path, members)


_IMAGE = encoded(picture(0))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_truncated, "a.tar is truncated, it ends at 1,700 bytes"),
        (_ends_after_a_member, "a.tar is truncated"),
        (_damaged, "a.tar is damaged at byte 1,024: restore it"),
        (_concatenated, "a.tar holds data after the end of the archive: join tars with"),
        (_compressed, r"a.tar is compressed \(gzip\), and images are read from any place"),
        (lambda path: path.write_bytes(b""), "a.tar is empty, 0 bytes"),
        (lambda path: path.write_bytes(b"text" * 500), "a.tar is not a readable tar"),
        (_members({}), "a.tar holds no samples: a sample is files such as"),
        (_linked, "a.tar holds 0.png as a link to /etc/passwd: write the tar with the file"),
        (_members({"../0.png": _IMAGE}), "a.tar holds a member called ../0.png, outside of the"),
        (_members({"/0.png": _IMAGE}), "a.tar holds a member called /0.png, outside of the"),
        (_members({"x/../0.png": _IMAGE}), "a member called x/../0.png, outside of the"),
        (_members([("0.png", _IMAGE)] * 2), "a.tar holds 0.png twice: write the tar again"),
        (_members({"0.png": _IMAGE, "1.cls": "1"}), r"the sample 1 in .*a.tar has no image \(its"),
        (
            _members({"0.png": _IMAGE, "0.jpg": _IMAGE}),
            r"sample 0 in .*a.tar has several images \(its extensions: jpg, png\): set data",
        ),
        (
            _members({"0.png": _IMAGE, "0.cls": "1", "1.png": _IMAGE}),
            r"the sample 1 in .*a.tar has no label and others have one \(1 of 2 have none\)",
        ),
        (
            _members({"0.png": _IMAGE, "0.cls": "1", "1.png": _IMAGE, "1.cls": "cat"}),
            "the label of the sample 1 in .*a.tar is 'cat' and the first one is 1: make all",
        ),
        (_members({"0.png": _IMAGE, "0.json": "{"}), "0.json in .*a.tar is not JSON"),
        (
            _members({"0.png": _IMAGE, "0.json": '{"label": 0.5}'}),
            "0.json in .*a.tar has the label 0.5, a float: labels are integers or strings",
        ),
        (_members({"0.png": _IMAGE, "0.cls": b"\xff"}), r"0.cls in .*a.tar is not text \(UTF-8\)"),
    ],
)
def test_mistakes(tmp_path, write, message):
    write(tmp_path / "a.tar")
    with pytest.raises(contracts.UserError, match=message):
        _load(tmp_path / "a.tar")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(image_column="jpg"), "data.image_column is jpg and the samples .* cls, png: use one"),
        (dict(label_column="kind"), r"data.label_column is kind and no sample .* \(extensions: c"),
        (dict(train_split="no"), "data.train_split is no and .* has the splits a"),
    ],
)
def test_settings_that_name_nothing(tmp_path, options, message):
    write_tar(tmp_path / "a.tar", samples(range(4)))
    with pytest.raises(contracts.UserError, match=message):
        _load(tmp_path / "a.tar", **options)


def test_key_twice_in_a_split(tmp_path):
    write_tar(tmp_path / "train-0.tar", samples([0, 1]))
    write_tar(tmp_path / "train-1.tar", samples([2, 1]))
    write_tar(tmp_path / "test-0.tar", samples([0, 1]))
    message = "the key 0001 is in train-0.tar and train-1.tar, of the same split"
    with pytest.raises(contracts.UserError, match=message):
        _load(tmp_path)


def test_damaged_image_is_named_with_its_shard(tmp_path):
    write_tar(tmp_path / "a.tar", {**samples(range(4)), "0001.png": _IMAGE[:60]})
    with pytest.raises(contracts.UserError, match=r"a.tar/0001.png is not a readable image"):
        _load(tmp_path, image_size=8)


def test_tar_that_shrinks_while_it_is_read(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(range(4)))
    images = data.load_all(f"shards:{path}").splits["all"].images
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(contracts.UserError, match=r"a.tar/0003.png cannot be read, because .*"):
        images[3]
    path.unlink()
    with pytest.raises(contracts.UserError, match=r"a.tar/0000.png cannot be read .*No such file"):
        images[0]


def test_continued_run_notices_another_tar(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(range(4)))
    before = _load(path).fingerprint
    assert data.difference(json.loads(json.dumps(before)), _load(path).fingerprint) is None
    write_tar(path, samples(range(4), label=lambda number: str(1 - number % 2)))
    difference = data.difference(before, _load(path).fingerprint)
    assert difference == (
        "the content of a.tar, labels of test images, labels of train images changed since"
    )


def _in_both(folder, members):
    write_tar(folder / "shards" / "a.tar", members)
    (folder / "folder").mkdir()
    for name, content in members.items():
        (folder / "folder" / name).write_bytes(content)


@pytest.mark.parametrize("channels", [None, 1])
def test_bits_and_channels_as_in_folders(tmp_path, channels):
    deep = np.random.RandomState(0).randint(0, 4096, (4, 8, 8)).astype(np.uint16)
    _in_both(tmp_path, {f"{n}.png": encoded(image) for n, image in enumerate(deep)})
    packed = data.load_all(f"shards:{tmp_path}/shards", channels=channels)
    folder = data.load_all(tmp_path / "folder", channels=channels)
    assert packed.facts[1:] == folder.facts[1:] and packed.notes == folder.notes
    assert packed.facts.dtype == ("uint16" if channels else "uint8")
    np.testing.assert_array_equal(packed.splits["all"].images[:], folder.splits["all"].images[:])


def test_more_channels_as_in_folders(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="writes and reads TIFF files")
    members = {}
    for number in range(3):
        stream = io.BytesIO()
        pixels = np.random.RandomState(number).randint(0, 2**16, (8, 8, 5)).astype(np.uint16)
        tifffile.imwrite(stream, pixels)
        members[f"{number}.tif"] = stream.getvalue()
    _in_both(tmp_path, members)
    packed = data.load_all(f"shards:{tmp_path}/shards", channels=5).splits["all"]
    folder = data.load_all(tmp_path / "folder", channels=5).splits["all"]
    np.testing.assert_array_equal(packed.images[:], folder.images[:])
    np.testing.assert_array_equal(packed.images[2], pixels)


def test_orientation_and_sizes_as_in_folders(tmp_path):
    members = {}
    for number in range(3):
        image = Image.fromarray(picture(number, 24 + 8 * number)[:20])
        exif = image.getexif()
        exif[274] = 6  # to be turned by 90 degrees
        stream = io.BytesIO()
        image.save(stream, "jpeg", exif=exif)
        members[f"{number}.jpg"] = stream.getvalue()
    _in_both(tmp_path, members)
    packed = data.load_all(f"shards:{tmp_path}/shards", image_size=10).splits["all"]
    folder = data.load_all(tmp_path / "folder", image_size=10).splits["all"]
    np.testing.assert_array_equal(packed.images[:], folder.images[:])
