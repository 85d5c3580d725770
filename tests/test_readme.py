"""The README's code runs, its commands parse, and its results are those of the files."""

import json
import re
from functools import partial

import jax
import numpy as np
import pytest

from dim_jax import commandline
from experiments import readme, readme_results

TEXT = readme.README.read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)
COMMANDS = re.findall(r"python -m dim_jax\.main (--.*)", re.sub(r"\\\n\s*", "", TEXT))


def test_python_runs():
    """All of it, one block after the other, the large batch in a small form."""
    names = {}
    for code in PYTHON:
        names["nats"] = None
        exec(compile(code.replace("65_536", "512"), "README.md", "exec"), names)
        assert np.all(np.asarray(names["nats"]) <= np.log(512)), code
    assert len(PYTHON) == 4


def test_the_same_step_on_one_and_on_many_devices():
    """The README's claim: pmap and shard_map give the value and the update of plain jit."""
    names = {}
    for code in PYTHON[:3]:
        exec(compile(code, "README.md", "exec"), names)
    params, x, y = names["params"], names["x"], names["y"]

    def loss(params):
        return -names["bounds"].infonce(names["bounds"].dot(*names["encode"](params, x, y)))

    value, gradient = jax.value_and_grad(loss)(params)
    expected = names["update"](params, gradient)
    sharded, nats = names["sharded_step"](params, x, y)
    np.testing.assert_allclose(nats, -value, rtol=1e-4)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), sharded, expected)
    pmapped, nats = jax.device_get(
        jax.pmap(names["device_step"], axis_name="data", in_axes=(None, 0, 0))(
            params, *names["split"]
        )
    )
    np.testing.assert_allclose(nats, -np.full(8, value), rtol=1e-4)
    first = jax.tree.map(lambda x: x[0], pmapped)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), first, expected)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_parse(arguments, monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    commandline.parse(["main.py", *arguments.rstrip(' &"').split()])


@pytest.mark.parametrize("name", readme.GENERATED)
def test_sections_are_generated(name):
    assert readme.parts(TEXT, name)[1] == readme.GENERATED[name]()


def test_results_files_name_device_seeds_and_steps():
    for name in readme_results.TITLES:
        path = readme.table.RESULTS / f"{name}.json"
        for row in json.loads(path.read_text())["rows"]:
            assert row["device"] and row["seeds"] and row["steps"] > 0 and row["commit"], path
