"""Numbers, settings and columns of a comparison as text, for the terminal and the page."""

import json
from collections.abc import Mapping
from typing import Any

from dim_jax.compare.columns import ABSENT, Column
from dim_jax.compare.measures import Cell, Line

MISSING = "–"


def setting(value: Any) -> str:
    """The value of a setting; texts without quotes."""
    if value == ABSENT or isinstance(value, str):
        return MISSING if value == ABSENT else value
    return json.dumps(value, ensure_ascii=False)


def cell(line: Line, index: int, runs: int) -> tuple[str, str]:
    """The value and the spread of a line in a column, such as ("87.2", "±0.4").

    Args:
      runs: the number of finished runs in the column; another number of values is told.
    """
    entry = line.cells[index]
    if entry is None:
        return MISSING, ""
    count = "" if len(entry.values) == runs else f" ({len(entry.values)})"
    return line.text(entry), _spread(line, entry) + count


def _spread(line: Line, entry: Cell) -> str:
    deviation = entry.fit_deviation if entry.deviation is None else entry.deviation
    if deviation is None:
        return ""
    return f"±{100 * deviation:.1f}" if line.is_share else f"±{deviation:.2g}"


def seeds(column: Column) -> str:
    """Such as "3 seeds: 0, 1, 2"; "seed 0" of a single run."""
    if len(column.seeds) == 1:
        return f"seed {column.seeds[0]}"
    return f"{len(column.seeds)} seeds: {', '.join(map(str, column.seeds))}"


def spread_meaning(lines: tuple[Line, ...]) -> str:
    """The sentence on ±, for the kinds of deviations that the lines have; empty without any."""
    cells = [entry for line in lines for entry in line.cells if entry is not None]
    kinds: Mapping[str, bool] = {
        "over the runs of a column that has several": any(
            entry.deviation is not None for entry in cells
        ),
        "over fits or subsets of labels where a column has one run": any(
            entry.deviation is None and entry.fit_deviation is not None for entry in cells
        ),
    }
    words = [kind for kind, is_there in kinds.items() if is_there]
    return f"± is the standard deviation {', and '.join(words)}." if words else ""
