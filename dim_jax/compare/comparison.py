"""Several runs side by side: what differs, the results, and what limits their comparison."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dim_jax.compare import columns, measures, remarks, run_files


class Comparison(NamedTuple):
    """Several runs side by side.

    settings: those that differ, by their key; the values of every column. lines: the results.
    notes: sentences on what limits the comparison.
    """

    columns: tuple[columns.Column, ...]
    settings: Mapping[str, tuple[Any, ...]]
    lines: tuple[measures.Line, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> tuple[run_files.Run, ...]:
        """All runs."""
        return tuple(run for column in self.columns for run in column.runs)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON has them, without the curves."""
        return {
            "columns": [
                {"name": column.name, "runs": [*map(_run_to_dict, column.runs)]}
                for column in self.columns
            ],
            "settings": {key: list(values) for key, values in self.settings.items()},
            "lines": [*map(_line_to_dict, self.lines)],
            "notes": list(self.notes),
        }


def runs(folders: Sequence[str | os.PathLike]) -> Comparison:
    """The comparison of the runs in some folders.

    Runs that differ in nothing but their seed, and in settings of the machine, share a column; its
    numbers are their mean and standard deviation.

    Raises:
      UserError: fewer than two folders, one given twice, one that holds no run, a damaged file.
    """
    compared = columns.of(run_files.read(folders))
    rows = [[run.results["rows"] for run in column.finished] for column in compared]
    lines = tuple(measures.lines(rows, mark=remarks.on_data(compared) is None))
    return Comparison(
        columns=compared,
        settings=columns.differences(compared),
        lines=lines,
        notes=tuple(remarks.notes(compared, lines)),
    )


def _run_to_dict(run: run_files.Run) -> dict[str, Any]:
    return {"path": str(run.path), "seed": run.seed, "finished": run.results is not None}


def _line_to_dict(line: measures.Line) -> dict[str, Any]:
    cells = [
        cell and {**cell._asdict(), "mean": cell.mean, "deviation": cell.deviation}
        for cell in line.cells
    ]
    return {**line._asdict(), "cells": cells}
