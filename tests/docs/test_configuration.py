"""docs/configuration.md names every key of every config, with the defaults of the code."""

import pathlib
import re

import pytest

from dim_jax import commandline, settings
from experiments import fragments_settings, pages

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.py"))
PAGE = (ROOT / "docs" / "configuration.md").read_text()


def section(block: str) -> str:
    """The section of a block, from its target to the next section's."""
    return PAGE.partition(f"(configuration-{block})=")[2].partition("\n(configuration-")[0]


def keys(block: str) -> set[str]:
    """The keys that the tables of a section describe."""
    described = set()
    for line in section(block).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        described |= {*re.findall(r"`(\w+)`", cells[0])}
        if block == "players" and len(cells) == 3:  # of the schedules, and their arguments
            described |= {*re.findall(r"`(\w+)`", cells[1])}
    return described


@pytest.fixture
def config(request, monkeypatch):
    monkeypatch.chdir(ROOT)
    return commandline.parse(["main.py", f"--config=configs/{request.param}:smoke"]).config


@pytest.mark.parametrize("config", CONFIGS, indirect=True)
def test_every_key_is_described(config):
    players, evals = config["players"].values(), config["evals"].values()
    assert {key for spec in players for key in (*spec, *spec["schedule"])} <= keys("players")
    assert {key for spec in evals for key in spec} <= keys("evals")
    assert set(config["players"]) <= set(re.findall(r"`(\w+)`", section("players")))


@pytest.mark.parametrize("name", fragments_settings.BLOCKS)
def test_every_setting_is_in_a_table(name):
    section_of = {"root": "top"}.get(name, name)
    assert f"/_generated/settings/{name}.md" in section(section_of)
    table = pages.texts()[f"settings/{name}"]
    for each, setting in fragments_settings.BLOCKS[name].settings().items():
        (line,) = (line for line in table.splitlines() if line.startswith(f"| `{each}` |"))
        simple = isinstance(setting.default, int | float | str)
        default = f"| `{setting.default!r}` |" if simple else "|"
        assert default in line and setting.help in line
        if setting.scope == "machine":
            assert settings.scope(setting.key) == "machine" and "| yes |" in line
