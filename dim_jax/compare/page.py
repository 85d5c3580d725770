"""A self-contained HTML page of a comparison, in the look of the report of a run."""

import html
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dim_jax.compare import texts
from dim_jax.compare.comparison import Comparison
from dim_jax.compare.measures import Line
from dim_jax.compare.run_files import Run
from dim_jax.report import curves, formats, parts, tables
from dim_jax.rundir import writing

GENERATOR = "dim_jax.compare"
AXES: Mapping[str, str] = {"steps": "step", "epochs": "epoch", "seconds": "time/seconds"}


def write_html(
    comparison: Comparison,
    path: pathlib.Path,
    *,
    metrics: Sequence[str],
    x: str = "steps",
    command: str = "",
) -> None:
    """Writes the page; it needs no other file and no network.

    Args:
      metrics: of metrics.jsonl, whose curves are drawn.
      x: the axis of the curves, a key of `AXES`.
      command: that makes the page again.
    """
    content = [
        _header(comparison),
        parts.section("Remarks", "", parts.notes(comparison.notes)),
        parts.section("Settings that differ", _settings_lead(comparison), _settings(comparison)),
        parts.section("Results", _results_lead(comparison), _results(comparison)),
        parts.section("Training", _curves_lead(comparison, x), _curves(comparison, metrics, x)),
        parts.section("Runs", "", _runs(comparison)),
        parts.section("The same comparison again", "", _command(command)),
    ]
    title = f"Comparison of {len(comparison.runs)} runs"
    writing.replace_text(path, parts.document(title, content, GENERATOR))


def metrics(runs: Sequence[Run]) -> tuple[str, ...]:
    """The numeric metrics of some runs, losses first."""
    names = dict.fromkeys(name for run in runs for name in parts.metric_names(run.metrics))
    return tuple(sorted(names, key=lambda name: not name.startswith("loss/")))


def _header(comparison: Comparison) -> str:
    names = [column.name for column in comparison.columns]
    listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    finished = sum(run.results is not None for run in comparison.runs)
    tiles = {
        "Runs": str(len(comparison.runs)),
        "Finished": str(finished),
        "Columns": str(len(names)),
        "Settings that differ": str(len(comparison.settings)),
        "Results": str(sum(not line.is_control for line in comparison.lines)),
    }
    shown = f"<p class='verdict'>{html.escape(listed)}</p>" if len(names) <= 6 else ""
    return (
        f"<header><h1>Comparison of {len(comparison.runs)} runs</h1>{shown}"
        f"{parts.facts_in_tiles(tiles)}</header>"
    )


def _settings_lead(comparison: Comparison) -> str:
    several = any(len(column.runs) > 1 for column in comparison.columns)
    return "Runs that differ in the seed alone share a column." if several else ""


def _settings(comparison: Comparison) -> str:
    if not comparison.settings:
        return ""
    rows = [
        f"<tr><th scope='row'>{_name(key)}</th>"
        + "".join(f"<td><code>{html.escape(texts.setting(value))}</code></td>" for value in values)
        + "</tr>"
        for key, values in comparison.settings.items()
    ]
    return _table(comparison, rows, range(len(comparison.columns)))


def _results_lead(comparison: Comparison) -> str:
    marked = any(line.best for line in comparison.lines)
    sentences = (
        texts.spread_meaning(comparison.lines),
        "The best value of a line is marked; whether a difference exceeds the spread is for the "
        "reader to judge."
        if marked
        else "",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _results(comparison: Comparison) -> str:
    if not comparison.lines:
        return ""
    switch = ""
    if any(line.is_control for line in comparison.lines):
        switch = (
            "<label class='switch'><input type='checkbox' id='controls'> Show the controls: "
            "untrained encoder, raw pixels, PCA</label>"
        )
    shown = [index for index, column in enumerate(comparison.columns) if column.finished]
    return switch + _table(comparison, _result_rows(comparison, shown), shown)


def _result_rows(comparison: Comparison, shown: Sequence[int]) -> Iterator[str]:
    finished = {index: len(comparison.columns[index].finished) for index in shown}
    trained = {line.heading for line in comparison.lines if not line.is_control}
    heading = None
    for line in comparison.lines:
        is_accuracy = tables.is_accuracy(line.metric)
        if line.heading != heading:
            heading = line.heading
            title, setting = heading
            title += ", %" if is_accuracy else ""
            control = "" if heading in trained else " control"
            yield (
                f"<tr class='group{control}'><th colspan='{len(shown) + 1}' scope='rowgroup'>"
                f"{html.escape(title)}<small>{html.escape(setting)}</small></th></tr>"
            )
        unit = ", %" if line.is_share and not is_accuracy else ""
        cells = "".join(_cell(line, index, runs) for index, runs in finished.items())
        control = " class='control'" if line.is_control else ""
        yield (f"<tr{control}><th scope='row'>{html.escape(line.title + unit)}</th>{cells}</tr>")


def _cell(line: Line, index: int, runs: int) -> str:
    value, spread = texts.cell(line, index, runs)
    if line.cells[index] is None:
        return f"<td class='none'>{value}</td>"
    best = " class='best'" if index in line.best else ""
    return f"<td{best}><b>{value}</b><small>{spread}</small></td>"


def _table(comparison: Comparison, rows: Iterable[str], shown: Sequence[int]) -> str:
    """A table with the headings of the columns that it shows."""
    heads = "".join(
        f"<th scope='col'>{_name(column.name)}<small>{texts.seeds(column)}</small></th>"
        for column in map(comparison.columns.__getitem__, shown)
    )
    return (
        f"<div class='scroll'><table class='compared'><thead><tr><th></th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _name(name: str) -> str:
    """A name that may be broken after its parts."""
    return re.sub(r"([_./])", r"\1<wbr>", html.escape(name))


def _curves_lead(comparison: Comparison, x: str) -> str:
    longest = max(len(run.metrics) for run in comparison.runs)
    several = any(len(column.runs) > 1 for column in comparison.columns)
    sentences = (
        f"Over {x}.",
        "A step is not the same number of images in all columns, see --x=epochs."
        if x == "steps" and "train.batch_size" in comparison.settings
        else "",
        "Runs of one column share a colour." if several else "",
        "Thick lines are running means." if longest >= curves.SMOOTH_FROM else "",
        "A click on a name hides its lines.",
    )
    return " ".join(sentence for sentence in sentences if sentence)


def _curves(comparison: Comparison, metrics: Sequence[str], x: str) -> str:
    figures = "".join(
        curves.overlay(name, lines, x.removesuffix("s"))
        for name in metrics
        if (lines := [*_curve_lines(comparison, name, AXES[x])])
    )
    if not figures:
        return ""
    names = "".join(
        f"<button type='button' data-column='{index}' aria-pressed='true'>"
        f"<i class='stroke {curves.colour_classes(index)}'></i>{_name(column.name)}</button>"
        for index, column in enumerate(comparison.columns)
    )
    return f"<div class='legend'>{names}</div><div class='curves'>{figures}</div>"


def _curve_lines(comparison: Comparison, name: str, x: str) -> Iterator[curves.Line]:
    for index, column in enumerate(comparison.columns):
        for run in column.runs:
            rows = [row for row in run.metrics if name in row and tables.is_number(row.get(x))]
            if rows:
                values = [row[name] if tables.is_number(row[name]) else None for row in rows]
                yield curves.Line(run.name, index, [row[x] for row in rows], values)


def _runs(comparison: Comparison) -> str:
    rows = []
    for run in comparison.runs:
        facts = run.results["run"] if run.results else {}
        last = run.metrics[-1]["step"] if run.metrics else None
        cells = (
            str(run.path),
            str(run.seed),
            formats.count(facts.get("steps", last)),
            formats.duration(facts.get("train_seconds")),
            str(facts.get("device") or texts.MISSING),
            "finished" if run.results else "not finished",
        )
        line = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f"<tr><th scope='row'>{_name(run.name)}</th>{line}</tr>")
    titles = ("Run", "Folder", "Seed", "Steps", "Training time", "Device", "State")
    heads = "".join(f"<th scope='col'>{title}</th>" for title in titles)
    return (
        f"<div class='scroll'><table class='compared text'><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _command(command: str) -> str:
    return f"<p><code>{html.escape(command)}</code></p>" if command else ""
