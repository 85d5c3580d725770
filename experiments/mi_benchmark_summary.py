"""Errors by group, coverage and time of the rows of the benchmark of `mi.estimate`, beside aims."""

import statistics
from collections.abc import Callable, Iterator, Sequence

import rich.console
import rich.table
from scipy import stats

Rows = Sequence[dict]
COLUMNS = {
    **{"rows": "", "refused": "", "reliable": ".0%"},
    **dict.fromkeys(
        ("mean_absolute_error", "median_absolute_error", "worst_absolute_error"), ".3f"
    ),
    "worst_task": "",
    **{"mean_absolute_floor": ".3f", "error_over_floor": ".1f"},
    **{"largest_overshoot": ".1f", "coverage": ".0%", "guaranteed_below_truth": ".0%"},
    **{"cpu_seconds": ".1f", "cpu_seconds_first_of_shape": ".1f"},
}


def summary(rows: Rows, published: dict[str, dict]) -> dict:
    """Statistics of the rows: by group, of independent data, coverage and peers, and the aims.

    Args:
      published: {task: {estimator: {nats, cpu_seconds}}} on seed 0 of the given samples.
    """
    ours = [row for row in rows if row["part"] == "tasks"]
    groups = {name: _group(_where(ours, group=name)) for name in _values(ours, "group")}
    repeats = [row for row in rows if row["part"] == "coverage"]
    return {
        "groups": groups,
        "independence": _independence(_where(ours, group="independent")),
        "coverage": {
            name: _coverage(_where(repeats, task=name)) for name in _values(repeats, "task")
        },
        "peers": [*_peers(ours, [row for row in rows if row["part"] == "peers"])],
        "published_peers": [*_published(ours, published)],
        "aims": [*_aims(ours, repeats)],
        "commits": _values(rows, "commit"),
    }


def _values(rows: Rows, name: str) -> list:
    return [*dict.fromkeys(row[name] for row in rows)]


def _where(rows: Rows, **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _valued(rows: Rows) -> list[dict]:
    return [row for row in rows if row["nats"] is not None]


def _group(rows: Rows) -> dict:
    """Means over rows; overshoot is error / standard error, the largest of all."""
    valued = _valued(rows)
    counts = {"rows": len(rows), "refused": len(rows) - len(valued)}
    if not valued:
        return counts
    errors = [abs(row["error"]) for row in valued]
    floor = statistics.mean(abs(row["floor"]) for row in valued)
    overshoots = [_overshoot(row) for row in valued if row["standard_error"]]
    guarantees = [row for row in valued if row["guaranteed"] is not None]
    later, first = _seconds(valued, False), _seconds(valued, True)
    return {
        **counts,
        "reliable": _fraction(row["reliable"] for row in valued),
        "mean_error": statistics.mean(row["error"] for row in valued),
        "mean_absolute_error": statistics.mean(errors),
        "median_absolute_error": statistics.median(errors),
        "worst_absolute_error": max(errors),
        "worst_task": valued[errors.index(max(errors))]["task"],
        "mean_squared_error": statistics.mean(error**2 for error in errors),
        "mean_absolute_floor": floor,
        "error_over_floor": statistics.mean(errors) / floor if floor else None,
        "largest_overshoot": max(overshoots, default=None),
        "above_3_standard_errors": sum(value > 3 for value in overshoots),
        "coverage": _fraction(_covers(row) for row in valued),
        "guaranteed_below_truth": _fraction(
            row["guaranteed"] <= row["truth"] for row in guarantees
        ),
        "cpu_seconds": statistics.median(later) if later else None,
        "cpu_seconds_first_of_shape": statistics.median(first) if first else None,
    }


def _overshoot(row: dict) -> float:
    return row["error"] / row["standard_error"]


def _covers(row: dict) -> bool:
    low, high = row["interval"]
    return low <= row["truth"] <= high


def _fraction(values) -> float | None:
    values = [*values]
    return sum(values) / len(values) if values else None


def _seconds(rows: Rows, first: bool) -> list[float]:
    return [row["cpu_seconds"] for row in rows if row["first_of_shape"] == first]


def _independence(rows: Rows) -> dict:
    """Of data without information: the values, and whether the p-values are uniform."""
    rows = _valued(rows)
    if not rows:
        return {}
    values = [row["p_value"] for row in rows]
    return {
        "rows": len(rows),
        "largest_absolute": max(abs(row["nats"]) for row in rows),
        "p_values_below_0.05": _fraction(value < 0.05 for value in values),
        "p_value_of_uniformity": float(stats.kstest(values, "uniform").pvalue),
    }


def _coverage(rows: Rows) -> dict:
    rows = _valued(rows)
    if not rows:
        return {}
    return {
        "repeats": len(rows),
        "samples": rows[0]["samples"],
        "coverage": _fraction(map(_covers, rows)),
        "mean_error": statistics.mean(row["error"] for row in rows),
        "mean_width": statistics.mean(row["interval"][1] - row["interval"][0] for row in rows),
        "mean_standard_error": statistics.mean(row["standard_error"] for row in rows),
        "deviation": statistics.stdev(row["nats"] for row in rows) if len(rows) > 1 else None,
        "guaranteed_below_truth": _fraction(row["guaranteed"] <= row["truth"] for row in rows)
        if all(row["guaranteed"] is not None for row in rows)
        else None,
    }


def _peers(ours: Rows, peers: Rows) -> Iterator[dict]:
    """Errors of each peer by group, and ours on the same samples."""
    peers = _valued(peers)
    for method in _values(peers, "method"):
        for group in _values(_where(peers, method=method), "group"):
            rows = {row["task"]: row for row in _where(peers, method=method, group=group)}
            yield {
                "method": method,
                "group": group,
                **_beside(
                    ours, {name: (row["nats"], row["cpu_seconds"]) for name, row in rows.items()}
                ),
            }


def _published(ours: Rows, published: dict[str, dict]) -> Iterator[dict]:
    given = _where(ours, group="given", stored=True)
    for method in sorted({name for by_method in published.values() for name in by_method}):
        numbers = {
            task: (by_method[method]["nats"], by_method[method]["cpu_seconds"])
            for task, by_method in published.items()
            if method in by_method
        }
        yield {"method": method, **_beside(given, numbers)}


def _beside(ours: Rows, numbers: dict[str, tuple[float, float]]) -> dict:
    """Mean absolute error of numbers by task, and ours of seed 0 on the tasks that both have."""
    shared = [row for row in _valued(_where(ours, seed=0)) if row["task"] in numbers]
    if not shared:
        return {"tasks": 0}
    pairs = [(numbers[row["task"]], row) for row in shared]
    return {
        "tasks": len(shared),
        "mean_absolute_error": statistics.mean(abs(n - row["truth"]) for (n, _), row in pairs),
        "ours": statistics.mean(abs(row["error"]) for row in shared),
        "cpu_seconds": statistics.median(seconds for (_, seconds), _ in pairs),
    }


def _aims(ours: Rows, repeats: Rows) -> Iterator[dict]:
    """Each aim with its number, where the rows for it are there: hit or miss."""
    for text, values, summarize, limit in (*_errors(ours), *_other_numbers(ours)):
        if values:
            number = summarize(values)
            verdict = "hit" if number <= limit else "miss"
            yield {"aim": text, "value": number, "limit": limit, "verdict": verdict}
    for name in _values(repeats, "task"):
        covered = _coverage(_where(repeats, task=name)).get("coverage")
        if covered is not None:
            verdict = "hit" if 0.9 <= covered <= 0.98 else "miss"
            text, limits = f"coverage, {name}", [0.9, 0.98]
            yield {"aim": text, "value": covered, "limit": limits, "verdict": verdict}


def _errors(ours: Rows) -> list[tuple[str, list[float], Callable, float]]:
    """(aim, absolute errors, what is taken of them, its limit)."""

    def absolute(**wanted):
        return [abs(row["error"]) for row in _valued(_where(ours, **wanted))]

    given, mean = absolute(group="given"), statistics.mean
    by_task = [absolute(group="given", task=name) for name in _values(ours, "task")]
    others = given + absolute(group="generated")
    held_back = absolute(group="held_back") if others else []
    independent = absolute(group="independent", dims=[10, 10])
    rows = _valued(_where(ours, group="large_information"))
    large = {
        nats: [abs(row["error"]) for row in rows if round(row["truth"]) == nats] for nats in (5, 8)
    }
    return [
        ("mean absolute error, given tasks", given, mean, 0.04),
        ("median absolute error, given tasks", given, statistics.median, 0.015),
        ("worst given task, mean over seeds", [mean(e) for e in by_task if e], max, 0.15),
        (
            "mean error of held-back tasks / of the others",
            held_back,
            lambda errors: mean(errors) / mean(others),
            1.5,
        ),
        ("largest value of independent data, 10 + 10 columns", independent, max, 0.02),
        ("mean absolute error at 5 nats", large[5], mean, 0.3),
        ("mean absolute error at 8 nats", large[8], mean, 1.0),
    ]


def _other_numbers(ours: Rows) -> list[tuple[str, list[float], Callable, float]]:
    valued = _valued(ours)
    overshoots = [_overshoot(row) for row in valued if row["standard_error"]]
    small = [row for row in _where(valued, group="small_samples") if row["reliable"]]
    return [
        ("largest overshoot in standard errors", overshoots, max, 3),
        (
            "mean squared error of small samples, where reliable",
            [row["error"] ** 2 for row in small],
            statistics.mean,
            0.1,
        ),
        (
            "median CPU seconds, given tasks",
            _seconds(_where(valued, group="given"), False),
            statistics.median,
            5,
        ),
    ]


def report(content: dict) -> None:
    """Prints the summary of a result file."""
    console, summary = rich.console.Console(width=180), content["summary"]
    table = rich.table.Table(title=f"{content['experiment']}, {content['device']}; errors in nats")
    table.padding = 0
    for name in ("group", *COLUMNS):
        table.add_column(name.replace("_", " "), overflow="fold")
    for name, group in summary["groups"].items():
        cells = [(group.get(key), form) for key, form in COLUMNS.items()]
        table.add_row(
            name, *("" if value is None else format(value, form) for value, form in cells)
        )
    console.print(table)
    console.print(_given(content["rows"], content["published"]))
    for entry in (*summary["peers"], *summary["published_peers"]):
        if entry["tasks"]:
            group = entry.get("group", "given, published")
            console.print(
                f"{entry['method']} ({group}): mean absolute error "
                f"{entry['mean_absolute_error']:.3f}, ours {entry['ours']:.3f} on the same "
                f"{entry['tasks']} tasks; median {entry['cpu_seconds']:.1f} CPU seconds"
            )
    for name in ("independence", "coverage"):
        if summary[name]:
            console.print(f"{name}: {summary[name]}")
    for entry in summary["aims"]:
        console.print(
            f"{entry['verdict']}: {entry['aim']}: {entry['value']:.4g} (aim {entry['limit']})"
        )
    if len(summary["commits"]) > 1:
        console.print(f"rows of several commits: {', '.join(map(str, summary['commits']))}")


def _given(rows: Rows, published: dict[str, dict]) -> rich.table.Table:
    """Values of seed 0 on the given tasks, beside those of peers run here and published."""
    rows = [
        row for row in _valued(_where(rows, group="given", seed=0)) if row["part"] != "coverage"
    ]
    values = {(row["task"], row["method"]): row["nats"] for row in rows}
    for task, numbers in published.items():
        values |= {(task, f"{name}, published"): each["nats"] for name, each in numbers.items()}
    methods = [*dict.fromkeys(method for _, method in values)]
    table = rich.table.Table("given task, seed 0", "truth", *methods, padding=0)
    for task, truth in {row["task"]: row["truth"] for row in rows}.items():
        cells = (values.get((task, method)) for method in methods)
        table.add_row(task, f"{truth:.3f}", *("" if v is None else f"{v:.3f}" for v in cells))
    return table
