"""docs/bounds.md has a section for every estimator, whose label is that of its facts."""

import pathlib
import re

import pytest

from dim_jax import bounds
from dim_jax.bounds import labels

TEXT = (pathlib.Path(__file__).parent.parent.parent / "docs" / "bounds.md").read_text()
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", TEXT, re.S | re.M))


def test_sections_are_those_of_the_estimators_in_their_order():
    assert [*SECTIONS] == [estimator.__name__ for estimator in bounds.ESTIMATORS]


@pytest.mark.parametrize("estimator", bounds.ESTIMATORS, ids=lambda estimator: estimator.__name__)
def test_a_section_has_formula_reference_source_and_the_label_of_the_facts(estimator):
    text = SECTIONS[estimator.__name__]
    assert text.count("$$") >= 2
    assert f"{{py:func}}`dim_jax.bounds.{estimator.__name__}` {{cite:p}}`" in text
    assert "**Use it**" in text and "**Do not use it**" in text
    (label,) = re.findall(r"^- \*\*Label:\*\* (.*?)\.$", text, re.S | re.M)
    label = re.sub(r"[$\\]", "", " ".join(label.split()).replace(r"\mid", "|"))
    kind, *_ = label.split("; ")
    for facts, row in zip(estimator.facts, labels.rows([estimator]), strict=True):
        assert kind == row[labels.HEADER.index("one batch, in expectation")]
        ceiling = facts.ceiling.text
        assert ("no ceiling" if ceiling == "none" else f"ceiling {ceiling}") in label
        assert label.endswith(f"; batch value {facts.batch}")


def test_what_is_cited_is_in_the_bibliography():
    entries = (pathlib.Path(__file__).parent.parent.parent / "docs" / "references.bib").read_text()
    cited = ",".join(re.findall(r"\{cite:[pt]\}`([^`]+)`", TEXT)).split(",")
    assert {*cited} <= {*re.findall(r"^@\w+\{(\w+),", entries, re.M)}
