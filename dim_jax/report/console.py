"""Terminal output of a run: log lines, a progress bar, and the table of results."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import rich.box
import rich.console
import rich.progress
import rich.table
import rich.text

from dim_jax.report import formats, tables, verdict

_PLAIN_WIDTH = 100
_PLAIN_LINES = 20  # progress lines of a run without a terminal
_FIRST, _COLUMN = 18, 12  # column widths, with which five columns of numbers fit 80 characters


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
        """Prints one line without markup, above the progress bar if there is one."""
        self._console.print(message, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, total: int, start: int = 0) -> Iterator["Progress"]:
        """A context manager that shows the progress from step `start` to step `total`.

        A bar on a terminal; otherwise about 20 plain lines.
        """
        if not self._console.is_terminal:
            yield Progress(total, self._plain_lines(total, start))
            return
        bar = rich.progress.Progress(
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            rich.progress.TextColumn("{task.fields[text]}", markup=False),
            console=self._console,
            expand=True,
        )
        with bar:
            task = bar.add_task("", total=total, completed=start, text="starting")
            losses = 2 if self._console.width >= _PLAIN_WIDTH else 1

            def show(step: int, row: Mapping[str, Any], eta: str) -> None:
                text = "  ".join(part for part in (*_row_texts(row, losses), eta) if part)
                bar.update(task, completed=step, text=text)

            yield Progress(total, show)

    def _plain_lines(self, total: int, start: int) -> Callable[[int, Mapping[str, Any], str], None]:
        """Prints the first and the last update, and one per twentieth of the steps."""
        printed = -1

        def show(step: int, row: Mapping[str, Any], eta: str) -> None:
            nonlocal printed
            part = _PLAIN_LINES * (step - start) // max(1, total - start)
            if part > printed or step >= total:
                printed = part
                share = 100 * step / max(1, total)
                parts = (f"step {step:,}/{total:,} {share:3.0f} %", *_row_texts(row), eta)
                self.log("   ".join(part for part in parts if part))

        return show

    def results(self, results: Mapping[str, Any]) -> None:
        """Prints the rows of results.json as tables, and a summary sentence."""
        groups = tables.groups(results.get("rows") or ())
        if groups:
            self._console.print("", *_probe_lines(groups), sep="\n")
        measures = tables.measures(results.get("rows") or ())
        if measures:
            self._console.print(_measure_table(measures), "", sep="\n")
        if note := tables.published_note(results):
            self.log(note)
        self.log(verdict.sentence(results))


class Progress:
    """The progress of a run, from `Console.progress`."""

    def __init__(
        self,
        total: int,
        show: Callable[[int, Mapping[str, Any], str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._total = total
        self._show = show
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def update(self, step: int, row: Mapping[str, Any]) -> None:
        """Shows the metrics row of a step: losses, images per second, remaining time."""
        self._show(step, row, self._eta(step))

    def _eta(self, step: int) -> str:
        """The remaining time, from the pace since the first update, which excludes compilation."""
        now = self._clock()
        if self._first is None:
            self._first = (step, now)
        first_step, first_time = self._first
        if step <= first_step or step >= self._total:
            return ""
        left = (now - first_time) / (step - first_step) * (self._total - step)
        return f"{formats.duration(left)} left"


def _row_texts(row: Mapping[str, Any], losses: int | None = None) -> list[str]:
    """ "encoder 3.214", "12,345 images/s" and so on, for the numbers in the row."""
    names = [name for name in row if name.startswith("loss/")][:losses]
    texts = [f"{name.removeprefix('loss/')} {_value(row[name])}" for name in names]
    rate = row.get("time/images_per_second")
    return [*texts, f"{formats.count(rate)} images/s"] if tables.is_number(rate) else texts


def _value(value: Any) -> str:
    value = float("nan") if value is None else float(value)
    return f"{value:.4g}"


def _probe_lines(groups: Sequence[tables.Group]) -> Iterator[rich.console.RenderableType]:
    """A heading and a line per tap for every group, with one column per representation."""
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
    """Accuracy and standard deviation; a ditto mark where the number of a control repeats."""
    row = group.row(name, tap)
    if row is None:
        return rich.text.Text("-", style="dim")
    if name in group.controls and index > 0:
        return rich.text.Text('"', style="dim")
    style = "bold green" if row is group.best() else ""
    text = rich.text.Text(tables.percent(row["value"]), style=style)
    return text.append(f" {tables.spread(row)}".rstrip(), style="dim")


def _measure_table(measures: Sequence[tables.Measure]) -> rich.table.Table:
    names = list(dict.fromkeys(name for measure in measures for name in measure.values))
    table = _grid(["Other measures", *names], header=True)
    table.columns[0].width = None
    for measure in measures:
        texts = [
            tables.metric_text(measure.metric, measure.values[name])
            if name in measure.values
            else ""
            for name in names
        ]
        table.add_row(f"  {measure.title}", *texts)
    return table
