"""What a run says on the terminal: log lines, a progress bar, the table of results."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import rich.box
import rich.console
import rich.progress
import rich.table
import rich.text

from dim_jax.report import formats, tables, verdict

_PLAIN_WIDTH = 100
_PLAIN_LINES = 20  # lines of progress for a whole run where there is no terminal
_BAR_LOSSES = 2
_FIRST, _COLUMN = 18, 12  # widths: five columns of numbers fit 80 characters


class Console:
    """Prints to `file` (standard output); `enabled` is False on processes that stay silent."""

    def __init__(
        self, file: TextIO | None = None, *, enabled: bool = True, width: int | None = None
    ):
        console = rich.console.Console(file=file, quiet=not enabled, highlight=False, width=width)
        if not console.is_terminal and width is None:
            console.width = _PLAIN_WIDTH
        self._console = console

    def log(self, message: str) -> None:
        """Prints one line as it is; above the progress bar while there is one."""
        self._console.print(message, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, total: int, start: int = 0) -> Iterator["Progress"]:
        """Shows the way from step `start` to step `total` as long as the context lasts.

        A bar on a terminal; elsewhere a plain line about every twentieth of the steps.
        """
        if not self._console.is_terminal:
            yield Progress(total, start, self.log)
            return
        bar = rich.progress.Progress(
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            rich.progress.TextColumn("{task.fields[text]}"),
            console=self._console,
            expand=True,
        )
        with bar:
            task = bar.add_task("", total=total, completed=start, text="starting")
            yield _Bar(total, start, lambda step, text: bar.update(task, completed=step, text=text))

    def results(self, results: Mapping[str, Any]) -> None:
        """Prints the rows of results.json as tables, and their verdict in one sentence."""
        groups = tables.groups(results.get("rows") or ())
        if groups:
            self._console.print("", *_probe_lines(groups), sep="\n")
        found = tables.measures(results.get("rows") or ())
        if found:
            self._console.print(_measure_table(found), "", sep="\n")
        self.log(verdict.sentence(results))


class Progress:
    """Where a run is; made by `Console.progress`."""

    def __init__(self, total: int, start: int, show: Any, clock: Any = time.monotonic):
        self._total = total
        self._start = start
        self._show = show
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._printed = 0

    def update(self, step: int, row: Mapping[str, Any]) -> None:
        """Shows the metrics row of a step: losses, images per second, time that is left."""
        part = _PLAIN_LINES * (step - self._start) // max(1, self._total - self._start)
        eta = self._eta(step)
        if part > self._printed or step >= self._total:
            self._printed = part
            share = f"{100 * step / self._total:3.0f} %" if self._total else ""
            texts = [f"step {step:,}/{self._total:,} {share}", *_row_texts(row), eta]
            self._show("   ".join(text for text in texts if text))

    def _eta(self, step: int) -> str:
        """The time left at the pace since the first update, which compilation comes before."""
        now = self._clock()
        if self._first is None:
            self._first = (step, now)
        first_step, first_time = self._first
        if step <= first_step or step >= self._total:
            return ""
        left = (now - first_time) / (step - first_step) * (self._total - step)
        return f"{formats.duration(left)} left"


class _Bar(Progress):
    def update(self, step: int, row: Mapping[str, Any]) -> None:
        texts = [*_row_texts(row, _BAR_LOSSES), self._eta(step)]
        self._show(step, "  ".join(text for text in texts if text))


def _row_texts(row: Mapping[str, Any], losses: int | None = None) -> list[str]:
    """ "encoder 3.214", "12,345 images/s" and so on, as far as the row has them."""
    names = [name for name in row if name.startswith("loss/")][:losses]
    texts = [f"{name.removeprefix('loss/')} {_value(row[name])}" for name in names]
    rate = row.get("time/images_per_second")
    return [*texts, f"{formats.count(rate)} images/s"] if tables.is_number(rate) else texts


def _value(value: Any) -> str:
    value = float("nan") if value is None else float(value)
    return f"{value:.4g}"


def _probe_lines(groups: Sequence[tables.Group]) -> Iterator[rich.console.RenderableType]:
    """A heading and a line for each tap of every group, one column for each representation."""
    names = tables.columns(groups)
    titles = [tables.representation_title(name, groups).lower() for name in names]
    if tables.has_published(groups):
        titles.append("published")
    yield _grid(["Accuracy, %", *titles], header=True)
    for group in groups:
        yield rich.text.Text.assemble((group.title, "bold"), "  ", (group.setting, "dim"))
        grid = _grid(["", *titles])
        for index, tap in enumerate(group.taps or ("",)):
            dim = f"{group.dim(tap):,}-d" if group.dim(tap) else ""
            cells = [_cell(group, name, tap, index) for name in names]
            published = tables.published_text(group.published(tap))
            grid.add_row(f"  {tap:<5} {dim:>8}", *cells, *[published][: len(titles) - len(names)])
        yield grid
        yield ""


def _grid(titles: Sequence[str], *, header: bool = False) -> rich.table.Table:
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        show_header=header,
        show_edge=False,
        padding=0,
    )
    table.add_column(titles[0], width=_FIRST, no_wrap=True)
    for title in titles[1:]:
        table.add_column(title, width=_COLUMN, justify="right", no_wrap=True)
    return table


def _cell(group: tables.Group, name: str, tap: str, index: int) -> rich.text.Text:
    """Accuracy and spread; a ditto mark where a control's one number repeats."""
    row = group.row(name, tap)
    if row is None:
        return rich.text.Text("-", style="dim")
    if name in group.controls and index > 0:
        return rich.text.Text('"', style="dim")
    style = "bold green" if row is group.best() else ""
    text = rich.text.Text(tables.percent(row["value"]), style=style)
    return text.append(f" {tables.spread(row)}".rstrip(), style="dim")


def _measure_table(found: Sequence[tables.Measure]) -> rich.table.Table:
    names = list(dict.fromkeys(name for measure in found for name in measure.values))
    table = _grid(["Other measures", *names], header=True)
    table.columns[0].width = None
    for measure in found:
        texts = [
            tables.metric_text(measure.metric, measure.values[name])
            if name in measure.values
            else ""
            for name in names
        ]
        table.add_row(f"  {measure.title}", *texts)
    return table
