"""A method and a config of another project: those of the guide, as files outside of this one."""

import pathlib
import re
import sys

import pytest

import dim_jax
from dim_jax import build, commandline, contracts, main

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "how-to" / "add_a_method.md"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder, with the package `rotations` of the guide's blocks."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    (tmp_path / "rotations").mkdir()
    for name, start in (("method", '"""Rotations'), ("config", "import ml_collections")):
        (text,) = (block for block in blocks if block.startswith(start))
        (tmp_path / "rotations" / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path / "rotations"
    for name in [name for name in sys.modules if name.partition(".")[0] == "rotations"]:
        del sys.modules[name]


def test_the_files_of_the_guide_are_read(project):
    config = commandline.parse(["dim_jax", "--config=rotations/config.py"]).config
    assert build.make("method", config["method"]).per_example
    assert config["augment"]["views"] == 1 and config["seed"] == 0


@pytest.mark.slow
def test_a_run_of_the_guide(project, tmp_path, capsys):
    command = ["dim_jax", "--config=rotations/config.py", f"--workdir={tmp_path}/run"]
    assert main.main([*command, "--config.train.batch_size=256"]) == 0
    assert "rotations.method" in capsys.readouterr().out
    assert dim_jax.load_encoder(tmp_path / "run").card["taps"]["y"] == [8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "method.py has no function make; add it"),
        (
            "def make():\n    return 3",
            "method 'rotations.method' returned int; return a dim_jax.",
        ),
        ("def make(*, rate: float): pass", "the method 'rotations.method' needs rate; set"),
    ],
)
def test_mistakes_in_a_method_file(text, message, project, monkeypatch):
    (project / "method.py").write_text(text)
    monkeypatch.syspath_prepend(project.parent)
    with pytest.raises(contracts.UserError, match=message):
        build.make("method", "rotations.method")


def test_a_network_of_another_project(project, monkeypatch):
    (project / "nets.py").write_text(
        "from dim_jax import build\n\n\ndef small(*, features: int):\n"
        "    return build.make('encoder', dict(name='linear', features=features))\n"
    )
    monkeypatch.syspath_prepend(project.parent)
    assert build.make("encoder", dict(name="rotations.nets.small", features=3)).apply
    with pytest.raises(contracts.UserError, match="features is 0; set it to 1 or a larger"):
        build.make("encoder", dict(name="rotations.nets.small", features=0))
    with pytest.raises(contracts.UserError, match=r"'rotations\.net\.small' is not there: no mo"):
        build.make("encoder", "rotations.net.small")


def test_an_import_that_fails_in_a_method_file_is_shown(project, monkeypatch):
    (project / "method.py").write_text("import nothing_there")
    monkeypatch.syspath_prepend(project.parent)
    with pytest.raises(ModuleNotFoundError, match="nothing_there"):
        build.make("method", "rotations.method")
