"""The smaller budgets of a config, as changes of its published setting."""

import functools
from collections.abc import Mapping
from typing import Any

import ml_collections

from configs.common import differences, evaluations

BUDGETS = ("paper", "cpu", "smoke")
LONG_BUDGETS = ("paper", "long", "cpu", "smoke")  # of configs with a recipe for hours on two cores
# Ours: an hour or two on two cores. Several batches of 64 a step, as steps of larger batches take
# less time for each image; their rate is that of `longer`.
LONG = {
    **{"train.batch_size": 256, "train.epochs": 60, "train.steps_per_dispatch": 39},
    "train.save_epochs": 1,
}
SMALL_ENCODER = {"encoder.width": 4, "encoder.hidden": 32, "encoder.features": 8}  # of `smoke`


def budgeted(
    config: ml_collections.ConfigDict, budget: str, **changes: Mapping[str, Any]
) -> ml_collections.ConfigDict:
    """The config with the changes of a budget, {"train.epochs": 10, ...}; `paper` has none.

    Budgets other than `paper` also have the protocols of `evaluations.SMALLER`, and say of
    published numbers what is not as published.

    Raises: KeyError for a key that the config does not have.
    """
    old = {}
    for key, value in changes.get(budget, {}).items():
        *parents, last = key.split(".")
        block = functools.reduce(lambda block, name: block[name], parents, config)
        if last not in block:
            raise KeyError(f"the config has no key '{key}'")
        old[key] = block[last]
        block[last] = value
    if budget != "paper":
        described = differences.describe(old, changes.get(budget, {}))
        evaluations.shorten(config, budget, described)
    return config


def under(prefix: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a block as changes of what contains it: their keys after `prefix`."""
    return {f"{prefix}.{key}": value for key, value in changes.items()}


def faster(
    *players: str, learning_rate: float = 1e-3, warmup_epochs: float = 0.0
) -> dict[str, Any]:
    """Changes of Adam for short runs: a rate, unless given 1e-3, that falls to 0. Ours."""
    decay = dict(name="cosine", warmup_epochs=warmup_epochs)
    changes = {"learning_rate": learning_rate, "schedule": decay}
    return {f"players.{name}.{key}": value for name in players for key, value in changes.items()}


def longer(*players: str, learning_rate: float = 1.5e-3) -> dict[str, Any]:
    """Changes of Adam for the budget `long`: `faster` after one epoch of warm-up. Ours."""
    return faster(*players, learning_rate=learning_rate, warmup_epochs=1.0)
