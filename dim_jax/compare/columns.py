"""Columns of a comparison: the runs of one setting, and the settings in which columns differ."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dim_jax import settings
from dim_jax.compare.run_files import Run

ABSENT = "absent"  # the value of a setting that a config lacks


class Column(NamedTuple):
    """Runs that differ in their seed alone, and in settings of the machine."""

    name: str
    runs: tuple[Run, ...]

    @property
    def finished(self) -> tuple[Run, ...]:
        """Those that have results."""
        return tuple(run for run in self.runs if run.results is not None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of every run."""
        return tuple(run.seed for run in self.runs)


def of(runs: Sequence[Run]) -> tuple[Column, ...]:
    """The columns of some runs, in the order of their first ones.

    Runs whose data differ share no column, even if their settings are equal.
    """
    groups: list[tuple[str, list[Run]]] = []
    for run in runs:
        values = _comparable(_decisive(run))
        for there, group in groups:
            if there == values and all(_is_of_same_data(run, other) for other in group):
                group.append(run)
                break
        else:
            groups.append((values, [run]))
    columns: list[Column] = []
    for _, group in groups:
        taken = [column.name for column in columns]
        columns.append(Column(_shared_name([run.name for run in group], taken), tuple(group)))
    return tuple(columns)


def differences(columns: Sequence[Column]) -> dict[str, tuple[Any, ...]]:
    """The settings that differ, by their key: the value in every column.

    Of a block that some columns lack, and that is the same in the others, its name alone.
    """
    each = [_decisive(column.runs[0]) for column in columns]
    values = {
        key: tuple(one.get(key, ABSENT) for one in each)
        for key in dict.fromkeys(key for one in each for key in one)
    }
    differing = {key: row for key, row in values.items() if len({*map(_comparable, row)}) > 1}
    return {key: row for key, row in differing.items() if not _is_told_by_name(key, differing)}


def _is_told_by_name(key: str, values: Mapping[str, tuple[Any, ...]]) -> bool:
    """Whether the name of a setting's block is absent in the same columns and tells the rest."""
    block, _, last = key.rpartition(".")
    name, row = values.get(f"{block}.name"), values[key]
    if last == "name" or name is None or ABSENT not in row:
        return False
    is_lacked = [[value == ABSENT for value in each] for each in (name, row)]
    there = {_comparable(value) for value in row if value != ABSENT}
    return is_lacked[0] == is_lacked[1] and len(there) == 1


def _is_of_same_data(one: Run, other: Run) -> bool:
    """Whether nothing that both runs say of their data differs."""
    if one.data and other.data and one.data != other.data:
        return False
    facts = [
        [run.results["run"].get(key) for key in ("dataset", "train_examples", "test_examples")]
        for run in (one, other)
        if run.results is not None
    ]
    return len(facts) < 2 or facts[0] == facts[1]


def _decisive(run: Run) -> dict[str, Any]:
    """The settings on which the training or its results depend, but for the seed."""
    return {
        key: value
        for key, value in run.settings.items()
        if settings.scope(key) != "machine" and key != "seed" and not key.startswith("published")
    }


def _comparable(value: Any) -> str:
    """The value as text, with every number as a float: 1 and 1.0 are one setting."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


def _shared_name(names: Sequence[str], taken: Sequence[str]) -> str:
    """The start that the names of a column share, without a word like "seed" at its end."""
    if len(names) == 1:
        return names[0]
    shared = itertools.takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False))
    start = "".join(letters[0] for letters in shared)
    start = re.sub(r"[\W_]*(seed|s)?[\W_]*\d*$", "", start)
    return start if start and start not in taken else f"{names[0]} + {len(names) - 1}"
