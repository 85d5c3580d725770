"""Self-consistency of estimators as Markdown, of results/mi_self_consistency_*.json."""

from experiments.fragments import markdown
from experiments.fragments_speed import facts
from experiments.mi_self_consistency_summary import LABELS

_DATA = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def self_consistency(content: dict) -> str:
    """Each estimator's values, ratios and verdicts, and the intervals of `mi.estimate`."""
    headings = (
        *("data", "critic", "estimator", "nats, no row", "nats", "baseline"),
        *("processing / baseline, 1 wanted", "processing"),
        *("additivity / baseline, 2 wanted", "additivity"),
    )
    entries = content["summary"]
    blocks = [
        f"{facts(content, 'mi_self_consistency')} {content['cpu_minutes']:.0f} CPU minutes in all.",
        markdown(headings, [_consistent(entry) for entry in entries]),
    ]
    rows = [row for row in content["rows"] if row["part"] == "estimate"]
    if rows:
        brackets = {
            (row["data"], row["rows"]): row["bracket"]
            for row in content["rows"]
            if row["part"] == "entropies"
        }
        headings = ("pixels as", "test", "rows", "seed", "nats", "95 % interval", "guaranteed")
        headings += ("reliable", "entropy of Y")
        lines = [_estimated(row, brackets) for row in rows]
        blocks.append(markdown(headings, lines))
    return "\n\n".join(blocks) + "\n"


def _consistent(entry: dict) -> tuple[str, ...]:
    zero = [point for point in entry["baseline"] if point["rows"] == 0]
    others = [point for point in entry["baseline"] if point["rows"]]
    passes = entry["passes"]
    return (
        *(_DATA.get(entry["data"], entry["data"]), entry["form"], LABELS[entry["estimator"]]),
        *(_points(zero, rows=False), _points(others, digits=1), passes.get("baseline", "")),
        *(_points(entry["processing"]), passes.get("processing", "")),
        *(_points(entry["additivity"]), passes.get("additivity", "")),
    )


def _points(points: list[dict], rows: bool = True, digits: int = 2) -> str:
    """Means with half the width of their intervals, "14: 0.98 ± 0.01"; `rows` before each."""
    return ", ".join(
        (f"{point['rows']}: " if rows else "") + _number(point, digits) for point in points
    )


def _number(point: dict, digits: int) -> str:
    mean, interval = point["mean"], point["interval"]
    if mean is None:
        return "none"
    if abs(mean) >= 1000:
        return f"{mean:.0e}"
    reach = "" if interval is None else f" ± {_short(interval[1] - mean, digits)}"
    return f"{mean + 0.0:.{digits}f}{reach}".replace("-0.00 ", "0.00 ")


def _short(value: float, digits: int) -> str:
    return f"{value:.0e}" if value >= 1000 else f"{value:.{digits}f}"


def _estimated(row: dict, brackets: dict) -> tuple[str, ...]:
    low, high = brackets[row["data"], row["rows"]]
    start = (row["form"], row["test"], f"{row['rows']}", f"{row['seed']}")
    if "refused" in row:
        return (*start, "refused", "", "", f"no: {row['refused']}", "0")
    bracket = f"{low:.2f} to {high:.2f}"
    if row["test"] == "additivity":
        bracket = f"{2 * low:.2f} to {2 * high:.2f}"
    return (
        *start,
        f"{row['values']['mi.estimate']:.2f}",
        f"{row['interval'][0]:.2f} to {row['interval'][1]:.2f}",
        f"{row['guaranteed']:.2f}",
        "yes" if row["reliable"] else f"no: {row['why']}",
        bracket,
    )
