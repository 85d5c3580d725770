"""What a package is expected to have: a command, a version, types, forms that parse."""

import importlib.metadata
import pathlib
import re
import tomllib

import pytest
import yaml

import dim_jax
from dim_jax import main

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
INPUTS = {"input", "textarea", "dropdown", "checkboxes", "markdown"}


def command():
    (found,) = importlib.metadata.entry_points(group="console_scripts", name="dim-jax")
    return found


def test_the_command_is_main():
    assert command().load() is main.main


def test_the_command_returns_its_exit_code(monkeypatch, capsys):
    """A console script exits with what its function returns, and passes no arguments."""
    monkeypatch.setattr("sys.argv", ["dim-jax", "--help"])
    assert command().load()() == 0
    assert capsys.readouterr().out == main.__doc__ + "\n"
    assert main.__doc__.startswith("dim-jax --config ")
    assert "`python -m dim_jax.main` is the same command" in main.__doc__
    monkeypatch.setattr("sys.argv", ["dim-jax", "--config=nowhere.py"])
    assert command().load()() == 2
    assert capsys.readouterr().err.startswith("dim_jax: the config file 'nowhere.py'")


def test_the_version_is_the_newest_of_the_changelog():
    versions = re.findall(r"^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.M)
    assert versions[0][0] == dim_jax.__version__ == importlib.metadata.version("dim-jax")
    assert [date for _, date in versions] == sorted((date for _, date in versions), reverse=True)


def test_types_are_packaged():
    assert (ROOT / "dim_jax" / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["dim_jax"]


def test_every_folder_of_the_package_is_packaged():
    """`packages.find` leaves out a folder without __init__.py."""
    for path in (ROOT / "dim_jax").rglob("*.py"):
        assert (path.parent / "__init__.py").is_file(), path


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms(path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form["blank_issues_enabled"] in (True, False)
        return
    assert {"name", "description", "body"} <= form.keys()
    identifiers = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(identifiers) == len(set(identifiers))
    for field in form["body"]:
        assert field["type"] in INPUTS
        assert field["attributes"].get("label") or field["type"] == "markdown"


def test_the_workflow_runs_what_contributors_run():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert any(".ci/run" in step.get("run", "") for step in job["steps"])
    low, high = re.findall(r"3\.(\d+)", PROJECT["project"]["requires-python"])
    tested = [int(version.removeprefix("3.")) for version in job["strategy"]["matrix"]["python"]]
    assert (min(tested), max(tested)) == (int(low), int(high) - 1)


def test_pre_commit_hooks():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["id"] for hook in repository["hooks"]} == {"ruff-check", "ruff-format"}


def test_links_of_the_guides_lead_somewhere():
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text()):
            assert target.startswith("https://") or (ROOT / target).is_file(), f"{name}: {target}"
