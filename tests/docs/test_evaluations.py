"""docs/evaluations.md has every evaluation, its options, and every protocol with its settings."""

import inspect
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dim_jax.evaluate import kinds, protocols, suite

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "evaluations.md"
TEXT = PAGE.read_text(encoding="utf-8")
KINDS = {type(settings) for settings in protocols.PROTOCOLS.values()}


def flat(settings: tuple, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a protocol, those of a nested one with dots."""
    for name, value in settings._asdict().items():
        if hasattr(value, "_fields"):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def table(kind: type) -> str:
    """The protocols of a kind as a Markdown table, one column for each."""
    found = {
        name: dict(flat(settings))
        for name, settings in protocols.PROTOCOLS.items()
        if type(settings) is kind
    }
    columns = [*next(iter(found.values()))]
    lines = [("", *(f"`{name}`" for name in found)), ("---",) * (1 + len(found))]
    lines += [(f"`{key}`", *(f"{values[key]}" for values in found.values())) for key in columns]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def section(name: str) -> str:
    """The part of the page below the heading of an evaluation."""
    found = re.search(rf"^### [^\n]*`{name}`[^\n]*\n(.*?)(?=^##)", TEXT, re.S | re.M)
    assert found, f"no heading with `{name}`"
    return " ".join(found[1].split())


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__))
def test_protocols_of_a_kind_stand_there_with_all_settings(kind):
    assert table(kind) in TEXT


def test_every_kind_has_a_protocol_or_is_a_part_of_one():
    every = {kind for _, kind in inspect.getmembers(kinds, inspect.isclass)}
    assert {kind for kind in every if hasattr(kind, "_fields")} - KINDS == {kinds.CriticFit}


@pytest.mark.parametrize("name", suite.names())
def test_an_evaluation_has_a_section_with_its_options(name):
    module = suite._module(name)
    text = section(name)
    common = {"protocol", "taps", "classes", "labels_per_class", "subsets", "permuted", "views"}
    for option in [*inspect.signature(module.evaluate).parameters][3:]:
        assert option in common or f"`{option}`" in text, option
    words = {"all": "all representations", "encoders": "encoders", "trained": "the trained encoder"}
    assert words[module.REPRESENTATIONS] in text
    assert ("labels needed" in text) == module.NEEDS_LABELS
    for tap in module.TAPS:
        assert f"`{tap}`" in text, tap
