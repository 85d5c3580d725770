"""Every network, method, prior and bound that a config can name stands in one under some words."""

import itertools
import math

import config_files
import pytest

from configs import common
from dim_jax import build, settings

# Those that no words reach, each with the reason.
NOT_REACHED = {
    "nets.encoders.real_nvp": "keeps all information of the pixels, so it is no encoder to "
    "train for features, but a control for code of users",
}
MOST = 70  # combinations of the words of a config that are all made


def functions(role: str) -> dict[str, str]:
    """{name: "room.module.name"} of a role; the same network of several roles has one such path."""
    if role == "method":
        return {name: f"methods.{name}" for name in build.names(role)}
    return {
        name: f"{function.__module__.removeprefix('dim_jax.')}.{function.__name__}"
        for name, function in build.names(role).items()
    }


def named(block, role="method") -> set[tuple[str, str]]:
    """(role, name) of a method's block and of those in it."""
    found = {(role, block["name"])} if role in build.ROLES else set()
    for key, value in block.items():
        if isinstance(value, dict):
            found |= named(value, key)
        elif key in build.ROLES and isinstance(value, str):
            found.add((key, value))
    return found


def configs_of(file: str, monkeypatch):
    """The configs of a file with all of its words; of many words, with one changed at a time."""
    offered = {}
    parse = common.parse

    def recording(argument, **choices):
        offered.update(choices)
        return parse(argument, **choices)

    with monkeypatch.context() as patch:
        patch.setattr(common, "parse", recording)
        yield config_files.load(file, "")
    yield from filter(None, (load(file, words) for words in combinations(offered)))


def combinations(offered):
    changes = [[f"{key}={value}" for value in values] for key, values in offered.items()]
    if math.prod(map(len, changes)) > MOST:
        return [one for words in changes for one in words[1:]]
    return [",".join(each) for each in itertools.product(*changes)]


def load(file: str, words: str):
    """The config, None for words that exclude each other."""
    try:
        return config_files.load(file, words)
    except settings.UserError:
        return None


@pytest.fixture(scope="module")
def reached():
    tables, paths = {role: functions(role) for role in build.ROLES}, set()
    with pytest.MonkeyPatch.context() as patch:
        for file in config_files.NAMES:
            for config in configs_of(file, patch):
                paths |= {tables[role][name] for role, name in named(config["method"])}
    return paths


def test_what_no_words_of_any_config_reach(reached):
    everything = {path for role in build.ROLES for path in functions(role).values()}
    assert everything - reached == set(NOT_REACHED)
