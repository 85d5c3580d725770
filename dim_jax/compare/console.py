"""Terminal output of the command: settings that differ and results, as one table."""

from collections.abc import Sequence

import rich.box
import rich.console
import rich.table
import rich.text

from dim_jax.compare import texts
from dim_jax.compare.comparison import Comparison
from dim_jax.compare.measures import Line
from dim_jax.report import tables

_WIDTH = 120  # of the table where there is no terminal
_FIRST, _COLUMN = 26, 16  # widths of columns
_PADDING = 3


def show(comparison: Comparison, lines: Sequence[Line]) -> None:
    """Prints the table, in parts below each other where the columns do not fit, and the notes."""
    console = rich.console.Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    titles = [_indented(line.title + ", %" * line.is_share) for line in lines]
    titles += map(_indented, comparison.settings)
    first = min(max(map(len, titles), default=0), max(_FIRST, console.width // 3))
    number = len(comparison.columns)
    fitting = max(1, (console.width - first - _PADDING) // (_COLUMN + _PADDING))
    for start in range(0, number, fitting):
        console.print(_table(comparison, lines, range(start, min(start + fitting, number)), first))
    marked = any(line.best for line in lines)
    sentences = [texts.spread_meaning(tuple(lines)), "* is the best of a line." if marked else ""]
    sentences += comparison.notes
    for sentence in filter(None, sentences):
        console.print(sentence, markup=False, soft_wrap=True)


def _table(
    comparison: Comparison, lines: Sequence[Line], shown: Sequence[int], first: int
) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    table.add_column("", width=first, overflow="fold")
    for index in shown:
        column = comparison.columns[index]
        title = rich.text.Text(column.name, "bold").append(f"\n{texts.seeds(column)}", "dim")
        table.add_column(title, justify="right", width=_COLUMN, overflow="fold")
    if comparison.settings:
        _add_heading(table, "Settings", "")
    for key, values in comparison.settings.items():
        cells = [rich.text.Text(texts.setting(values[index])) for index in shown]
        table.add_row(_indented(key), *cells)
    heading = None
    for line in lines:
        if line.heading != heading:
            heading = line.heading
            _add_heading(table, *heading, unit=", %" if tables.is_accuracy(line.metric) else "")
        unit = ", %" if line.is_share and not tables.is_accuracy(line.metric) else ""
        cells = [_cell(comparison, line, index) for index in shown]
        style = "dim" if line.is_control else ""
        table.add_row(_indented(line.title + unit), *cells, style=style)
    return table


def _add_heading(table: rich.table.Table, title: str, setting: str, unit: str = "") -> None:
    if table.row_count:
        table.add_row()
    table.add_row(rich.text.Text(title + unit, "bold"))
    if setting:
        table.add_row(rich.text.Text(setting, "dim"))


def _cell(comparison: Comparison, line: Line, index: int) -> rich.text.Text:
    value, spread = texts.cell(line, index, len(comparison.columns[index].finished))
    is_best = index in line.best
    text = rich.text.Text(value + "*" * is_best, "bold green" if is_best else "")
    return text.append(f" {spread}".rstrip(), "dim")


def _indented(title: str) -> str:
    return f"  {title}"
