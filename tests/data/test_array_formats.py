"""Arrays in files: every format gives the same entries, and damage is one sentence."""

import concurrent.futures
import io
import json
import multiprocessing
import os
import pickle
import zipfile

import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.data import array_formats, array_libraries, memory

IMAGES = np.random.RandomState(0).randint(0, 60_000, (20, 6, 5, 3)).astype(np.uint16)
TEXTS = np.array(["b", "ä"] * 10)
ROWS = [7, 3, 4, 19, 0, 4]


def npy(path, images):
    np.save(path / "x.npy", images)
    return path / "x.npy"


def npy_swapped(path, images):
    np.save(path / "x.npy", images.astype(images.dtype.newbyteorder()))
    return path / "x.npy"


def npy_fortran(path, images):
    np.save(path / "x.npy", np.asfortranarray(images))
    return path / "x.npy"


def npy_folder(path, images):
    (path / "x").mkdir()
    np.save(path / "x" / "images.npy", images)
    np.save(path / "x" / "names.npy", TEXTS)
    return path / "x"


def npz(path, images):
    np.savez(path / "x.npz", names=TEXTS, images=images)
    return path / "x.npz"


def npz_compressed(path, images):
    np.savez_compressed(path / "x.npz", names=TEXTS, images=images)
    return path / "x.npz"


def hdf5(path, images, **options):
    h5py = pytest.importorskip("h5py", reason="h5py reads HDF5")
    with h5py.File(path / "x.h5", "w") as file:
        file.create_dataset("images", data=images, **options)
        file.create_dataset("names", data=TEXTS.tolist(), dtype=h5py.string_dtype())
        file.create_group("more")
        file["empty"] = h5py.Empty("f4")
    return path / "x.h5"


def hdf5_chunked(path, images):
    return hdf5(path, images, chunks=(8, 6, 5, 1), compression="gzip")


def zarr(path, images, version=3, name="x.zarr"):
    package = pytest.importorskip("zarr", reason="zarr reads its stores")
    root = package.create_group(path / name, zarr_format=version)
    root.create_array("images", data=images, chunks=(8, 6, 5, 3))
    root.create_array("labels", data=np.arange(len(images)))
    return path / name


def zarr_2(path, images):
    return zarr(path, images, version=2, name="without_suffix")


def zarr_array(path, images):
    package = pytest.importorskip("zarr", reason="zarr reads its stores")
    package.create_array(path / "x.zarr", data=images, chunks=(8, 3, 5, 3), shards=(16, 6, 5, 3))
    return path / "x.zarr"


FORMATS = [
    *(npy, npy_swapped, npy_fortran, npy_folder, npz, npz_compressed),
    *(hdf5, hdf5_chunked, zarr, zarr_2, zarr_array),
]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("dtype", ["uint16", "float16"])
def test_every_format_gives_the_entries_at_positions(tmp_path, write, dtype):
    images = IMAGES.astype(dtype)
    array = array_formats.open_(write(tmp_path, images))["images"]
    assert array.shape == images.shape
    for rows in (ROWS, [], [5], range(20), np.arange(3, 9)):
        np.testing.assert_array_equal(array.read(rows), images[list(rows)])
    assert array.read(ROWS).dtype.newbyteorder("=") == dtype
    copied = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(copied.read(ROWS), images[ROWS])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        read = [*pool.map(array.read, [[row, 19 - row] for row in range(20)])]
    np.testing.assert_array_equal(np.array(read)[:, 0], images)


@pytest.mark.parametrize("write", [npy_folder, npz, npz_compressed, hdf5])
def test_texts(tmp_path, write):
    arrays = array_formats.open_(write(tmp_path, IMAGES))
    assert {*arrays} == {"images", "names"}
    assert arrays["names"].read(range(20)).tolist() == TEXTS.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("write", [npz_compressed, hdf5_chunked, zarr])
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_another_process_reads_after_its_parent(tmp_path, write, start):
    array = array_formats.open_(write(tmp_path, IMAGES))["images"]
    array.read([0])
    with multiprocessing.get_context(start).Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(array.read, [ROWS]), IMAGES[ROWS])


def test_reading_opens_only_the_blocks_that_are_asked_for(tmp_path, monkeypatch):
    array = array_formats.open_(npz(tmp_path, IMAGES))["images"]
    counts, read = [], os.preadv

    def counted(descriptor, buffers, position):
        counts.append(sum(map(len, buffers)))
        return read(descriptor, buffers, position)

    monkeypatch.setattr(os, "preadv", counted)
    array.read([3, 4, 5, 11])
    assert counts == [3 * IMAGES[0].nbytes, IMAGES[0].nbytes]


def test_a_read_in_parts_is_continued(tmp_path, monkeypatch):
    """The system reads at most 2 GiB at a time, and less from some file systems."""
    array = array_formats.open_(npy(tmp_path, IMAGES))["images"]
    read = os.preadv

    def part(descriptor, buffers, position):
        return read(descriptor, [buffers[0][:100]], position)

    monkeypatch.setattr(os, "preadv", part)
    np.testing.assert_array_equal(array.read(ROWS), IMAGES[ROWS])


def test_fortran_order_is_noted(tmp_path):
    assert (
        "ascontiguousarray" in array_formats.open_(npy_fortran(tmp_path, IMAGES))["images"].notes[0]
    )


def test_missing_chunks_of_zarr_are_noted(tmp_path):
    for whole in (zarr_2(tmp_path, IMAGES), path := zarr(tmp_path, IMAGES)):
        assert array_formats.open_(whole)["images"].notes == ()
    next((path / "images" / "c").iterdir()).joinpath("0", "0", "0").unlink()
    assert "1 of the 3 chunks of images" in array_formats.open_(path)["images"].notes[0]


def fails(path, *words):
    """Opening or reading the file gives one sentence with the words."""
    with pytest.raises(contracts.UserError) as caught:
        for array in array_formats.open_(path).values():
            array.read(range(array.shape[0]))
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("kept", [0, 7, 0.6])
def test_a_truncated_file(tmp_path, write, kept):
    path = write(tmp_path, IMAGES)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        path_cut = max(files, key=lambda file: file.stat().st_size)
    else:
        path_cut = path
    size = path_cut.stat().st_size
    os.truncate(path_cut, kept if kept > 1 else int(kept * size))
    fails(path, path.name)


@pytest.mark.parametrize("write", [npy, npz, npz_compressed, hdf5])
def test_a_file_that_is_removed_while_it_is_read(tmp_path, write):
    path = write(tmp_path, IMAGES)
    array = pickle.loads(pickle.dumps(array_formats.open_(path)["images"]))
    path.unlink()
    with pytest.raises(contracts.UserError, match=r"cannot be read \(.*o such file"):
        array.read([0])


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path):
    path = npy(tmp_path, IMAGES)
    array = array_formats.open_(path)["images"]
    os.truncate(path, 1000)
    with pytest.raises(contracts.UserError, match="has become shorter"):
        array.read([15])


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "hdf5", "zarr"])
@pytest.mark.parametrize("content", [b"", b"no array", pickle.dumps([1, 2]), bytes(4000)])
def test_a_file_of_another_kind(tmp_path, suffix, content):
    if suffix in ("h5", "hdf5", "zarr"):
        pytest.importorskip("zarr" if suffix == "zarr" else "h5py")
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    fails(path, path.name, "not")


@pytest.mark.parametrize("suffix", ["mat", "txt", ""])
def test_a_file_with_another_suffix(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(b"")
    fails(path, ".npy, .npz, .zarr, .h5")


def test_a_missing_file_is_suggested(tmp_path):
    npy(tmp_path, IMAGES)
    fails(tmp_path / "xx.npy", f"did you mean {tmp_path / 'x.npy'}?")
    (tmp_path / "xx.py").write_text("")  # nearer, and no array
    fails(tmp_path / "xx.npy", f"did you mean {tmp_path / 'x.npy'}?")
    fails(tmp_path / "nowhere" / "y.npy", "does not exist: set data.name")


def test_a_folder_without_arrays(tmp_path):
    fails(tmp_path, "holds no .npy files")


@pytest.mark.parametrize("name", ["../x.npy", "a/../../x.npy", "..\\x.npy", "/x.npy"])
def test_a_member_that_leads_out_of_the_archive(tmp_path, name):
    np.savez(tmp_path / "x.npz", images=IMAGES)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr(name, b"")
    fails(tmp_path / "x.npz", "leads out of the archive")


def test_an_encrypted_member(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.npz").write_bytes(content)
    fails(tmp_path / "x.npz", "encrypted")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_with_fewer_entries_than_its_header_says(tmp_path, compression):
    buffer = io.BytesIO()
    np.save(buffer, IMAGES)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", compression) as archive:
        archive.writestr("images.npy", buffer.getvalue()[:-500])
    fails(tmp_path / "x.npz", "images of", "is truncated")


def test_a_compressed_member_with_other_bytes(tmp_path):
    path = npz_compressed(tmp_path, IMAGES)
    content = bytearray(path.read_bytes())
    content[content.index(b"images.npy") + 1000] ^= 255
    path.write_bytes(content)
    fails(path, "images of", "restore it")


def test_a_compressed_array_larger_than_the_memory(tmp_path, monkeypatch):
    path = npz_compressed(tmp_path, IMAGES)
    monkeypatch.setattr(memory, "of_host", lambda: IMAGES.nbytes - 1)
    fails(path, "is compressed, needs 3.5 KiB at once", "numpy.savez")


def test_named_fields(tmp_path):
    with pytest.warns(UserWarning, match=r"format 3\.0"):
        np.save(tmp_path / "x.npy", np.zeros(3, [("ł", "u1")]))
    fails(tmp_path / "x.npy", "named fields")


def test_pickled_objects_of_zarr_are_not_unpickled(tmp_path):
    """The codec of Python objects may be named by any array of the format 2."""
    path = zarr(tmp_path, IMAGES, version=2)
    meta = json.loads((path / "images" / ".zarray").read_text())
    pickled = {"id": "pickle", "protocol": 5}
    for change in (
        *({"filters": [pickled]}, {"compressor": pickled}),
        {"filters": [{"id": "delta", "dtype": "<u2"}, pickled]},
    ):
        (path / "images" / ".zarray").write_text(json.dumps({**meta, **change}))
        fails(path, "never unpickled")


@pytest.mark.parametrize(("suffix", "package"), [("zarr", "zarr"), ("h5", "h5py")])
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, suffix, package):
    path = tmp_path / f"x.{suffix}"
    path.mkdir()
    monkeypatch.setitem(__import__("sys").modules, package, None)
    read = array_libraries.open_zarr if suffix == "zarr" else array_libraries.open_hdf5
    with pytest.raises(contracts.UserError, match=f"pip install {package}"):
        read(path)
