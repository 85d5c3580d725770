"""The rows of an experiment as text: tables for the console, cells for the documentation."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import rich.console
import rich.table
from scipy import stats

TAPS = ("conv", "fc", "y")


def report(content: dict) -> None:
    """Prints accuracies (percent), other measures, verdicts, and what each row is."""
    console = rich.console.Console(width=140)
    for evaluation in evaluations(content):
        table = rich.table.Table(title=f"{content['experiment']}: {evaluation}, accuracy %")
        own = taps(content, evaluation)
        for heading in ("row", "encoder", *own, "pixels", "pca", "minutes"):
            table.add_column(heading)
        for row in content["rows"]:
            for encoder in ("trained", "untrained"):
                table.add_row(*line(row, evaluation, encoder, own))
        console.print(table)
    if names := other_measures(content):
        table = rich.table.Table(title=f"{content['experiment']}: other measures")
        for heading in ("row", "encoder", *(" ".join(dict.fromkeys(name)) for name in names)):
            table.add_column(heading)
        for row in content["rows"]:
            for encoder in ("trained", "untrained"):
                label = row["label"] if encoder == "trained" else ""
                table.add_row(label, encoder, *others(row, names, encoder))
        console.print(table)
    for direction in content.get("directions", ()):
        console.print(verdict(direction))
    for found in orders(content):
        console.print(order(found))
    for row in content["rows"]:
        console.print(
            f"{row['label']}: seeds {', '.join(map(str, row['seeds']))}; {row['steps']:,} steps; "
            f"{row['device']}; differs: {row['differs'] or 'no'}"
        )


def config(row: dict) -> str:
    """The config of a row of a result file, with its words.

    Without the word `judge`, by which earlier versions chose the evaluations.
    """
    file, colon, words = row["config"].partition(":")
    others = [word for word in words.split(",") if not word.startswith("judge=")]
    return f"{file}{colon}{','.join(others)}"


def command(row: dict) -> str:
    """The config of a row, its overrides and its evaluations, as a command has them."""
    evals = [f"--evals='{json.dumps(row['evals'])}'"] if "evals" in row else []
    return " ".join((config(row), *row["overrides"], *evals))


def benchmark(content: dict, columns: Mapping[str, str]) -> None:
    """Prints the columns {key: format} of every row of a benchmark."""
    table = rich.table.Table(*(key.replace("_", " ") for key in columns), padding=0)
    table.title = f"{content['experiment']}, {content['device']}"
    for row in content["rows"]:
        cells = [(row[key], form) for key, form in columns.items()]
        table.add_row(*("" if x is None else format(x, form) for x, form in cells))
    rich.console.Console(width=144).print(table)


def evaluations(content: dict) -> list[str]:
    """The evaluations of the rows that give accuracies."""
    return sorted(
        {
            measure["eval"]
            for row in content["rows"]
            for measure in row["measures"]
            if measure["metric"] == "accuracy"
        }
    )


def other_measures(content: dict) -> list[tuple[str, str, str]]:
    """(evaluation, tap, metric) of all that is no accuracy."""
    found = {}
    for row in content["rows"]:
        for cell in row["measures"]:
            if cell["metric"] != "accuracy":
                found[cell["eval"], cell["tap"], cell["metric"]] = None
    return [*found]


class Order(NamedTuple):
    """The rows of one evaluation and tap from best to worst, ours and published."""

    evaluation: str
    tap: str
    ours: list[str]
    published: list[str]
    correlation: float  # Spearman's, of the accuracies


def orders(content: dict) -> list[Order]:
    """For each tap on which three rows or more have a published accuracy, the order of rows.

    Rows are of one data set only, and no two of them have the same published row.
    """
    found: dict[tuple[str, ...], list[tuple[float, float, str]]] = {}
    for row in content["rows"]:
        for cell in row["measures"]:
            if cell["representation"] == "trained" and cell.get("published_percent") is not None:
                key = (row["dataset"], cell["eval"], cell["tap"])
                entry = (cell["value"], cell["published_percent"], row["label"])
                found.setdefault(key, []).append(entry)
    return [
        Order(
            evaluation,
            tap,
            [label for *_, label in sorted(rows, reverse=True)],
            [label for *_, label in sorted(rows, key=lambda row: row[1], reverse=True)],
            float(stats.spearmanr([row[0] for row in rows], [row[1] for row in rows]).statistic),
        )
        for (_, evaluation, tap), rows in found.items()
        if len(rows) >= 3 and len({published for _, published, _ in rows}) == len(rows)
    ]


def order(found: Order) -> str:
    """One sentence: both orders and how alike they are."""
    return (
        f"Order at {found.tap}: {' > '.join(found.ours)}; published: "
        f"{' > '.join(found.published)}; rank correlation {found.correlation:.2f}"
    )


def taps(content: dict, evaluation: str) -> tuple[str, ...]:
    """conv, fc, y and whatever other taps of an encoder an evaluation has accuracies of."""
    found = dict.fromkeys(TAPS)
    for row in content["rows"]:
        for cell in row["measures"]:
            if (cell["eval"], cell["metric"]) == (evaluation, "accuracy"):
                found[cell["tap"]] = None
    return tuple(tap for tap in found if tap not in ("pixels", "pca"))


def line(row: dict, evaluation: str, encoder: str, taps: Sequence[str] = TAPS) -> list[str]:
    """One line of a table: label, encoder, these taps, pixels, pca, minutes, as text."""
    found = {
        (measure["representation"], measure["tap"]): measure
        for measure in row["measures"]
        if measure["eval"] == evaluation and measure["metric"] == "accuracy"
    }
    own = [(encoder, tap) for tap in taps]
    controls = [("pixels", "pixels"), ("pca", "pca")] if encoder == "trained" else []
    texts = [percent(found.get(key)) for key in [*own, *controls]]
    texts += [""] * (2 - len(controls))
    minutes = f"{row['train_minutes']:.1f}" if encoder == "trained" else ""
    return [row["label"] if encoder == "trained" else "", encoder, *texts, minutes]


def accuracy(rows: Sequence[dict], evaluation: str, representation: str, tap: str) -> dict | None:
    """The accuracy of a representation at a tap, of the first row that has it."""
    wanted = (evaluation, representation, tap, "accuracy")
    for row in rows:
        for cell in row["measures"]:
            if tuple(cell[key] for key in ("eval", "representation", "tap", "metric")) == wanted:
                return cell
    return None


def others(row: dict, names: list[tuple[str, str, str]], encoder: str) -> list[str]:
    """The other measures of one row, as text, in the order of `names`."""
    found = {
        (cell["eval"], cell["tap"], cell["metric"]): cell
        for cell in row["measures"]
        if cell["representation"] == encoder
    }
    return [_number(found.get(name)) for name in names]


def verdict(direction: dict) -> str:
    """One sentence: the claim, hit or miss, the difference and its seeds."""
    differences = direction["differences"]
    right = sum(difference > 0 for difference in differences)
    scale, unit = (100, " points") if direction["measure"][2] == "accuracy" else (1, "")
    claim = direction["claim"][0].upper() + direction["claim"][1:]
    return (
        f"{claim}: {direction['verdict']}, "
        f"{scale * direction['mean_difference']:+.3g}{unit} in the mean, in {right} of "
        f"{len(differences)} seeds"
    )


def percent(measure: dict | None, published: bool = True) -> str:
    """An accuracy in percent, its deviation, and what was published if asked for."""
    if measure is None:
        return ""
    text = f"{100 * measure['value']:.1f}{_spread(measure, 100, 1)}"
    if published and measure["published_percent"] is not None:
        text += f" ({measure['published_percent']:.1f}, {measure['difference_points']:+.1f})"
    return text


def _number(cell: dict | None) -> str:
    if cell is None:
        return ""
    text = f"{cell['value']:.3f}{_spread(cell, 1, 3)}"
    if cell.get("published") is not None:
        text += f" ({cell['published']:.2f}, {cell['difference']:+.2f})"
    return text


def _spread(measure: dict, scale: float, digits: int) -> str:
    spread = measure["std_over_seeds"]
    if spread is None or math.isnan(spread):
        return ""
    return f" ±{scale * spread:.{digits}f}"
