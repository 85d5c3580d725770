"""Sentences on what limits a comparison: other data, unfinished runs, repeated seeds, versions."""

import itertools
import json
from collections.abc import Iterator, Sequence

from dim_jax import contracts
from dim_jax.compare.columns import Column
from dim_jax.compare.measures import Line
from dim_jax.compare.run_files import Run

_SHOWN = 4  # names in a sentence


def notes(columns: Sequence[Column], lines: Sequence[Line]) -> Iterator[str]:
    """All sentences on some columns and the lines of their results."""
    sentences = (
        _on_repetition(columns),
        _on_data(columns, lines),
        _on_common_lines(columns, lines),
        _on_protocols(lines),
        _on_unfinished(columns),
        *map(_on_seeds, columns),
        _on_versions(columns),
    )
    yield from (sentence for sentence in sentences if sentence)


def on_data(columns: Sequence[Column]) -> str | None:
    """The data of the finished columns if they differ, as a sentence; None if they do not."""
    texts: dict[str, list[str]] = {}
    prints: set[str] = set()
    for column in columns:
        if not column.finished:
            continue
        run = column.finished[0]
        texts.setdefault(_data_text(run), []).append(column.name)
        prints |= {json.dumps(each.data, sort_keys=True) for each in column.runs if each.data}
    if len(texts) < 2 and len(prints) < 2:
        return None
    if len(texts) < 2:
        return (
            "The images of the columns differ, by their names, sizes or classes: numbers of a line "
            "are not comparable, and none is marked."
        )
    words = "; ".join(f"{text} ({_list(names)})" for text, names in texts.items())
    return f"The data differ, so that numbers of a line are not comparable: {words}."


def _on_data(columns: Sequence[Column], lines: Sequence[Line]) -> str | None:
    """`on_data`, with the lines that it does not concern."""
    sentence = on_data(columns)
    if sentence and any(line.dataset for line in lines):
        return f"{sentence} Lines on a data set that their evaluation names are."
    return sentence


def _data_text(run: Run) -> str:
    """Such as "digits, 1,438 training and 359 test images"."""
    facts = run.results["run"] if run.results else {}
    images = (run.data or {}).get("images") or {}
    numbers = {
        role: facts.get(f"{role}_examples") or images.get(role) for role in ("train", "test")
    }
    name = facts.get("dataset") or run.settings.get("data.name")
    known = [
        f"{number:,} {what}"
        for number, what in zip(numbers.values(), ("training", "test"), strict=True)
        if isinstance(number, int)
    ]
    return f"{name}, {' and '.join(known)} images" if known else str(name)


def _on_repetition(columns: Sequence[Column]) -> str | None:
    if len(columns) > 1:
        return None
    runs = columns[0].runs
    seeds = " with other seeds" if len({run.seed for run in runs}) == len(runs) else ""
    return f"The {len(runs)} runs are repetitions of one setting{seeds}."


def _on_common_lines(columns: Sequence[Column], lines: Sequence[Line]) -> str | None:
    finished = [index for index, column in enumerate(columns) if column.finished]
    if len(finished) < 2:
        return None
    common = [line for line in lines if all(line.cells[index] for index in finished)]
    return None if common else "No result is common to all runs that are finished."


def _on_protocols(lines: Sequence[Line]) -> str | None:
    """Of evaluations whose numbers stand in several lines because their protocols differ."""
    protocols: dict[str, dict[str, None]] = {}
    for line in lines:
        protocols.setdefault(line.evaluation, {})[line.protocol or "none"] = None
    texts = [
        f"{evaluation} was measured under {' and '.join(names)}"
        for evaluation, names in protocols.items()
        if len(names) > 1
    ]
    return f"Protocols have lines of their own: {'; '.join(texts)}." if texts else None


def _on_unfinished(columns: Sequence[Column]) -> str | None:
    names = [run.name for column in columns for run in column.runs if run.results is None]
    if not names:
        return None
    are, have = ("is", "has") if len(names) == 1 else ("are", "have")
    return f"{_list(names)} {are} not finished and {have} settings and curves, but no results."


def _on_seeds(column: Column) -> str | None:
    repeated = [
        (one.name, other.name)
        for one, other in itertools.combinations(column.runs, 2)
        if one.seed == other.seed
    ]
    if not repeated:
        return None
    one, other = repeated[0]
    return (
        f"{one} and {other} have the same settings and the same seed, so that the deviation in "
        f"column {column.name} is not that of independent runs."
    )


def _on_versions(columns: Sequence[Column]) -> str | None:
    made: dict[str, list[str]] = {}
    for column in columns:
        for run in column.finished:
            facts = run.results["run"]
            versions = facts.get("versions")
            version = versions.get("dim_jax") if isinstance(versions, dict) else None
            device = facts.get("device") or "an unknown device"
            text = f"dim_jax {version or 'of an unknown version'} on {device}"
            made.setdefault(text, []).append(run.name)
    if len(made) < 2:
        return None
    words = "; ".join(f"{text} ({_list(names)})" for text, names in made.items())
    return f"The runs were made by different versions or on different devices: {words}."


def _list(names: Sequence[str]) -> str:
    return contracts.abridged(names, _SHOWN)
