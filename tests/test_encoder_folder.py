"""Features of a folder of images: the encoder gets the pixels that evaluations of its run use."""

import dataclasses

import config_files
import jax
import numpy as np
import pytest
from PIL import Image

from dim_jax import build, contracts, encoder, experiment, run_metadata, settings
from dim_jax.encoder import command
from dim_jax.rundir import exported_encoder
from dim_jax.training import preprocessing

SPEC = {"name": "linear", "features": 2}
# cmc crops the images of these sets only.
WORDS = [(name, "smoke") for name in config_files.NAMES]
WORDS += [("cmc", f"data={name},budget=smoke") for name in ("stl10", "imagenet")]
CROPPED = [each for each in WORDS if config_files.load(*each)["augment"]["crop"]]
ORIGIN = ("config", "config_string", "training", "steps", "commit", "versions")


def _write_images(folder, sizes) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        for index, (height, width) in enumerate(sizes):
            pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{index}.png")


def _export(typed: settings.Config, folder, images=None):
    """Features of the evaluations' images, or of these, of a linear encoder that is exported."""
    dataset = experiment.load_data(typed)[1]
    prepared = preprocessing.Preprocessing((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    if images is not None:
        prepared = preprocessing.Preprocessing.of(typed, dataset.facts)
    else:
        images = np.concatenate([dataset.splits[name].images[:] for name in ("test", "train")])
    net = build.make("encoder", SPEC)
    params, state = jax.jit(net.init)(jax.random.key(0), prepared.normalise(images))

    def represent(images):
        return net.apply(params, state, prepared.normalise(images), train=False)[0]

    trained = contracts.Frozen(
        jax.jit(represent),
        params={"encoder": {"encoder": params}},
        state={"encoder": state},
    )
    facts = dict.fromkeys(ORIGIN)
    config = dataclasses.replace(typed, method={"encoder": SPEC})
    run_metadata.export(folder, config, dataset.facts, prepared, trained, facts)
    return trained.represent(images)["y"]


def _embed(run, folder) -> np.ndarray:
    out = folder.with_suffix(".npz")
    assert command.main(["--run", str(run), "--folder", str(folder), "--out", str(out)]) == 0
    with np.load(out) as arrays:
        return arrays["features"]


@pytest.mark.parametrize(("name", "words"), CROPPED)
def test_a_config_with_a_crop_embeds_what_it_evaluates(name, words, tmp_path):
    config = config_files.load(name, words)
    resized = config["data"]["image_size"] is not None
    _write_images(tmp_path / "images", [(300, 310), (90, 70)] if resized else [(96, 96)] * 2)
    seeds = config["data"]["seeds"] and 4
    place = dict(name=f"folder:{tmp_path}/images", train_split="train", test_split="test")
    config["data"] |= dict(place, seeds=seeds)
    wanted = _export(settings.Config.of(config), tmp_path / "encoder")
    found = _embed(tmp_path / "encoder", tmp_path / "images")
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    card = encoder.load_encoder(tmp_path / "encoder").card
    side = card["crop"] or card["resize"]
    assert card["image_shape"] == [side, side, 3] and (card["crop"] is None) == bool(seeds)


@pytest.mark.parametrize("scaling", ["standardized", "quantiles"])
def test_raw_arrays_have_the_features_of_the_run(scaling, tmp_path):
    """Of five channels u16, with tails; by the command and in Python."""
    tails = np.random.default_rng(0).lognormal(6, 1, (40, 24, 24, 5))
    images = (tails * [1, 2, 4, 8, 16]).clip(0, 65_535).astype(np.uint16)
    np.save(tmp_path / "images.npy", images)
    config = config_files.load("arrays", f"scaling={scaling},smoke")
    config["data"]["name"] = f"array:{tmp_path}/images.npy"
    run, out = tmp_path / "encoder", tmp_path / "features.npy"
    wanted = _export(settings.Config.of(config), run, images)
    task = ["--data", config["data"]["name"], "--out", str(out)]
    assert command.main(["--run", str(run), *task]) == 0
    loaded = encoder.load_encoder(run)
    assert loaded.card["dtype"] == "uint16" and loaded.card["image_shape"] == [24, 24, 5]
    for found in (np.load(out), encoder.embed(loaded, images), loaded.encode(images + 0.0)["y"]):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_images_that_are_not_square_stay_as_they_are(tmp_path):
    _write_images(tmp_path / "images", [(8, 12)] * 2)
    config = config_files.load("folder")
    config["data"] |= dict(name=f"folder:{tmp_path}/images", image_size=None)
    wanted = _export(settings.Config.of(config), tmp_path / "encoder")
    np.testing.assert_allclose(
        _embed(tmp_path / "encoder", tmp_path / "images"), wanted, rtol=1e-4, atol=1e-4
    )


def test_a_card_of_0_1_0_says_nothing_of_crops_and_the_complete_image_is_resized(tmp_path):
    _write_images(tmp_path / "images", [(96, 96)] * 2)
    config = config_files.load("dim_stl10")
    place = dict(name=f"folder:{tmp_path}/images", train_split="train", test_split="test")
    config["data"] |= dict(place, image_size=64)
    config["augment"]["crop"] = None
    wanted = _export(settings.Config.of(config), tmp_path / "encoder")
    params, state, card = exported_encoder.read(tmp_path / "encoder")
    older = {key: value for key, value in card.items() if key not in ("resize", "crop")}
    exported_encoder.write(tmp_path / "older", params, state, older)
    found = _embed(tmp_path / "older", tmp_path / "images")
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_card_says_how_images_are_read(tmp_path):
    _write_images(tmp_path / "images", [(9, 12)] * 2)
    config = config_files.load("folder")
    place = dict(name=f"folder:{tmp_path}/images", image_size=8)
    config["data"] |= dict(place, fit="crop", channels=3)
    _export(settings.Config.of(config), tmp_path / "encoder")
    card = exported_encoder.read(tmp_path / "encoder")[2]
    assert card["fit"] == "crop" and card["channels"] == 3 and card["resize"] == 8
