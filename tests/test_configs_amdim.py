"""The words of the AMDIM configs: recipes, ablations, schedules, and what is published of each."""

import pytest

from configs.common import amdim
from dim_jax import augment, build
from dim_jax.evaluate import suite
from dim_jax.training import optimizers

CONFIGS = ["amdim_cifar10", "amdim_cifar100", "amdim_stl10", "amdim_imagenet"]


def inner(config: dict) -> dict:
    """The block of the method under its two probes."""
    spec, players = config["method"], []
    while "method" in spec:
        players.append(spec["player"])
        spec = spec["method"]
    assert players == ["linear_probe", "mlp_probe"] and spec["name"] == "amdim"
    return spec


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kind", amdim.AUGMENTS)
def test_augmentations_are_ones_that_exist(config, name, kind):
    block = config(name, f"augment={kind}")["augment"]
    augment.pipeline(**block)
    assert block["views"] == (1 if kind == "none" else 2)
    assert block["flip"] == (kind != "none") and block["flip_shared"]  # one flip for both views
    assert (block["jitter"] is None) == (kind in ("no_jitter", "none"))
    assert (block["grey"] == 0) == (kind in ("no_grey", "none"))
    moved = block["translate"] or block["resized_crop"]
    assert bool(moved) == (kind not in ("no_crop", "none"))
    assert bool(block["randaugment"]) == (kind == "strong")


@pytest.mark.parametrize(("name", "side"), [*zip(CONFIGS, (32, 32, 64, 128), strict=True)])
@pytest.mark.parametrize("kind", ["full", "none"])
def test_images_have_the_size_of_the_encoder(config, name, side, kind):
    found = config(name, f"augment={kind},budget=paper")
    size = found["data"]["image_size"]
    assert found["augment"]["crop"] in (None, side)
    assert (found["augment"]["crop"] or size or 32) == side
    assert inner(found)["encoder"]["name"] == f"amdim{side}"
    if side > 32:  # random boxes of larger images, centres of smaller ones
        sizes = {64: (None, 70), 128: (256, 146)}[side] if kind == "full" else (side, None)
        assert (size, found["data"]["eval_size"]) == sizes


def test_published_recipes(config):
    cifar, stl, imagenet = (
        config(f"amdim_{name}", "") for name in ("cifar10", "stl10", "imagenet")
    )
    assert cifar["augment"]["translate"] == 4 and cifar["augment"]["translate_rate"] == 0.8
    for found, hue, grey in ((cifar, 0.2, 0.25), (stl, 0.2, 0.25), (imagenet, 0.1, 0.2)):
        assert found["augment"]["jitter"] == (0.4, 0.4, 0.4, hue)
        assert (found["augment"]["jitter_rate"], found["augment"]["grey"]) == (0.8, grey)
        assert found["data"]["scaling"] == "standardized"
        assert found["train"]["batch_size"] == 480
        assert (inner(found)["penalty"], inner(found)["clip"]) == (0.05, 20.0)
        assert inner(found)["terms"] == ("1_to_5", "1_to_7", "5_to_5")
    for found in (stl, imagenet):
        assert found["augment"]["resized_crop"] == (0.3, 1.0)
        assert found["augment"]["aspect"] == (0.7, 1.4)


def test_classifiers_see_augmented_images_as_published(config):
    for name, count in zip(CONFIGS, (10, 10, 30, 4), strict=True):
        for key in ("linear", "mlp"):
            published = config(name, "budget=paper")["evals"][key]
            assert published["augmentations"] == count
            assert published["representations"] == ("trained", "untrained")
            short = config(name, "budget=cpu")["evals"][key]
            assert short["augmentations"] is None and "pca" in short["representations"]


def test_sizes_and_ablations(config):
    def encoder(name, words):
        spec = inner(config(name, words))["encoder"]
        return spec["ndf"], spec["n_rkhs"], spec["n_depth"]

    assert encoder("amdim_cifar10", "small") == (128, 1024, 10)
    assert encoder("amdim_cifar100", "large") == (256, 2048, 10)
    assert encoder("amdim_stl10", "small") == (192, 1536, 8)
    assert encoder("amdim_imagenet", "medium") == (256, 2048, 10)
    assert encoder("amdim_imagenet", "large") == (320, 2560, 10)
    assert encoder("amdim_cifar10", "large,budget=cpu") == (32, 256, 2)
    assert inner(config("amdim_cifar10", "single"))["terms"] == ("1_to_7",)
    loose = inner(config("amdim_cifar10", "stabilise=off"))
    assert loose["clip"] is None and loose["penalty"] == 0
    with pytest.raises(ValueError, match="unknown config argument 'medium'"):
        config("amdim_cifar10", "medium")


@pytest.mark.parametrize(
    ("name", "words", "epochs", "falls"),
    [
        ("amdim_cifar10", "", 300, (250, 280)),
        ("amdim_stl10", "", 300, (250, 280)),
        ("amdim_imagenet", "", 50, (30, 45)),
        ("amdim_imagenet", "large", 100, (60, 90)),
    ],
)
def test_published_schedules(config, name, words, epochs, falls):
    found = config(name, words)
    assert found["train"]["epochs"] == epochs
    assert len(set(map(str, found["players"].values()))) == 1
    spec = found["players"]["encoder"]
    assert (spec["b1"], spec["b2"], spec["l2"]) == (0.8, 0.999, 1e-5)
    rate = optimizers.schedule(spec["schedule"], spec["learning_rate"], 100 * epochs, 100)
    expected = {99: 4e-5, 499: 2e-4, 100 * falls[0] - 1: 2e-4}
    expected |= {100 * falls[0] + 1: 4e-5, 100 * falls[1] + 1: 8e-6}
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, rel=1e-5), step


def test_published_numbers_stand_beside_what_they_are_of(config):
    def published(name, words):
        found = config(name, words)["published"]
        assert set(found) <= {"linear", "mlp"}
        return {key: value["y"] for key, value in found.items()}

    assert published("amdim_cifar10", "") == dict(linear=89.5, mlp=91.4)
    assert published("amdim_cifar100", "large") == dict(linear=70.2, mlp=72.8)
    assert published("amdim_stl10", "no_crop") == dict(linear=86.0, mlp=87.1)
    assert published("amdim_stl10", "single") == dict(linear=92.6, mlp=93.0)
    assert published("amdim_imagenet", "stabilise=off") == dict(linear=57.2, mlp=59.5)
    for words in ("no_crop,single", "none", "no_crop,stabilise=off", "large", "large,strong"):
        assert published("amdim_stl10", words) == {}
    assert published("amdim_cifar10", "strong") == {}
    assert published("amdim_imagenet", "imagenette") == {}
    assert published("amdim_imagenet", "no_crop") == {}


@pytest.mark.parametrize("name", CONFIGS)
def test_evaluations_exist(config, name):
    found = config(name, "")
    method = build.make("method", found["method"])
    suite.check(found["evals"], method=method)
    assert set(found["evals"]) == {
        *("linear", "mlp", "uniformity", "mlp_permuted"),
        *("neighbours", "filters", "retrieval", "views"),
    }
    assert all(found["evals"][key]["taps"] == ("y",) for key in ("linear", "mlp"))


def test_imagenette_is_small_and_seen_whole(config):
    found = config("amdim_imagenet", "imagenette,budget=cpu")
    assert found["data"]["name"] == "imagenette/128px-v2" and found["data"]["image_size"] == 128
    assert found["data"]["road"] == "auto" and found["augment"]["crop"] == 128
    assert config("amdim_imagenet", "")["data"]["road"] == "streaming"
