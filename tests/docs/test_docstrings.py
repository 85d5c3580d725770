"""Docstrings, which are plain text, become reStructuredText that shows the same."""

import ast
import importlib.util
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
PATH = ROOT / "docs" / "_extensions" / "docstrings.py"
MODULES = sorted((ROOT / "dim_jax").rglob("*.py"))
_SPEC = importlib.util.spec_from_file_location("docstrings", PATH)
docstrings = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(docstrings)


def test_sections_become_fields():
    text = "Value.\n\nArgs:\n  a: first,\n    more of it.\n  *b, c: others.\nReturns: f32[n].\n"
    assert docstrings.converted(text) == (
        "Value.\n\n:param a: first, more of it.\n:param \\*b, c: others.\n:Returns: f32\\[n\\].\n"
    )


def test_text_after_the_sections_is_kept():
    converted = docstrings.converted("Value.\n\nArgs:\n  a: first.\n\nMore text.")
    assert "More text." in converted and converted.rstrip().endswith(":param a: first.")


@pytest.mark.parametrize("text", ["|x|^2 of a*b_ and `c`s", "a_ <b> [c]_ :d: \\n"])
def test_nothing_but_backticks_means_anything(text):
    core = pytest.importorskip("docutils.core")
    shown = core.publish_doctree(docstrings.plain(text)).astext()
    assert shown == text.replace("`", "")


def test_indented_lines_are_kept():
    assert docstrings.converted("Is\n\n    a = b\n      + c\n\nthat.") == (
        "Is\n\n::\n\n    a = b\n      + c\n\nthat.\n\n\n"
    )


def test_aligned_lines_are_terms():
    converted = docstrings.converted(
        "Of:\n\n    one    first,\n           more\n    three  third\n"
    )
    assert "``one``\n    first, more\n\n``three``\n    third" in converted


def test_hanging_lines_are_items():
    converted = docstrings.converted("Of.\n\ninit(x) -> y\nloss(x) -> z,\n    of all\n")
    assert "* init(x) -\\> y\n* loss(x) -\\> z, of all" in converted


def test_tables():
    converted = docstrings.converted("Of.\n\n| a | b |\n| --- | --- |\n| 1 | x \\| y |\n")
    assert ".. list-table::" in converted and "     - x \\| y" in converted


@pytest.fixture(params=MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def module_path(request):
    return request.param


def test_module_docstrings_name_what_a_module_holds(module_path):
    """The head is a noun phrase in the terms of the field, not a question."""
    head = (ast.get_docstring(ast.parse(module_path.read_text())) or "").partition(" ")[0]
    assert head not in {"What", "How", "Which", "Where", "Whether", "Whose"}, module_path


def test_numbers_are_said_plainly(module_path):
    """ "The number of ..." or "at most n"."""
    assert not re.findall(r"\bso\s+many\b", module_path.read_text()), module_path


@pytest.mark.parametrize("package", ["encoder", "generator"])
def test_functions_that_only_the_package_names_are_on_its_page(package):
    """Without the option a page shows what a module defines, which of these is nothing."""
    text = (ROOT / "docs" / "api" / "top.md").read_text()
    assert f"automodule:: dim_jax.{package}\n   :members:\n   :imported-members:\n" in text
