"""Terminal output of the command: a progress bar, and the estimate as a table."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import rich.box
import rich.console
import rich.progress
import rich.table
import rich.text

from dim_jax.mi import statements
from dim_jax.mi.many_columns import Ranking
from dim_jax.mi.result import Estimate
from dim_jax.report import formats

_WIDTH = 100  # of the table where there is no terminal


@contextlib.contextmanager
def progress() -> Iterator[Callable[[float, str], None] | None]:
    """A context manager with the callable that shows progress: a bar, on a terminal."""
    console = rich.console.Console(file=sys.stderr)
    if not console.is_terminal:
        yield None
        return
    bar = rich.progress.Progress(
        rich.progress.BarColumn(bar_width=None),
        rich.progress.TaskProgressColumn(),
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.TimeElapsedColumn(),
        console=console,
        expand=True,
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda fraction, text: bar.update(task, completed=fraction, description=text)


def _console() -> rich.console.Console:
    console = rich.console.Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def show_ranking(ranking: Ranking) -> None:
    """Prints a line for every column."""
    table = rich.table.Table(box=rich.box.SIMPLE, show_edge=False, padding=(0, 1))
    for index, title in enumerate(ranking.header()):
        table.add_column(title, justify="left" if index in (0, 5) else "right", overflow="fold")
    for row in ranking.rows:
        table.add_row(*map(rich.text.Text, ranking.cells(row)))
    _console().print(table)


def show(result: Estimate, given: bool, seconds: float) -> None:
    """Prints all fields, and the statements that they support."""
    table = rich.table.Table(
        box=rich.box.SIMPLE, show_header=False, show_edge=False, padding=(0, 1)
    )
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    rows = {**statements.fields(result, given), "Time": formats.duration(seconds)}
    for name, text in rows.items():
        table.add_row(rich.text.Text(name), rich.text.Text(text))
    for title, sentences in (
        ("Supported", statements.supported(result, given)),
        ("Not supported", statements.unsupported(result, given)),
        ("Remarks", result.notes),
    ):
        for index, sentence in enumerate(sentences):
            table.add_row(rich.text.Text("" if index else title), rich.text.Text(sentence))
    _console().print(table)
