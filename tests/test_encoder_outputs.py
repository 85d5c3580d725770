"""Features in all formats, streamed; sources beside folders; broken images left out."""

import csv
import json
import os
import re

import jax
import numpy as np
import pytest
import test_encoder

from dim_jax import build, contracts
from dim_jax import encoder as encoder_module
from dim_jax.encoder import command, embedding, inputs, loading, progress

NAMES = ["cat/1.png", "cat/2.png", "cat/3.png", 'dog/a "b", c.png', "dog/é.png"]
CLASSES = ["cat", "cat", "cat", "dog", "dog"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return test_encoder._export(tmp_path_factory.mktemp("run") / "encoder")


@pytest.fixture(scope="module")
def encoder(run):
    return encoder_module.load_encoder(run)


@pytest.fixture(scope="module")
def wanted(encoder):
    """The features at the tap conv."""
    return np.asarray(encoder.encode(test_encoder._images(5))["conv"])


@pytest.fixture
def images(encoder, tmp_path, monkeypatch):
    """The current folder, with a folder of images in class folders, read two at a time."""
    monkeypatch.setattr(loading, "load_encoder", lambda run: encoder)  # compiled once
    test_encoder._write_folder(tmp_path / "images", NAMES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedding, "BATCH", 2)
    return tmp_path / "images"


def _embed(run, *more, out) -> int:
    return command.main(["--run", str(run), "--tap", "conv", "--out", str(out), *more])


def _read_npz(path):
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays["classes"][arrays["labels"]].tolist()
        return arrays["features"], arrays["names"].tolist(), labels


def _read_npy(path):
    with open(path.with_suffix(".names.csv"), encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    names, labels = ([row[key] for row in rows] for key in ("name", "label"))
    return np.load(path, allow_pickle=False), names, labels


def _read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "label", *(f"f{index}" for index in range(7 * 7 * 8))]
    features = np.array([row[2:] for row in rows], np.float32).reshape(-1, 7, 7, 8)
    return features, [row[0] for row in rows], [row[1] for row in rows]


def _read_parquet(path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet")
    table = parquet.read_table(path)
    about = json.loads(table.schema.metadata[b"dim_jax"])
    assert about == {"tap": "conv", "shape": [7, 7, 8]}
    features = table["features"].combine_chunks().flatten().to_numpy().reshape(-1, 7, 7, 8)
    return features, table["name"].to_pylist(), table["label"].to_pylist()


READERS = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}


@pytest.mark.parametrize("ending", READERS)
def test_each_format_has_features_names_and_classes(run, wanted, images, ending, tmp_path):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet")
    out = tmp_path / f"features{ending}"
    for _ in range(2):  # the second command replaces what the first one wrote
        assert _embed(run, "--folder", "images", out=out) == 0
    features, names, labels = READERS[ending](out)
    assert features.dtype == np.float32 and (names, labels) == (NAMES, CLASSES)
    np.testing.assert_allclose(features, wanted, atol=1e-5)
    (images / NAMES[2]).write_bytes(b"broken")
    before = out.read_bytes()
    assert _embed(run, "--folder", "images", out=out) == 2 and out.read_bytes() == before
    assert _embed(run, "--folder", "images", "--skip-broken", out=out) == 0
    features, names, labels = READERS[ending](out)
    kept = [0, 1, 3, 4]
    assert (names, labels) == ([NAMES[row] for row in kept], [CLASSES[row] for row in kept])
    np.testing.assert_allclose(features, wanted[kept], atol=1e-5)
    assert not [path for path in os.listdir(tmp_path) if "draft" in path]


def test_broken_images_are_counted_and_the_first_are_named(run, images, tmp_path, capsys):
    for name in NAMES[:4]:
        (images / name).write_bytes(b"broken")
    assert _embed(run, "--folder", "images", "--skip-broken", out="some.npz") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^left out 4 of 5 images: .*cat/1\.png is not .*; and 1 more$", printed, re.M)
    assert "conv of 1 images" in printed and "dog/a" not in printed
    (images / NAMES[4]).write_bytes(b"broken")
    assert _embed(run, "--folder", "images", "--skip-broken", out="none.npz") == 2
    assert "no image can be read: " in capsys.readouterr().err
    assert not (tmp_path / "none.npz").exists()


@pytest.mark.parametrize(
    ("source", "exists"),
    [("folder:images", True), ("list:list.csv", True), ("list:list.csv", False)],
)
def test_empty_and_missing_files_are_broken_images(run, images, source, exists, tmp_path, capsys):
    with open(tmp_path / "list.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path"], *([f"images/{name}"] for name in NAMES)])
    (images / NAMES[1]).write_bytes(b"")
    if not exists:
        (images / NAMES[1]).unlink()
    assert _embed(run, "--data", source, out="some.npz") == 2
    assert re.search(r"cat/2\.png .*(empty|No such file)", capsys.readouterr().err)
    assert _embed(run, "--data", source, "--skip-broken", out="some.npz") == 0
    assert "left out 1 of 5 images: " in capsys.readouterr().out


def test_an_interrupted_command_leaves_nothing(run, images, tmp_path, monkeypatch):
    def interrupt(done):
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "_lines", lambda meter, total: interrupt)
    assert _embed(run, "--folder", "images", out="features.npz") == 130
    assert sorted(os.listdir(tmp_path)) == ["images"]


def test_a_source_without_names_has_positions(run, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", test_encoder._images(5))
    assert _embed(run, "--data", "array:images.npy", out="features.csv") == 0
    with open("features.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:2] == ["name", "f0"] and [row[0] for row in rows] == [*"01234"]
    found = np.array([row[1:] for row in rows], np.float32).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_columns_of_a_list_are_chosen(run, wanted, images, tmp_path):
    with open("images/list.csv", "w", encoding="utf-8") as file:
        csv.writer(file).writerows([("photo", "sort"), *zip(NAMES, "01010", strict=True)])
    columns = ["--image-column", "photo", "--label-column", "sort"]
    assert _embed(run, "--data", "list:images/list.csv", *columns, out="features.npz") == 0
    features, names, labels = _read_npz(tmp_path / "features.npz")
    np.testing.assert_allclose(features, wanted, atol=1e-5)
    assert names == NAMES and labels == ["0", "1", "0", "1", "0"]


def test_images_of_another_size_are_one_sentence(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", test_encoder._images(5, channels=5))
    assert _embed(run, "--data", "array:images.npy", out="features.csv") == 2
    assert "are 28x28x5 (height x width x channels) and this encoder needs 28x28x3" in (
        capsys.readouterr().err
    )


def test_endings_and_files_of_others_are_refused(run, images, tmp_path, capsys):
    assert _embed(run, "--folder", "images", out="features.txt") == 2
    assert "ends in .npz or .npy or .csv or .parquet" in capsys.readouterr().err
    np.save("mine.npy", np.ones(2, np.float32))
    (tmp_path / "mine.csv").write_text("name,mine\n")
    (tmp_path / "mine.stablehlo").write_text("mine")
    np.savez("mine.npz", features=np.ones(2), names=np.array(["a", "b"]))
    for name, export in (("npy", None), ("csv", None), ("stablehlo", "stablehlo"), ("npz", "npz")):
        task = ["--export", export] if export else ["--folder", "images"]
        before = (tmp_path / f"mine.{name}").read_bytes()
        assert _embed(run, *task, out=f"mine.{name}") == 2
        assert f"mine.{name} exists and holds no " in capsys.readouterr().err
        assert (tmp_path / f"mine.{name}").read_bytes() == before


def test_second_files_of_others_are_kept(run, images, tmp_path, capsys):
    for out, second, task in (
        ("mine.npy", "mine.names.csv", ["--folder", "images"]),
        ("mine.stablehlo", "mine.stablehlo.json", ["--export", "stablehlo"]),
    ):
        (tmp_path / second).write_text("mine")
        assert _embed(run, *task, out=out) == 2
        assert f"{second} exists and would be replaced; " in capsys.readouterr().err
        assert (tmp_path / second).read_text() == "mine" and not (tmp_path / out).exists()


def test_an_encoder_in_one_npz_is_read_back(run, tmp_path):
    out = tmp_path / "encoder.npz"
    for _ in range(2):
        assert _embed(run, "--export", "npz", out=out) == 0
    ours, read = encoder_module.load_encoder(run), encoder_module.load_encoder(out)
    images = test_encoder._images(2)
    np.testing.assert_array_equal(read.encode(images)["y"], ours.encode(images)["y"])
    assert read.card["encoder"] == ours.card["encoder"]
    out.write_bytes(out.read_bytes()[:-200])
    with pytest.raises(contracts.UserError, match="was cut short"):
        encoder_module.load_encoder(out)


def test_missing_packages_are_one_sentence(run, tmp_path, monkeypatch, capsys):
    for package, task, out in (
        ("safetensors", ["--export", "safetensors"], "encoder.safetensors"),
        ("jax2onnx", ["--export", "onnx"], "encoder.onnx"),
    ):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        assert _embed(run, *task, out=tmp_path / out) == 2
        message = capsys.readouterr().err
        assert (
            f"{package}, which is not installed: install it with `python -m pip install" in message
        )
        assert not (tmp_path / out).exists()


BANDS = dict(
    dtype="uint16",
    image_shape=[28, 28, 5],
    mean=[0.5] * 5,
    std=[0.5] * 5,
    pixel_range=dict(low=[100.0] * 5, high=[9000.0, 8000.0, 9500.0, 9999.0, 50000.0], clip=False),
)


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    folder = test_encoder._export(tmp_path_factory.mktemp("bands") / "encoder", 5, **BANDS)
    return encoder_module.load_encoder(folder)


def test_raw_pixels_are_taken_in_the_unit_of_the_data(bands):
    encoder = bands
    raw = np.random.default_rng(0).integers(100, 9000, (3, 28, 28, 5), dtype=np.uint16)
    low, high = (np.array(BANDS["pixel_range"][key]) for key in ("low", "high"))
    unit = 2 * (raw - low) / (high - low) - 1
    apply = jax.jit(build.make("encoder", test_encoder.SPEC).apply, static_argnames="train")
    taps, _ = apply(encoder.params, encoder.stats, unit.astype(np.float32), train=False)
    for images in (raw, raw.astype(np.float64), raw.astype(np.int32)):
        np.testing.assert_allclose(encoder.encode(images)["y"], taps["y"], atol=1e-5)


@pytest.mark.parametrize(("value", "words"), [(255, r"astype\('uint8'\)"), (256, "divide them")])
def test_wide_integers_are_not_told_to_wrap(encoder, value, words):
    with pytest.raises(contracts.UserError, match=f"type uint16, .*{words}"):
        encoder.encode(np.full((1, 28, 28, 3), value, np.uint16))


def test_an_encoder_of_arrays_keeps_the_channels_of_files(bands, tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="the extra tiff")
    raw = np.random.default_rng(0).integers(100, 9000, (2, 28, 28, 5), dtype=np.uint16)
    for name, image in zip("ab", raw, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image, photometric="minisblack")
    read = next(inputs.open_folder(bands.card, tmp_path).batches(2))
    np.testing.assert_array_equal(read.images, raw)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.full((1, 28, 28, 5), np.nan), "not finite"),
        (np.full((1, 28, 28, 5), np.inf), "not finite"),
        (np.full((1, 28, 28, 5), 0.5), "from 0.5 to 0.5, this encoder needs raw uint16 pixels"),
        (np.ones((1, 28, 28, 5), bool), "type bool"),
    ],
)
def test_pixels_of_another_unit_are_one_sentence(bands, images, words):
    with pytest.raises(contracts.UserError, match=words):
        bands.encode(images)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(dtype="float64"), "'dtype' 'float64'"),
        (dict(pixel_range=None), "range of pixels of type uint16"),
        (dict(pixel_range=dict(low=[0.0] * 5, high=[1.0] * 5)), "boolean"),
        (dict(pixel_range=dict(low=[0.0], high=[1.0], clip=True)), "each of 5 channels"),
        (dict(pixel_range=dict(low=[1.0] * 5, high=[1.0] * 5, clip=True)), "below its high"),
        (dict(fit="squeeze"), "'fit' 'squeeze'"),
    ],
)
def test_cards_of_raw_pixels_are_checked(tmp_path, changes, words):
    folder = test_encoder._export(tmp_path / "encoder", 5, **(BANDS | changes))
    with pytest.raises(contracts.UserError, match=words):
        encoder_module.load_encoder(folder)
