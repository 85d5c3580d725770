"""An export that was changed is refused when it is loaded, in one sentence."""

import copy
import json
import math

import numpy as np
import pytest
import test_encoder

from dim_jax import contracts
from dim_jax import encoder as encoder_module
from dim_jax.rundir import checksums, exported_encoder


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """(params, stats, card) of an exported encoder."""
    folder = tmp_path_factory.mktemp("export")
    return exported_encoder.read(test_encoder._export(folder / "encoder"))


def _refusal(folder) -> str:
    with pytest.raises(contracts.UserError) as caught:
        encoder_module.load_encoder(folder)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message


MISSING = object()
CARDS = {
    "no mean": (dict(mean=MISSING), "no 'mean'"),
    "no encoder": (dict(encoder=MISSING), "no 'encoder'"),
    "no shape": (dict(image_shape=MISSING), "no 'image_shape'"),
    "no taps": (dict(taps=MISSING), "no 'taps'"),
    "no format": (dict(format=MISSING), "format None"),
    "format": (dict(format="1"), "format '1' and this version"),
    "nan mean": (dict(mean=[0.5, math.nan, 0.5]), "'mean' [0.5, nan, 0.5]"),
    "text mean": (dict(mean="0.5"), "'mean' '0.5'"),
    "true mean": (dict(mean=[True, 0.5, 0.5]), "'mean' [True"),
    "few means": (dict(mean=[0.5]), "each of 3 channels"),
    "zero std": (dict(std=[0.2, 0.0, 0.2]), "positive numbers"),
    "infinite std": (dict(std=[0.2, math.inf, 0.2]), "positive numbers"),
    "null std": (dict(std=None), "positive numbers"),
    "flat images": (dict(image_shape=[28, 28]), "height, width and channels"),
    "float shape": (dict(image_shape=[28.0, 28, 3]), "height, width and channels"),
    "grey images": (
        dict(image_shape=[28, 28, 1], mean=[0.5], std=[0.5]),
        "conv0/kernel is float32",
    ),
    "small images": (dict(image_shape=[20, 20, 3]), "needs 28x28"),
    "list of taps": (dict(taps=["y"]), "'taps'"),
    "no tap": (dict(taps={}), "'taps'"),
    "other tap": (dict(taps={"z": [5]}), "the tap z has the shape [5] there and None here"),
    "tap of 6": (dict(taps={"y": [6]}), "the tap y has the shape [6] there and [5] here"),
    "encoder by name": (dict(encoder="dcgan28"), "'encoder' 'dcgan28'"),
    "unknown encoder": (dict(encoder={"name": "dcgan29"}), "unknown encoder 'dcgan29'"),
    "width of text": (dict(encoder={**test_encoder.SPEC, "width": "4"}), "cannot be built"),
    "width of 5": (dict(encoder={**test_encoder.SPEC, "width": 5}), "and not float32"),
    "text resize": (dict(resize="28"), "'resize' '28'"),
    "other resize": (dict(resize=40), "'resize' 40"),
    "other crop": (dict(resize=40, crop=30), "'crop' 30"),
    "large crop": (dict(resize=20, crop=28), "'crop' 28"),
    "no pixels": (dict(crop=0), "'crop' 0"),
    "bits": (dict(bits=40), "'bits' 40"),
}


@pytest.mark.parametrize("case", CARDS)
def test_a_card_that_says_what_cannot_be(export, tmp_path, case):
    changes, words = CARDS[case]
    params, stats, card = export
    changed = {key: value for key, value in {**card, **changes}.items() if value is not MISSING}
    exported_encoder.write(tmp_path, params, stats, changed)
    assert words in _refusal(tmp_path)


def _change(trees: dict, name: str, function) -> None:
    *parents, last = name.split("/")
    for key in parents:
        trees = trees[key]
    trees[last] = function(trees[last])


def _with(value):
    def change(leaf):
        leaf = leaf.copy()
        leaf.flat[-1] = value
        return leaf

    return change


KERNEL, VARIANCE = "params/conv1/kernel", "state/conv1_norm/var"
WEIGHTS = {
    "nan": (KERNEL, _with(math.nan), f"{KERNEL} has numbers that are not finite"),
    "infinite": (VARIANCE, _with(math.inf), f"{VARIANCE} has numbers that are not finite"),
    "shape": (KERNEL, lambda leaf: leaf.T, f"{KERNEL} is float32[8, 4,"),
    "flat": (KERNEL, np.ravel, f"{KERNEL} is float32["),
    "complex": (KERNEL, lambda leaf: leaf + 0j, f"{KERNEL} is complex64["),
    "integer": (KERNEL, lambda leaf: leaf.astype(int), f"{KERNEL} is int64["),
    "nested": (KERNEL, lambda leaf: {"more": leaf}, f"{KERNEL} is missing"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_of_another_encoder_or_none(export, tmp_path, case):
    name, function, words = WEIGHTS[case]
    params, stats, card = copy.deepcopy(export)
    _change({"params": params, "state": stats}, name, function)
    exported_encoder.write(tmp_path, params, stats, card)
    assert words in _refusal(tmp_path)


@pytest.mark.parametrize("role", ["params", "state"])
def test_arrays_too_many_or_too_few(export, tmp_path, role):
    params, stats, card = export
    trees = copy.deepcopy({"params": params, "state": stats})
    trees[role]["more"] = np.ones(2)
    exported_encoder.write(tmp_path / "more", trees["params"], trees["state"], card)
    assert f"{role}/more is no part of it" in _refusal(tmp_path / "more")
    trees[role] = {}
    exported_encoder.write(tmp_path / "fewer", trees["params"], trees["state"], card)
    assert f"{role}/conv0" in (message := _refusal(tmp_path / "fewer")) and "missing" in message


@pytest.mark.parametrize(
    "arrays",
    [
        {"weights/a": np.ones(2)},
        {"params/a": np.ones(2), "params/a/b": np.ones(2)},
        {"params/a": np.array(["text"])},
        {"params/a": np.array([object()])},
    ],
    ids=["tree", "path", "text", "pickle"],
)
def test_archives_of_something_else_are_damage(export, tmp_path, arrays):
    exported_encoder.write(tmp_path, *export)
    np.savez(tmp_path / "weights.npz", **arrays)
    card = json.loads((tmp_path / "card.json").read_text())
    del card["card_sha256"]
    card["weights_sha256"] = checksums.sha256(tmp_path / "weights.npz")
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert "is damaged" in _refusal(tmp_path)


def test_a_card_that_was_edited_is_damage(export, tmp_path):
    exported_encoder.write(tmp_path, *export)
    card = json.loads((tmp_path / "card.json").read_text())
    card["mean"][0] += 0.1
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert "is damaged" in _refusal(tmp_path)


def test_a_card_of_0_1_0_has_no_digest_of_itself(export, tmp_path):
    exported_encoder.write(tmp_path, *export)
    card = json.loads((tmp_path / "card.json").read_text())
    del card["card_sha256"]
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert encoder_module.load_encoder(tmp_path).card == export[2]
