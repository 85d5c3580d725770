"""docs/configuration.md names every key of every config, with the defaults of the code."""

import pathlib
import re

import pytest

from dim_jax import commandline

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.py"))
BLOCKS = ("data", "augment", "players", "train", "evals")


def tables(block: str) -> str:
    """The section of a block, from its target to the next section's."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    return text.partition(f"(configuration-{block})=")[2].partition("\n(configuration-")[0]


def described(block: str) -> dict[str, str]:
    """{key: its default} of the section's tables."""
    found = {}
    for line in tables(block).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for key in re.findall(r"`(\w+)`", cells[0]):
            found[key] = cells[2].strip("`") if len(cells) == 4 else ""
        if block == "players" and len(cells) == 3:  # of the schedules, and their arguments
            found |= dict.fromkeys(re.findall(r"`(\w+)`", cells[1]), "")
    return found


@pytest.fixture
def config(request, monkeypatch):
    monkeypatch.chdir(ROOT)
    return commandline.parse(["main.py", f"--config=configs/{request.param}:smoke"]).config


@pytest.mark.parametrize("config", CONFIGS, indirect=True)
def test_every_key_is_described(config):
    keys = {"top": config, **{block: config[block] for block in ("data", "augment", "train")}}
    keys["players"] = [
        *(key for spec in config["players"].values() for key in spec),
        *(key for spec in config["players"].values() for key in spec["schedule"]),
    ]
    keys["evals"] = [key for spec in config["evals"].values() for key in spec]
    for block, names in keys.items():
        assert set(names) <= described(block).keys(), block
    assert set(config["players"]) <= set(re.findall(r"`(\w+)`", tables("players")))


@pytest.mark.parametrize("config", ["quickstart.py"], indirect=True)
@pytest.mark.parametrize("block", ["top", "data", "augment", "train"])
def test_defaults_are_those_of_the_code(config, block):
    values = config if block == "top" else config[block]
    own = {"image_size", "published_data"}  # of the quick start: it enlarges the digits
    for key, default in described(block).items():
        if default and key not in own:
            assert default == repr(values[key]), key
