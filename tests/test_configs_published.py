"""Each published number of a config stands beside the published protocol, or is said to differ."""

import collections

import config_files
import pytest

from configs import common
from configs.common import evaluations
from dim_jax.evaluate import discovery

# Protocols of a paper that have not "paper" in their name.
NAMED = ("amdim-",)
WITHOUT_PROTOCOL = {"own_classifier"}  # judged in training


@pytest.fixture(scope="module")
def with_numbers() -> dict[tuple[str, str], list[dict]]:
    """(config, budget) -> the configs with published numbers.

    One of each word under the budget paper, one of each data set under the others.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    parse = common.parse

    def recorded(argument, **choices):
        chosen.update(choices)
        return parse(argument, **choices)

    found = collections.defaultdict(list)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "parse", recorded)
        for name in config_files.NAMES:
            chosen.clear()
            config_files.load(name, "")
            budgets = chosen.pop("budget", ())
            words = [f"{key}={value}" for key, values in chosen.items() for value in values]
            data = [word for word in words if word.startswith("data=")]
            for budget in budgets:
                for word in ("", *(words if budget == "paper" else data)):
                    _add(found[name, budget], name, f"{word},budget={budget}")
    return {key: configs for key, configs in found.items() if configs}


def _add(found: list[dict], name: str, words: str) -> None:
    """Adds the config if it has numbers; some words go with each other only."""
    try:
        config = config_files.load(name, words)
    except ValueError:
        return
    if any((config["published"] or {}).values()):
        found.append(config)


def numbers(config):
    """(key of an evaluation, its block, {tap: number}) where there are numbers."""
    for key, published in config["published"].items():
        if published:
            yield key, config["evals"][key], published


def test_tables_of_papers_are_there(with_numbers):
    names = {name for name, budget in with_numbers if budget == "paper"}
    assert {"dim_cifar10", "dim_stl10", "vae", "amdim_stl10", "exemplar", "simclr"} <= names
    assert {"cpc_strided", "dim_strided", "shiftmnist", "gan", "supervised"} <= names
    assert sum(map(len, with_numbers.values())) > 100


def test_numbers_are_of_the_trained_encoder_at_taps_that_are_judged(with_numbers):
    for configs in with_numbers.values():
        for config in configs:
            assert config["published_source"]
            for _, spec, published in numbers(config):
                assert "trained" in spec.get("representations", ("trained",))
                taps = spec.get("taps") or discovery.load(spec["name"]).taps
                judged = {place for place in published if "/" not in place}  # not of samples
                assert not taps or judged <= {*taps}


def test_under_the_budget_paper_the_protocol_is_the_papers_or_the_difference_is_said(with_numbers):
    for (name, budget), configs in with_numbers.items():
        for config in configs if budget == "paper" else ():
            for key, spec, _ in numbers(config):
                protocol = spec.get("protocol", "")
                as_published = (
                    "paper" in protocol
                    or protocol.startswith(NAMED)
                    or spec["name"] in WITHOUT_PROTOCOL
                )
                assert as_published or config["published_differs"], (name, key, protocol)


def test_smaller_budgets_say_that_budget_and_protocol_are_others(with_numbers):
    for (name, budget), configs in with_numbers.items():
        for config in configs if budget != "paper" else ():
            text = config["published_differs"]
            assert text.endswith(".") and f"budget={budget}" in text, name
            assert not {spec.get("protocol") for spec in config["evals"].values()} & {
                *evaluations.SMALLER
            }
            protocols = {spec.get("protocol") for _, spec, _ in numbers(config)}
            for protocol in protocols & {*evaluations.SMALLER.values()} - {"linear-v1", "svm-v1"}:
                assert protocol in text, (name, text)


def test_protocols_of_smaller_budgets_exist_beside_those_they_replace():
    known = [discovery.load(name).protocols or {} for name in discovery.names()]
    for large, small in evaluations.SMALLER.items():
        assert any({large, small} <= {*protocols} for protocols in known), large


def test_the_published_probe_has_no_controls_and_ours_has_them():
    paper, short = (config_files.load("dim_cifar10", budget) for budget in ("paper", "cpu"))
    judged = dict(name="mlp", protocol="mlp-paper-v1", taps=("conv", "fc", "y"))
    assert paper["evals"]["mlp_paper"] == judged | dict(representations=("trained",))
    assert paper["evals"]["mlp"] == short["evals"]["mlp"] == dict(name="mlp", protocol="mlp-v1")
    assert short["published"] == {"mlp": paper["published"]["mlp_paper"]}
    assert {*paper["evals"]} - {*short["evals"]} == {"mlp_paper"}
    assert paper["published_differs"] == ""
    assert short["published_differs"] == (
        "Nearest to how they were measured is budget=paper, with mlp-paper-v1; budget=cpu has 10 "
        "epochs in place of 1,000, smaller networks (local_critic), other learning rates, mlp-v1."
    )


def test_notes_of_a_config_stay_in_smaller_budgets():
    words = "stl10,judged=cifar10,budget="
    paper, short = (
        config_files.load("exemplar", f"{words}{budget}") for budget in ("paper", "cpu")
    )
    assert short["published_differs"].startswith(f"{paper['published_differs']} Nearest to")


def test_smaller_budgets_say_what_else_is_not_as_published():
    words = "data=stl10,judged=cifar10,budget=smoke"
    text = config_files.load("exemplar", words)["published_differs"]
    assert text.endswith(
        "budget=smoke has 2 epochs in place of 1,600, batches of 64 in place of 128, fewer images, "
        "other networks (encoder), other optimizers, method.classes=256."
    )
    nat = config_files.load("nat", "budget=cpu")["published_differs"]
    assert nat.endswith("other learning rates, method.method.every=1, mlp-v1.")
    supervised = config_files.load("supervised", "budget=long")["published_differs"]
    assert supervised.endswith("batches of 256 in place of 64, other learning rates.")


def test_settings_of_baselines_that_no_paper_prints_are_said():
    for name, words, said in (
        ("supervised", "budget=paper", "length of 100 epochs is ours"),
        ("vae", "beta_vae", "weight of the KL divergence, 0.5, is from memory"),
        ("nat", "inputs=gradients", "whether the published encoder saw colours or derivatives"),
    ):
        assert said in config_files.load(name, words)["published_differs"]
    assert config_files.load("vae", "budget=paper")["published_differs"] == ""
