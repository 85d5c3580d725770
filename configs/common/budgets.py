"""The smaller budgets of a config, as changes of its published setting."""

import functools
from collections.abc import Mapping
from typing import Any

import ml_collections

BUDGETS = ("paper", "cpu", "smoke")
SMALL_ENCODER = {"encoder.width": 4, "encoder.hidden": 32, "encoder.features": 8}  # of `smoke`


def budgeted(
    config: ml_collections.ConfigDict, budget: str, **changes: Mapping[str, Any]
) -> ml_collections.ConfigDict:
    """The config with the changes of a budget, {"train.epochs": 10, ...}; `paper` has none.

    Raises: KeyError for a key that the config does not have.
    """
    for key, value in changes.get(budget, {}).items():
        *parents, last = key.split(".")
        block = functools.reduce(lambda block, name: block[name], parents, config)
        if last not in block:
            raise KeyError(f"the config has no key '{key}'")
        block[last] = value
    return config


def under(prefix: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a block as changes of what contains it: their keys after `prefix`."""
    return {f"{prefix}.{key}": value for key, value in changes.items()}


def faster(*players: str, learning_rate: float = 1e-3) -> dict[str, Any]:
    """Changes of Adam for short runs: a rate, unless given 1e-3, that falls to 0. Ours."""
    decay = dict(name="cosine", warmup_epochs=0.0)
    changes = {"learning_rate": learning_rate, "schedule": decay}
    return {f"players.{name}.{key}": value for name in players for key, value in changes.items()}
