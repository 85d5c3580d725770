"""The results of several runs, line by line: one measure in every column, with its spread."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dim_jax.report import tables, vocabulary

_TRAINED = "trained"


class Cell(NamedTuple):
    """A measure in the runs of a column.

    values: one of each run that has a finite one. fit_deviation: the standard deviation over fits
    or subsets of labels in the run, where the column has one run alone that says it. fits: their
    number.
    """

    values: tuple[float, ...]
    fit_deviation: float | None = None
    fits: int = 1

    @property
    def mean(self) -> float:
        """The mean over runs."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over runs (with n - 1), None of a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


class Line(NamedTuple):
    """A measure in all columns. Numbers of other protocols, labels, splits or data share no line.

    dataset: the one that the evaluation names; "" = that of each run. cells: one for each column,
    None where it has no value. best: the columns with the best mean; empty where none is better
    than another.
    """

    evaluation: str
    protocol: str
    labels: str
    split: str
    dataset: str
    metric: str
    tap: str
    representation: str
    cells: tuple[Cell | None, ...]
    best: tuple[int, ...] = ()

    @property
    def heading(self) -> tuple[str, str]:
        """The evaluation, and its name in the config, protocol, labels, split and data, as text."""
        title = vocabulary.evaluation_title(self.evaluation)
        is_told = self.evaluation == title or self.protocol.startswith(f"{self.evaluation}-")
        setting = (
            "" if is_told else self.evaluation,
            self.protocol,
            "" if self.labels == "all" else vocabulary.labels_title(self.labels),
            "" if self.split == "test" else f"{self.split} split",
            f"on {self.dataset}" if self.dataset else "",
        )
        return title, " · ".join(part for part in setting if part)

    @property
    def is_control(self) -> bool:
        """Whether it is of a representation that was not trained."""
        return self.representation != _TRAINED

    @property
    def is_share(self) -> bool:
        """Whether its values are fractions, which are shown in percent."""
        return tables.is_accuracy(self.metric) or vocabulary.is_share(self.metric)

    def text(self, cell: Cell) -> str:
        """The mean of a cell as it is shown."""
        return tables.percent(cell.mean) if self.is_share else f"{cell.mean:.3g}"

    @property
    def title(self) -> str:
        """The tap of an accuracy or the metric and its tap, and the representation of a control."""
        name = self.tap
        if self.metric != "accuracy":
            name = vocabulary.metric_title(self.metric).replace("_", " ")
            name += f", {self.tap}" if self.tap else ""
        is_named = not self.is_control or self.tap == self.representation
        return name if is_named else f"{name}, {self.representation}"


def lines(columns: Sequence[Sequence[Iterable[Mapping[str, Any]]]], *, mark: bool) -> list[Line]:
    """The lines of the results of all runs: accuracies first, controls after what was trained.

    Args:
      columns: for each column, the rows of every finished run in it.
      mark: whether the best values are marked on the data of the runs; on data that evaluations
        name they are.
    """
    by_key: dict[tuple[str, ...], list[list[Mapping[str, Any]]]] = {}
    for index, column in enumerate(columns):
        for rows in column:
            for key, row in {_key(row): row for row in map(tables.as_accuracy, rows)}.items():
                by_key.setdefault(key, [[] for _ in columns])[index].append(row)
    lines = [Line(*key, tuple(map(_cell, cells))) for key, cells in by_key.items()]
    lines = [line._replace(best=_best(line)) if mark or line.dataset else line for line in lines]
    places = {head: place for place, head in enumerate(dict.fromkeys(map(_section, lines)))}
    return sorted(lines, key=lambda line: (_rank(line), places[_section(line)], line.is_control))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["eval"],
        row.get("protocol") or "",
        row.get("labels") or "all",
        row.get("split") or "test",
        row.get("dataset") or "",
        row["metric"],
        row.get("tap") or "",
        row["representation"],
    )


def _section(line: Line) -> tuple[str, ...]:
    return line.evaluation, line.protocol, line.labels, line.split, line.dataset


def _rank(line: Line) -> int:
    """All labels before few, permuted ones after them, and all other measures last."""
    if not tables.is_accuracy(line.metric):
        return 3
    return 2 if _is_permuted(line) else int(line.labels.partition(",")[0] != "all")


def _is_permuted(line: Line) -> bool:
    return line.labels.endswith(tables.PERMUTED)


def _cell(rows: Sequence[Mapping[str, Any]]) -> Cell | None:
    finite = [row for row in rows if tables.is_number(row["value"])]
    if not finite:
        return None
    values = tuple(float(row["value"]) for row in finite)
    deviation = finite[0].get("std") if len(rows) == 1 else None
    if not tables.is_number(deviation):
        return Cell(values)
    return Cell(values, float(deviation), int(finite[0].get("fits") or 1))


def _best(line: Line) -> tuple[int, ...]:
    """The columns whose mean is the best as it is shown; none if all are."""
    direction = vocabulary.better(line.metric)
    if direction is None or line.is_control or _is_permuted(line):
        return ()
    shown = {index: float(line.text(cell)) for index, cell in enumerate(line.cells) if cell}
    if len({*shown.values()}) < 2:
        return ()
    best = max(shown.values()) if direction == "larger" else min(shown.values())
    return tuple(index for index, value in shown.items() if value == best)
