"""The exported encoder: the same numbers elsewhere, and one sentence for what does not fit."""

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import config_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dim_jax import build, contracts
from dim_jax import encoder as encoder_module
from dim_jax.encoder import command, embedding, feature_files, inputs, progress
from dim_jax.rundir import exported_encoder

REPOSITORY = Path(__file__).parents[1]
SPEC = {"name": "dcgan28", "width": 4, "hidden": 8, "features": 5}
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def _images(count: int, side: int = 28, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def _export(folder: Path, channels: int = 3, **changes) -> Path:
    net = build.make("encoder", SPEC)
    params, stats = jax.jit(net.init)(jax.random.key(0), jnp.zeros((2, 28, 28, channels)))
    # Not the initial statistics: an encoder that left them out would show.
    stats = jax.tree.map(lambda leaf: leaf + jnp.linspace(-0.3, 0.2, leaf.size), stats)
    card = {
        "format": 1,
        "encoder": SPEC,
        "image_shape": [28, 28, channels],
        "mean": MEAN[:channels],
        "std": STD[:channels],
        "taps": {"conv": [7, 7, 8], "fc": [8], "y": [5]},
    }
    exported_encoder.write(folder, params, stats, card | changes)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with an exported encoder of 28x28 colour images."""
    folder = tmp_path_factory.mktemp("run")
    _export(folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def encoder(run):
    return encoder_module.load_encoder(run)


def _reference(images: np.ndarray, encoder) -> dict:
    pixels = (images / 255.0 - np.array(MEAN)) / np.array(STD)
    apply = jax.jit(build.make("encoder", SPEC).apply, static_argnames="train")
    taps, _ = apply(encoder.params, encoder.stats, jnp.float32(pixels), train=False)
    return {name: taps[name] for name in ("conv", "fc", "y")}


def _assert_close(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].dtype == jnp.float32
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, atol=1e-5)


def test_logits_of_a_classifier_are_no_tap_of_an_encoder(tmp_path):
    taps = {"conv": [7, 7, 8], "y": [5], "logits": [10]}
    loaded = encoder_module.load_encoder(_export(tmp_path / "old", taps=taps))
    assert loaded.card["taps"].keys() == {"conv", "y"} == loaded.encode(_images(1)).keys()
    shapes = encoder_module.tap_shapes(SPEC, (28, 28, 3))
    assert shapes["y"] == [5] and "logits" not in shapes


@pytest.mark.parametrize("name", config_files.NAMES)
def test_encoders_of_all_configs_have_shapes_for_their_cards(name):
    config = config_files.load(name)
    method, places = config["method"], (config["augment"]["crop"], config["data"]["image_size"])
    while "method" in method:
        method = method["method"]
    side = next(filter(None, places), 28 if "mnist" in config["data"]["name"] else 32)
    shapes = encoder_module.tap_shapes(method["encoder"], (side, side, 3))
    assert shapes["y"] and all(isinstance(side, int) for tap in shapes.values() for side in tap)


def test_the_taps_are_those_of_the_network_in_evaluation_mode(encoder):
    images = _images(4)
    _assert_close(encoder.encode(images), _reference(images, encoder))
    shapes = {name: list(tap.shape[1:]) for name, tap in encoder.encode(images).items()}
    assert shapes == encoder.card["taps"]
    assert float(jnp.ptp(encoder.encode(images)["y"], axis=0).min()) > 1e-3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_between_0_and_1_mean_the_same_as_bytes(encoder, dtype):
    images = _images(4)
    found = encoder.encode((images / 255).astype(dtype))
    for name, tap in encoder.encode(images).items():
        np.testing.assert_allclose(found[name], tap, atol=1e-4 if dtype != np.float16 else 1e-2)


def test_encode_is_pure_inside_the_jit_and_the_gradient_of_another_project(encoder):
    images = jnp.asarray(_images(4))
    _assert_close(jax.jit(encoder.encode)(images), encoder.encode(images))
    slope = jax.grad(lambda pixels: encoder.encode(pixels)["y"].sum())(images / 255)
    assert slope.shape == images.shape
    assert bool(jnp.isfinite(slope).all()) and float(jnp.abs(slope).max()) > 0


def test_an_image_does_not_depend_on_its_neighbours(encoder):
    images = _images(4)
    alone = encoder.encode(images[3:4])
    together = {name: tap[3:4] for name, tap in encoder.encode(images).items()}
    _assert_close(alone, together)


def test_the_encoder_folder_itself_is_accepted(run, encoder):
    direct = encoder_module.load_encoder(run / "encoder")
    _assert_close(direct.encode(_images(4)), encoder.encode(_images(4)))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (_images(2, 32), ["[2, 32, 32, 3]", "[n,28,28,3]"]),
        (_images(2, channels=1), ["[2, 28, 28, 1]", "[n,28,28,3]"]),
        (_images(1)[0], ["[28, 28, 3]", "images[None]"]),
        (_images(2).transpose(0, 3, 1, 2), ["[2, 3, 28, 28]", "[n,28,28,3]"]),
        (_images(2).astype(np.int32), ["int32", "uint8"]),
        (_images(2) > 0, ["bool", "uint8"]),
        (_images(2).astype(np.float32), ["0 to 255", "0..1", "divide by 255"]),
        (_images(2) / 127.5 - 1, ["-1 to 1", "0..1"]),
        (np.full((1, 28, 28, 3), np.nan), ["nan", "0..1"]),
        (jnp.full((1, 28, 28, 3), 2.0), ["2 to 2", "0..1"]),
        ([1, 2], ["[2]", "[n,28,28,3]"]),
    ],
)
def test_images_that_do_not_fit_are_one_sentence(encoder, images, words):
    with pytest.raises(contracts.UserError) as caught:
        encoder.encode(images)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_shapes_and_types_are_checked_inside_jit_too(encoder):
    with pytest.raises(contracts.UserError, match="needs"):
        jax.jit(encoder.encode)(jnp.zeros((2, 32, 32, 3)))
    with pytest.raises(contracts.UserError, match="int32"):
        jax.jit(encoder.encode)(jnp.zeros((2, 28, 28, 3), jnp.int32))


def test_an_export_replaces_its_files_and_no_others(tmp_path):
    folder = _export(tmp_path / "encoder")
    (folder / "mine.txt").write_text("mine")
    _export(folder, channels=1)
    assert exported_encoder.read(folder)[2]["image_shape"] == [28, 28, 1]
    assert (folder / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder"]


def test_a_folder_without_an_encoder_is_one_sentence(tmp_path):
    with pytest.raises(contracts.UserError, match=r"has no card\.json"):
        encoder_module.load_encoder(tmp_path)


def test_another_format_names_both(tmp_path):
    with pytest.raises(contracts.UserError, match=r"format 2 .* reads format 1"):
        encoder_module.load_encoder(_export(tmp_path / "encoder", format=2))


@pytest.mark.parametrize(("count", "tap"), [(0, "y"), (3, "y"), (8, "conv"), (9, "conv")])
def test_embedding_in_chunks_is_embedding_at_once(encoder, count, tap):
    images = _images(9)
    features = encoder_module.embed(encoder, images[:count], tap, batch=4)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, encoder.encode(images)[tap][:count], atol=1e-5)


def test_a_misspelt_tap_is_offered_the_nearest(encoder):
    with pytest.raises(contracts.UserError, match="did you mean 'conv'"):
        encoder_module.embed(encoder, _images(2), "con")


ELSEWHERE = """
import sys
import dim_jax, jax, numpy as np
encoder = dim_jax.load_encoder(sys.argv[1])
np.save(sys.argv[2], encoder.encode(np.load(sys.argv[3]))["y"])
heavy = [name for name in ("orbax", "tensorflow", "tensorflow_datasets", "optax", "sklearn")
         if name in sys.modules]
sys.exit(f"{heavy} {jax.devices()}" if heavy or jax.device_count() != 1 else 0)
"""


def test_another_process_with_one_device_and_no_training_libraries(run, encoder, tmp_path):
    np.save(tmp_path / "images.npy", _images(3))
    paths = [str(path) for path in (run, tmp_path / "y.npy", tmp_path / "images.npy")]
    environment = {"PATH": "", "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", ELSEWHERE, *paths],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), encoder.encode(_images(3))["y"], atol=1e-5
    )


def _write_folder(folder: Path, names: list[str]) -> np.ndarray:
    images = _images(len(names))
    for image, name in zip(images, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return images


SPLIT = ["test/cat/0.png", "test/dog/0.png", "train/cat/1.png", "train/dog/2.png"]
NESTED = ["cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/2.png"]


@pytest.mark.parametrize(
    ("names", "labels", "classes"),
    [
        (NESTED, [0, 0, 0, 1, 1], ["cat", "dog"]),
        (["a.png", "b.png", "c.png", "d.png"], None, None),
        (SPLIT, [0, 1, 0, 1], ["cat", "dog"]),
    ],
)
def test_the_command_embeds_every_image(run, encoder, tmp_path, capsys, names, labels, classes):
    images = _write_folder(tmp_path / "images", names)
    out = tmp_path / "deep" / "features.npz"
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out", str(out)]
    assert command.main([*arguments, "--tap", "fc"]) == 0
    assert f"fc of {len(names)} images" in capsys.readouterr().out
    with np.load(out, allow_pickle=False) as arrays:
        found = dict(arrays)
    assert found["names"].tolist() == names
    np.testing.assert_allclose(found["features"], encoder.encode(images)["fc"], atol=1e-5)
    if labels is None:
        assert found.keys() == {"features", "names"}
    else:
        assert (found["labels"].tolist(), found["classes"].tolist()) == (labels, classes)


def test_the_command_gives_a_grey_encoder_the_brightness(tmp_path):
    grey = _images(4, channels=1)
    for index, image in enumerate(grey):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / "images" / f"{index}.png")
    run, out = _export(tmp_path / "encoder", channels=1), tmp_path / "features.npz"
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out", str(out)]
    assert command.main(arguments) == 0
    wanted = encoder_module.load_encoder(run).encode(grey)["y"]
    with np.load(out) as found:
        np.testing.assert_allclose(found["features"], wanted, atol=1e-5)


def test_the_command_reads_16_bit_images_as_the_run_did(tmp_path, capsys):
    deep = _images(3, channels=1)[..., 0].astype(np.uint16) << 4  # the highest value has 12 bits
    (tmp_path / "images").mkdir()
    for index, image in enumerate(deep):
        Image.fromarray(image).save(tmp_path / "images" / f"{index}.png")
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    run, out = _export(tmp_path / "encoder", channels=1, bits=14), tmp_path / "features.npz"
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out", str(out)]
    assert command.main(arguments) == 0
    wanted = encoder_module.load_encoder(run).encode((deep >> 6).astype(np.uint8)[..., None])["y"]
    with np.load(out) as found:
        np.testing.assert_allclose(found["features"], wanted, atol=1e-5)
    assert "1 file of other kinds (.txt 1)" in capsys.readouterr().out


def test_a_grey_encoder_sees_the_luma_of_colours(tmp_path):
    """Of primaries and mixtures, that of Pillow."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50), (255, 255, 0)]
    (tmp_path / "images").mkdir()
    wanted = []
    for index, colour in enumerate(colours):
        image = Image.new("RGB", (28, 28), colour)
        image.save(tmp_path / "images" / f"{index}.png")
        wanted.append(np.asarray(image.convert("L"))[0, 0])
    card = {"image_shape": [28, 28, 1]}
    (seen,) = inputs.open_folder(card, str(tmp_path / "images")).batches(8)
    assert seen.images.shape == (5, 28, 28, 1) and seen.images.dtype == np.uint8
    np.testing.assert_array_equal(seen.images[:, 0, 0, 0], wanted)


def test_a_long_folder_is_embedded_in_order_and_its_speed_is_printed(
    run, encoder, tmp_path, capsys, monkeypatch
):
    names = sorted(f"{number}.png" for number in range(40))
    images = _write_folder(tmp_path / "images", names)
    monkeypatch.setattr(embedding, "BATCH", 6)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out"]
    assert command.main([*arguments, str(tmp_path / "all.npz")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^36 of 40 images, [\d,]+ per second$", printed, re.M)
    assert re.search(r"of 40 images, \(5,\); [\d,]+ images per second$", printed, re.M)
    with np.load(tmp_path / "all.npz") as arrays:
        assert arrays["names"].tolist() == names
        np.testing.assert_allclose(arrays["features"], encoder.encode(images)["y"], atol=1e-5)
    (tmp_path / "images" / names[33]).write_bytes(b"broken")
    assert command.main([*arguments, str(tmp_path / "none.npz")]) == 2
    assert f"{names[33]} is not a readable image" in capsys.readouterr().err
    assert not (tmp_path / "none.npz").exists()


def test_a_single_image_is_embedded(run, encoder, tmp_path, capsys):
    images = _write_folder(tmp_path / "images", ["one.png"])
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out"]
    assert command.main([*arguments, str(tmp_path / "one.npz")]) == 0
    assert capsys.readouterr().out.endswith("y of 1 images, (5,)\n")
    with np.load(tmp_path / "one.npz") as arrays:
        np.testing.assert_allclose(arrays["features"], encoder.encode(images)["y"], atol=1e-5)


def test_unclear_splits_of_a_folder_have_advice_that_fits_the_command(run, tmp_path, capsys):
    _write_folder(tmp_path / "images", ["train/1.png", "training/2.png"])
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out"]
    assert command.main([*arguments, str(tmp_path / "features.npz")]) == 2
    message = capsys.readouterr().err
    assert message.endswith("it is not clear which are classes: give --folder one of them\n")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"--run": "nowhere"}, "nowhere has no card.json"),
        ({"--run": ""}, "the run is an empty path"),
        ({"--run": "~nosuchuser/run"}, "no such user"),
        ({"--folder": "nowhere"}, "the folder nowhere does not exist; give --folder"),
        ({"--folder": "mine.txt"}, "the folder mine.txt does not exist; give --folder"),
        ({"--folder": ""}, "--folder is an empty path"),
        ({"--folder": "~nosuchuser"}, "no such user"),
        ({"--tap": "x"}, "unknown tap 'x'"),
        ({"--out": "images"}, "images is a folder and features are a file; give another --out"),
        ({"--out": "."}, ". is a folder"),
        ({"--out": ""}, "--out is an empty path"),
        ({"--out": "~nosuchuser/features.npz"}, "no such user"),
        ({"--out": "pipe"}, "pipe is a device or a pipe"),
        ({"--out": "mine.txt"}, "mine.txt exists and holds no features"),
        ({"--out": "mine.npz"}, "mine.npz exists and holds no features"),
        ({"--out": "link_to_mine"}, "link_to_mine exists and holds no features"),
        ({"--out": "mine.txt/features.npz"}, "cannot write"),
        ({"--out": "circle"}, "cannot write"),
        ({"--out": "n" * 300}, "cannot write"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence_and_code_2(
    run, tmp_path, monkeypatch, capsys, wrong, words
):
    _write_folder(tmp_path / "images", NESTED)
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("mine")
    np.savez("mine.npz", features=np.ones(2), names=np.array(["a", "b"]), mine=np.ones(2))
    os.mkfifo("pipe")
    Path("link_to_mine").symlink_to("mine.txt")
    Path("circle").symlink_to("circle")
    before = _contents(tmp_path)
    right = {"--run": str(run), "--folder": "images", "--out": "features.npz"}
    arguments = [word for pair in (right | wrong).items() for word in pair]
    assert command.main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err and captured.err.count("\n") == 1
    assert captured.out == "" and _contents(tmp_path) == before


def _contents(folder: Path) -> dict:
    files = {path: path.lstat().st_mode for path in folder.rglob("*")}
    return {path: (mode, stat.S_ISREG(mode) and path.read_bytes()) for path, mode in files.items()}


def test_features_replace_features_also_behind_a_link(run, tmp_path, monkeypatch):
    _write_folder(tmp_path / "images", NESTED)
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("link.npz").symlink_to("there/features.npz")  # to a file that does not exist yet
    arguments = ["--run", str(run), "--folder", "images", "--out"]
    assert command.main([*arguments, "link.npz", "--tap", "fc"]) == 0
    assert Path("link.npz").is_symlink()
    for out in ("there/features.npz", "link.npz"):
        with open("/dev/full", "w", buffering=1) as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert command.main([*arguments, out]) == 0
        with np.load("there/features.npz") as found:
            assert found["features"].shape == (5, 5)
    assert Path("link.npz").is_symlink() and len([*Path("there").iterdir()]) == 1


def test_a_full_disk_leaves_the_former_features_alone(run, tmp_path, monkeypatch, capsys):
    _write_folder(tmp_path / "images", NESTED)
    out = tmp_path / "out" / "features.npz"
    arguments = ["--run", str(run), "--folder", str(tmp_path / "images"), "--out", str(out)]
    assert command.main(arguments) == 0
    before = _contents(out.parent)

    def run_out(file, features):
        file.write(b"PK")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(feature_files, "_write_parts", run_out)
    capsys.readouterr()
    assert command.main(arguments) == 2
    assert "(No space left on device)" in capsys.readouterr().err
    assert _contents(out.parent) == before


@pytest.mark.parametrize("images", [np.uint8, np.float32])
def test_no_images_have_no_features(encoder, images):
    none = np.zeros((0, 28, 28, 3), images)
    for encode in (encoder.encode, jax.jit(encoder.encode)):
        shapes = {name: (tap.shape, tap.dtype) for name, tap in encode(none).items()}
        wanted = encoder.card["taps"].items()
        assert shapes == {name: ((0, *shape), jnp.float32) for name, shape in wanted}


@pytest.mark.parametrize(
    "setting", [jax.enable_x64, jax.numpy_rank_promotion, jax.numpy_dtype_promotion]
)
def test_features_are_the_same_where_jax_is_stricter_or_wider(run, encoder, setting):
    value = {jax.numpy_rank_promotion: "raise", jax.numpy_dtype_promotion: "strict"}
    with setting(value.get(setting, True)):
        strict = encoder_module.load_encoder(run)
        _assert_close(strict.encode(_images(2)), encoder.encode(_images(2)))
