"""Settings: every key is defined once, checked, shown, compared and documented."""

import ast
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from configs import amdim_cifar10, common
from dim_jax import commandline, contracts, data, run_metadata, settings
from dim_jax.training import trainer

ROOT = pathlib.Path(__file__).parent.parent
FULL = dict(
    data=dict(name="digits"),
    method=dict(name="dim"),
    players={},
    train=dict(batch_size=32, epochs=2.5, steps_per_dispatch=5, save_epochs=0.5),
    evals={},
)
# A value of each setting that is not its default.
VALUES = {
    **{"seed": 3, "deterministic": True, "compute_dtype": "bfloat16"},
    **{"published_data": "cifar100", "published_source": "Table 7"},
    **{"published_differs": "They are of a shorter training."},
    **{"data.name": "cifar10", "data.data_dir": "elsewhere", "data.image_size": 48},
    **{"data.train_split": "train[:9]", "data.test_split": "train[9:]", "data.test_fraction": 0.3},
    **{"data.scaling": "unit", "data.road": "streaming", "data.worker_threads": 7},
    **{"data.worker_processes": 5, "data.shortcut": "value", "data.eval_train_images": 77},
    **{"data.shortcut_place": "spread", "data.shortcut_strength": 0.65},
    **{"data.seeds": 55, "data.patch": 22, "data.context": 11, "data.bits": 14},
    **{"data.fit": "pad", "data.channels": 5, "data.image_column": "img"},
    **{"data.label_column": "fine_label", "data.eval_size": 44},
    **{"augment.patches": 3, "augment.shear": 0.12, "augment.one_channel": 0.28},
    **{"augment.views": 4, "augment.affine": (0.2, 0.7, 1.4, 20.0)},
    **{"augment.resized_crop": (0.3, 0.9), "augment.aspect": (0.6, 1.7), "augment.crop": 24},
    **{"augment.flip": True, "augment.flip_shared": False, "augment.translate": 6},
    **{"augment.translate_rate": 0.35, "augment.randaugment": (2, 9), "augment.pca": (0.6, 1.9)},
    **{"augment.hsv": (0.25, 4.0, 0.7, 1.4, 0.1), "augment.hue": 0.15},
    **{"augment.jitter": (0.4, 0.3, 0.2, 0.1), "augment.jitter_rate": 0.65, "augment.grey": 0.45},
    **{"augment.blur": 0.55, "augment.solarise": 0.05, "augment.small_crops": 6},
    **{"augment.small_crop": 47, "augment.small_crop_area": (0.07, 0.17)},
    **{"train.batch_size": 96, "train.epochs": 3.5, "train.microbatches": 4},
    **{"train.norm_groups": 8, "train.accumulate": 16, "train.steps_per_dispatch": 13},
    **{"train.save_epochs": 2.0, "train.keep": 6, "train.keep_best": "loss/encoder"},
    **{"train.init_from": "runs/another", "train.max_minutes": 45.0},
    **{"encoder.init": "runs/another/encoder", "track": "mlflow"},
}
MAPPINGS = {"method", "players", "evals", "published", "published_on"}
# A setting whose value is told in words needs others to have an effect.
TOGETHER = {
    "augment.aspect": {"augment.resized_crop": (0.3, 0.9)},
    "augment.flip_shared": {"augment.flip": True, "augment.views": 2},
    "augment.translate_rate": {"augment.translate": 6},
    "augment.jitter_rate": {"augment.jitter": (0.4, 0.3, 0.2, 0.1)},
    "augment.small_crops": {"augment.small_crop": 47},
    "augment.small_crop_area": {"augment.small_crops": 6, "augment.small_crop": 47},
}


def changed(values: dict) -> dict:
    """The config with some keys set, by their dotted names."""
    config = {name: dict(part) if isinstance(part, dict) else part for name, part in FULL.items()}
    for key, value in values.items():
        block, _, name = key.rpartition(".")
        (config.setdefault(block, {}) if block else config)[name] = value
    return config


def opening(config: dict) -> str:
    typed = settings.Config.of(config)
    images = np.zeros((647, 8, 6, 3), np.uint8)
    split = data.Split(images, np.zeros(647, np.int32))
    facts = data.Facts(typed.data.name, (8, 6, 3), None, None, None)
    dataset = data.Dataset(facts, {"train": split, "test": split})
    plan = trainer.plan(typed.train, 647, 1)
    state = type("State", (), {"params": {"encoder": {"w": np.zeros(5)}}})
    return "\n".join(run_metadata.opening(typed, dataset, plan, state))


def test_every_setting_has_a_value_here():
    blocks = {"data", "augment", "encoder", "train"}
    assert VALUES.keys() | MAPPINGS == settings.all_settings().keys()
    assert {field for field in settings.Config.settings()} > blocks


@pytest.mark.parametrize("key", VALUES)
def test_a_value_that_is_set_shows_in_the_opening_lines(key):
    others = TOGETHER.get(key, {})
    before, after = opening(changed(others)), opening(changed(others | {key: VALUES[key]}))
    shown = set(after.splitlines()) - set(before.splitlines())
    assert shown, key
    if not isinstance(VALUES[key], bool | tuple):
        text = f"{VALUES[key]:g}" if isinstance(VALUES[key], float) else str(VALUES[key])
        words = " ".join(shown)
        share = isinstance(VALUES[key], float) and f"{VALUES[key]:.0%}" in words
        plan = key == "train.save_epochs" and "checkpoint every 40" in words
        assert text in words or share or plan, words


@pytest.mark.parametrize("alone", ["augment.aspect", "augment.translate_rate"])
def test_a_value_without_effect_shows_too(alone):
    assert f"{alone}={VALUES[alone]}" in opening(changed({alone: VALUES[alone]}))


def test_augmentation_in_words():
    amdim = settings.Augment(**amdim_cifar10.AUGMENT)
    assert "; ".join(amdim.describe()) == (
        "random flips; 80% translated by up to 4 pixels; 80% with colours jittered by "
        "0.4/0.4/0.4/0.2; 25% made grey; 2 views of each image"
    )
    boxes = settings.Augment(crop=64, resized_crop=(0.3, 1.0))
    assert list(boxes.describe()) == [
        "random crops of 0.3 to 1 of the area, resized to 64x64, centre crops in evaluations"
    ]
    warps = settings.Augment(crop=32, affine=(0.2, 0.7, 1.4, 20.0)).describe("whole images")
    assert list(warps) == [
        "random 32x32 warps: shifted by up to 20% of the side, scaled by 0.7 to 1.4, rotated by up "
        "to 20 degrees, whole images in evaluations"
    ]
    unmoved = settings.Augment(crop=32, affine=(0.0, 1.0, 1.0, 0.0)).describe("whole images")
    assert list(unmoved) == ["the centre 32x32, not warped, whole images in evaluations"]
    crops = settings.Augment(views=2, small_crops=6, small_crop=96)
    assert list(crops.describe())[1:] == [
        "6 small crops of each image, 0.05 to 0.14 of the area, resized to 96x96"
    ]
    byol = settings.Augment(views=2, blur=(1.0, 0.1), solarise=[0.0, 0.2]).describe()
    assert list(byol)[:2] == [
        "100% of view 1 and 10% of view 2 blurred",
        "0% of view 1 and 20% of view 2 solarised",
    ]
    patches = settings.Augment(patches=3, shear=0.1, one_channel=0.2)
    assert list(patches.describe()) == [
        "sheared by up to 0.1",
        "20% with one channel",
        "changed separately in each of 6x6 patches of 3/8 of the side",
    ]
    with pytest.raises(contracts.UserError, match="small crops are not cut into patches"):
        settings.Augment(patches=3, small_crops=2, small_crop=8)
    assert settings.Augment().describe() == {}


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("seed", 1.5, "an integer from 0 to 4294967295"),
        ("seed", -1, "an integer from 0 to 4294967295"),
        ("seed", 2**32, "an integer from 0 to 4294967295"),
        ("published", 3, "a block of numbers, such as"),
        ("published", {"mlp": 70.0}, "a block of numbers"),
        ("published", {"mlp": {"y": None}}, "a block of numbers"),
        ("compute_dtype", "float16", "'float32' or 'bfloat16'"),
        ("method", "dim", "a block of keys"),
        ("data", "digits", "a block of keys"),
        ("augment", None, "a block of keys"),
        ("data.image_size", 0, "1 or a larger integer, or to None"),
        ("data.image_size", 2**32, "at most 16384, or to None"),
        ("data.image_size", True, "1 or a larger integer"),
        ("data.test_fraction", 1, "less than 1"),
        ("data.road", "steaming", "did you mean 'streaming'? set it to 'auto' or 'resident' or '"),
        ("data.eval_train_images", 0, "1 or a larger integer"),
        ("data.shortcut_place", "corner", "'column' or 'spread'"),
        ("data.shortcut_strength", 0.0, "more than 0 and at most 1"),
        ("augment.flip", 1, "True or False"),
        ("augment.patches", 5, "an integer from 1 to 4, or to None"),
        ("augment.shear", 2.0, "a factor from 0 to 1"),
        ("augment.randaugment", (float("inf"), 9), "the number of operations"),
        ("augment.hue", 0.7, "from 0 to 0.5"),
        ("augment.blur", (1.0, 1.1), "from 0 to 1, or to one share for each view"),
        ("augment.solarise", (), "from 0 to 1, or to one share for each view"),
        ("augment.small_crops", -1, "0 or a larger integer"),
        ("train.epochs", 0, "more than 0"),
        ("train.epochs", float("nan"), "more than 0"),
        ("train.epochs", float("inf"), "more than 0"),
        ("train.save_epochs", float("nan"), "more than 0"),
        ("data.worker_threads", -1, "1 or a larger integer, or to None"),
        ("data.worker_processes", -1, "0 or a larger integer"),
        ("train.microbatches", 0, "1 or a larger integer"),
        ("train.max_minutes", -1.0, "more than 0, or to None"),
    ],
)
def test_a_value_that_is_not_valid_is_one_sentence(key, value, advice):
    with pytest.raises(contracts.UserError) as error:
        settings.Config.of(changed({key: value}))
    assert str(error.value).startswith(f"{key} is {value!r}; ")
    assert "set it to " in str(error.value)
    assert advice in str(error.value)


def test_keys_that_are_unknown_or_missing():
    with pytest.raises(contracts.UserError, match=r"unknown setting 'train\.epoch': did you"):
        settings.Config.of(changed({"train.epoch": 3}))
    with pytest.raises(contracts.UserError, match="unknown setting 'sede': did you mean 'seed'"):
        settings.Config.of(changed({"sede": 3}))
    without = {**FULL, "train": {"batch_size": 32}}
    with pytest.raises(contracts.UserError, match=r"has no train\.epochs; add it \(Length"):
        settings.Config.of(without)


def test_lists_are_tuples():
    typed = settings.Config.of(changed({"augment.jitter": [0.4, 0.3, 0.2, 0.1]}))
    assert typed.augment.jitter == (0.4, 0.3, 0.2, 0.1)


def test_scopes():
    assert settings.scope("data.road") == settings.scope("train.keep") == "machine"
    assert settings.scope("evals.mlp.taps") == settings.scope("published_data") == "evaluation"
    assert settings.scope("data.eval_train_images") == "evaluation"
    assert settings.scope("method.encoder.width") == settings.scope("seed") == "training"
    assert settings.scope("train.epochs") == "length"


def test_configs_have_every_setting():
    config = common.config(**FULL).to_dict()
    assert config["augment"].keys() == settings.Augment.settings().keys()
    typed = settings.Config.of(config)
    assert typed.augment == settings.Augment() and typed.published_data == "digits"
    with pytest.raises(ValueError, match="unknown setting of 'augment' 'crops': did you mean"):
        common.augment(crops=3)


def test_help_of_a_config(monkeypatch, capsys):
    from dim_jax import main

    monkeypatch.chdir(ROOT)
    assert main.main(["dim-jax", "--config=configs/quickstart.py:smoke", "--help"]) == 0
    shown = capsys.readouterr().out
    config = commandline.parse(["dim-jax", "--config=configs/quickstart.py:smoke"]).config
    assert "--config.train.epochs=2.0\n    Length of the training." in shown
    assert "--config.data.image_size=32\n    Default: None. Side of" in shown
    assert "--config.method.method.encoder.width=4" in shown
    assert shown.count("\n--config.train.") == len(config["train"])


def test_only_the_standard_library_is_imported():
    for path in (ROOT / "dim_jax" / "settings").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                package = name.partition(".")[0]
                assert package in sys.stdlib_module_names or name.startswith("dim_jax.settings")
    code = "import sys, dim_jax.settings; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
