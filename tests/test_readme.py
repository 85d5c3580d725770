"""The README's code runs, its commands parse, and its results are those of the files."""

import json
import re

import pytest

from dim_jax import commandline
from experiments import readme

TEXT = readme.README.read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)
COMMANDS = re.findall(r"python -m dim_jax\.main (.*)", TEXT)


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs(code):
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert float(names["nats"]) <= 3.4658  # log 32


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_parse(arguments, monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    commandline.parse(["main.py", *arguments.split()])


def test_results_are_generated():
    start = TEXT.index(readme.BEGIN) + len(readme.BEGIN)
    assert TEXT[start : TEXT.index(readme.END)] == readme.section()


def test_results_files_name_device_seeds_and_steps():
    for name in readme.SECTIONS:
        path = readme.table.RESULTS / f"{name}.json"
        for row in json.loads(path.read_text())["rows"]:
            assert row["device"] and row["seeds"] and row["steps"] > 0 and row["commit"], path
