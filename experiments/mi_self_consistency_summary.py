"""Ratios, verdicts and figure of the self-consistency tests, from the rows of their result file."""

import itertools
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from dim_jax.evaluate.figures import drawing
from experiments.masked_images import RATIOS, TESTS

SEPARATE = ("part", "data", "form")  # of the entries of a summary, beside the estimator
CLOSE = 0.1  # share of the wanted ratio, within which a ratio is a hit
NEAR_ZERO, FALL = 0.05, 0.05  # nats; share of the largest value, or NEAR_ZERO nats if more
LABELS = {
    **{"infonce": "InfoNCE", "nwj": "NWJ", "mine": "MINE", "js_nwj": "NWJ of a JS critic"},
    **{"smile_1": "SMILE, 1", "smile_5": "SMILE, 5", "smile_inf": "DV of a JS critic"},
    "infonce_wide": "InfoNCE of 1,000",  # candidates, by the same critic
    "difference_of_entropies": "normal laws",
    "mi.estimate": "mi.estimate",
}
_COLOURS = dict(
    zip(LABELS, (*drawing.colours(7), "#8c9aa8", drawing.FAINT, drawing.INK), strict=True)
)
_LIMITS = {"baseline": (-1, 15), "processing": (0, 2), "additivity": (0, 3)}
_TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}


def summary(rows: Sequence[dict]) -> list[dict]:
    """For each estimator on a data set: value over rows, ratios over rows, and what it passes.

    Means over seeds, with 95 % intervals of Student's t; a ratio is that of the values of a seed.
    None: a value that is not finite, a ratio over a value below 0.05 nats, an interval of one seed.
    """
    values: dict[tuple, dict] = {}
    for row in rows:
        drawn = row.get("values", {})
        if "infonce" in (wide := row.get("wide_values", {})):
            drawn = drawn | {"infonce_wide": wide["infonce"]}
        for estimator, value in drawn.items():
            name = (*(row[each] for each in SEPARATE), estimator)
            cell = values.setdefault(name, {}).setdefault((row["test"], row["rows"]), {})
            cell[row["seed"]] = value
    return [
        dict(zip((*SEPARATE, "estimator"), name, strict=True)) | _judged(cells)
        for name, cells in values.items()
    ]


def _judged(cells: dict[tuple[str, int], dict[int, float | None]]) -> dict:
    baseline = {rows: cell for (test, rows), cell in cells.items() if test == "baseline"}
    result = {"baseline": [_point(rows, baseline[rows].values()) for rows in sorted(baseline)]}
    passes = {"baseline": _starts_at_zero(result["baseline"]) and _rises(result["baseline"])}
    for test, wanted in RATIOS.items():
        points = []
        for rows in sorted(rows for name, rows in cells if name == test):
            over = baseline.get(rows, {})
            # A baseline of one seed is that of all.
            ratios = [
                _ratio(value, over.get(seed, next(iter(over.values()), None)))
                for seed, value in cells[test, rows].items()
            ]
            points.append(_point(rows, ratios))
        result[test] = points
        means = [point["mean"] for point in points]
        passes[test] = all(
            mean is not None and abs(mean - wanted) <= CLOSE * wanted for mean in means
        )
    verdicts = {test: "hit" if passes[test] else "miss" for test in TESTS if result[test]}
    return result | {"passes": verdicts}


def _ratio(value: float | None, over: float | None) -> float | None:
    if value is None or over is None or over < NEAR_ZERO:
        return None
    return value / over


def _point(rows: int, values: Iterable[float | None]) -> dict:
    values = [*values]
    if None in values:
        return {"rows": rows, "mean": None, "interval": None}
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return {"rows": rows, "mean": mean, "interval": None}
    reach = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return {"rows": rows, "mean": mean, "interval": [mean - reach, mean + reach]}


def _starts_at_zero(points: Sequence[dict]) -> bool:
    """Also if no value is given for constant Y, which `mi.estimate` refuses."""
    return all(
        point["mean"] is None or abs(point["mean"]) <= NEAR_ZERO
        for point in points
        if point["rows"] == 0
    )


def _rises(points: Sequence[dict]) -> bool:
    means = [point["mean"] for point in points if point["rows"]]
    if not means or None in means:
        return False
    allowed = max(NEAR_ZERO, FALL * max(means))
    return all(after >= before - allowed for before, after in itertools.pairwise(means))


def report(content: dict) -> None:
    """Prints what each estimator passes."""
    for entry in content["summary"]:
        name = " ".join(filter(None, (entry["data"], entry["form"], entry["estimator"])))
        verdicts = ", ".join(" ".join(each) for each in entry["passes"].items())
        print(f"{name}: {verdicts}")


def figure(content: dict, path: pathlib.Path) -> None:
    """Value over rows, and both ratios over rows: a column for each data set and critic."""
    entries = content["summary"]
    columns = [*dict.fromkeys((e["data"], e["form"]) for e in entries if e["part"] == "critics")]
    others = [entry for entry in entries if entry["part"] != "critics"]
    if not (count := len(columns) + bool(others)):
        return
    canvas = drawing.new(2.9 * count + 1.6, 7.6)
    grid = canvas.subplots(len(TESTS), count, squeeze=False, sharex="col")
    lines = {}
    for place, key in enumerate(columns):
        shown = [e for e in entries if e["part"] == "critics" and (e["data"], e["form"]) == key]
        lines |= _column(grid[:, place], shown, f"{_TITLES.get(key[0], key[0])}, {key[1]} critic")
    if others:
        titles = dict.fromkeys(_TITLES.get(entry["data"], entry["data"]) for entry in others)
        lines |= _column(grid[:, -1], others, f"{', '.join(titles)}, other estimators")
        lines |= _bracket(grid[0, -1], content["rows"], others[0]["data"])
    for axes, text in zip(grid[:, 0], ("nats", "ratio, 1 wanted", "ratio, 2 wanted"), strict=True):
        axes.set_ylabel(text)
    for axes in grid[-1]:
        axes.set_xlabel("visible rows")
    canvas.tight_layout(rect=(0, 0, 1 - 1.75 / (2.9 * count + 1.6), 1))
    canvas.legend(lines.values(), lines, loc="center right", frameon=False, fontsize=8)
    canvas.savefig(path)


def _column(axes, entries: Sequence[dict], title: str) -> dict:
    """The three tests of some estimators; {label: line}."""
    lines = {}
    last = max(point["rows"] for entry in entries for point in entry["baseline"])
    for number, entry in enumerate(entries):
        label = LABELS[entry["estimator"]]
        if entry["part"] == "estimate":
            label += f",\npixels as {entry['form']}"
        style = "--" if entry["form"] == "images" else "-"
        for each, test in zip(axes, TESTS, strict=True):
            points = [point for point in entry[test] if point["mean"] is not None]
            # Apart, so that no bar of an interval hides another.
            apart = 0.012 * last * (number - (len(entries) - 1) / 2)
            places = [point["rows"] + apart for point in points]
            means = [point["mean"] for point in points]
            reach = [(p["interval"] or [0, 2 * p["mean"]])[1] - p["mean"] for p in points]
            reach = [0 if p["interval"] is None else r for p, r in zip(points, reach, strict=True)]
            lines[label] = each.errorbar(
                *(places, means, reach),
                **dict(color=_COLOURS[entry["estimator"]], linestyle=style, linewidth=1.2),
                **dict(marker="o", markersize=3, capsize=2, elinewidth=0.7),
            )
    for each, test in zip(axes, TESTS, strict=True):
        each.set_xlim(-0.06 * last, 1.06 * last)
        each.set_ylim(*_LIMITS[test])
        each.set_title(f"{title}\n{test}" if test == TESTS[0] else test, fontsize=8)
        if test in RATIOS:
            each.axhline(RATIOS[test], color=drawing.MATCH, linewidth=0.8, linestyle=":")
            each.axhspan(
                *((1 - CLOSE) * RATIOS[test], (1 + CLOSE) * RATIOS[test]),
                **dict(color=drawing.MATCH, alpha=0.12, linewidth=0),
            )
    return lines


def _bracket(axes, rows: Sequence[dict], data: str) -> dict:
    """The entropy of Y, which the information is, between what it is at least and at most."""
    brackets = {
        row["rows"]: row["bracket"]
        for row in rows
        if row["part"] == "entropies" and row["data"] == data
    }
    if not brackets:
        return {}
    places = sorted(brackets)
    low, high = np.array([brackets[place] for place in places]).T
    area = axes.fill_between(places, low, high, color=drawing.LINE, linewidth=0)
    return {"entropy of Y": area}
