"""docs/evaluations.md has every evaluation, its options, and every protocol with its settings."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dim_jax.evaluate import discovery

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "evaluations.md"
TEXT = PAGE.read_text(encoding="utf-8")
FITTED = [name for name in discovery.names() if discovery.load(name).protocols]


def flat(settings: tuple, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a protocol, those of a nested one with dots."""
    for name, value in settings._asdict().items():
        if hasattr(value, "_fields"):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def table(evaluation: str) -> str:
    """The protocols of an evaluation as a Markdown table, one column for each."""
    protocols = discovery.load(evaluation).protocols
    found = {name: dict(flat(settings)) for name, settings in protocols.items()}
    columns = [*next(iter(found.values()))]
    lines = [("", *(f"`{name}`" for name in found)), ("---",) * (1 + len(found))]
    lines += [(f"`{key}`", *(f"{values[key]}" for values in found.values())) for key in columns]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def section(name: str) -> str:
    """The part of the page below the heading of an evaluation."""
    found = re.search(rf"^### [^\n]*`{name}`[^\n]*\n(.*?)(?=^##)", TEXT, re.S | re.M)
    assert found, f"no heading with `{name}`"
    return " ".join(found[1].split())


@pytest.mark.parametrize("name", FITTED)
def test_protocols_stand_there_with_all_settings(name):
    assert f"Of `{name}`:\n\n{table(name)}" in TEXT


@pytest.mark.parametrize("name", discovery.names())
def test_an_evaluation_has_a_section_with_its_options(name):
    evaluation = discovery.load(name)
    text = section(name)
    common = {"protocol", "taps", "classes", "labels_per_class", "subsets", "permuted", "views"}
    for option in evaluation.defaults:
        assert option in common or f"`{option}`" in text, option
    words = {"all": "all representations", "encoders": "encoders", "trained": "the trained encoder"}
    assert words[evaluation.representations] in text
    assert ("labels needed" in text) == evaluation.needs_labels
    for tap in evaluation.taps:
        assert f"`{tap}`" in text, tap
