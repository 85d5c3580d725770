"""Every Python block of README.md and docs/ runs, and every command line in them is valid."""

import argparse
import pathlib
import re
import runpy
import shlex
from functools import partial

import jax
import numpy as np
import pytest

from dim_jax import commandline, contracts, profiling
from dim_jax.compare import command as compare_command
from dim_jax.encoder import command as encoder_command
from dim_jax.evaluate.encoders import command as evaluate_command
from dim_jax.mi import command
from experiments import table

ROOT = pathlib.Path(__file__).parent.parent.parent
MADE = ("_build", "_generated", "jupyter_execute")
PAGES = [
    "README.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if not set(path.parts) & {*MADE}
    ),
]
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.S | re.M)
_BASH = re.compile(r"^```bash\n(.*?)^```", re.S | re.M)
_COMMAND = re.compile(r"python -m (dim_jax\.\w+|experiments\.\w+)(.*)")


class Parsed(Exception):
    """Raised where a command would start to work."""


def blocks(page: str) -> list[str]:
    return _PYTHON.findall((ROOT / page).read_text())


def commands(page: str) -> list[tuple[str, list[str]]]:
    """(module, arguments) of every command in a Bash block."""
    text = (ROOT / page).read_text()
    lines = [re.sub(r"\\\n\s*", "", block) for block in _BASH.findall(text)]
    return [
        (module, shlex.split(_alone(arguments), comments=True))
        for block in lines
        for module, arguments in _COMMAND.findall(block)
    ]


def _alone(arguments: str) -> str:
    """The arguments without what ends a command: `&`, or the quote that it stands in."""
    arguments = arguments.rstrip(" &")
    return arguments.removesuffix('"') if arguments.count('"') % 2 else arguments


def small(code: str) -> str:
    """The code with its large batch in a small form."""
    return code.replace("65_536", "512")


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_python_runs(page, monkeypatch):
    """One block after the other, in one namespace."""
    monkeypatch.chdir(ROOT)
    names = {"__name__": "snippets"}
    for code in blocks(page):
        exec(compile(small(code), page, "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_commands_are_valid(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for module, arguments in commands(page):
        with monkeypatch.context() as patch:
            check(module, arguments, patch)


def check(module: str, arguments: list[str], monkeypatch) -> None:
    """Fails unless the command line is understood; nothing is run."""
    package, _, name = module.partition(".")
    if module == "dim_jax.main":
        commandline.parse(["main.py", *arguments])
    elif module == "dim_jax.encoder":
        monkeypatch.setattr(encoder_command.loading, "load_encoder", refuse)
        assert encoder_command.main(arguments) == 2
    elif module == "dim_jax.profiling":
        monkeypatch.setattr(profiling, "operations", refuse)
        assert profiling.main(arguments) == 2
    elif module == "dim_jax.compare":
        with pytest.raises(Parsed):
            compare_command.run(arguments, parsed)
    elif module == "dim_jax.evaluate":
        with pytest.raises(Parsed):
            evaluate_command.run(arguments, parsed)
    elif module == "dim_jax.mi":
        monkeypatch.setattr(command.files, "read", lambda *_, **__: {"a": []})
        monkeypatch.setattr(command.outputs, "check", refuse_nothing)
        with pytest.raises(Parsed):
            command.run(arguments, parsed)
    else:
        assert package == "experiments", module
        check_experiment(ROOT / "experiments" / f"{name}.py", arguments, monkeypatch)


def refuse(*_):
    raise contracts.UserError("a command that is only parsed")


def refuse_nothing(*_):
    """In the place of a check of what is on the disk."""


def check_experiment(path: pathlib.Path, arguments: list[str], monkeypatch) -> None:
    """Starts the file up to where it has read its arguments."""
    text = path.read_text()
    if "table.main(" in text:
        monkeypatch.setattr(table, "run", parsed)
    elif any(call in text for call in ("argparse", "table.budget(", "table.options(")):
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    else:
        assert len(arguments) <= text.count("sys.argv[")
        return
    monkeypatch.setattr("sys.argv", [path.name, *arguments])
    with pytest.raises(Parsed):
        runpy.run_path(str(path), run_name="__main__")


_PARSE = argparse.ArgumentParser.parse_args


def parse_only(parser: argparse.ArgumentParser):
    _PARSE(parser)
    raise Parsed


def parsed(*_, **__):
    raise Parsed


def test_the_same_step_on_one_and_on_many_devices():
    """The guide's claim: pmap and shard_map give the value and the update of plain jit."""
    names = {"__name__": "snippets"}
    for code in blocks("docs/how-to/bounds_in_a_step.md"):
        exec(compile(small(code), "bounds_in_a_step.md", "exec"), names)
    params, x, y = names["params"], names["x"], names["y"]
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)

    def loss(params):
        return -names["bounds"].infonce(names["bounds"].dot(*names["encode"](params, x, y)))

    value, gradient = jax.value_and_grad(loss)(params)
    expected = names["update"](params, gradient)
    sharded, nats = names["sharded_step"](params, x, y)
    np.testing.assert_allclose(nats, -value, rtol=1e-4)
    jax.tree.map(close, sharded, expected)
    parts = [part.reshape(8, -1, *part.shape[1:]) for part in (x, y)]
    pmapped, nats = jax.device_get(
        jax.pmap(names["device_step"], axis_name="data", in_axes=(None, 0, 0))(params, *parts)
    )
    np.testing.assert_allclose(nats, -np.full(8, value), rtol=1e-4)
    jax.tree.map(close, jax.tree.map(lambda leaf: leaf[0], pmapped), expected)
