"""An experiment is a list of rows; this runs what is missing and writes ours beside published.

Each row is a command like any user's, in its own process and run folder. The folder is named after
the command, so an interrupted experiment continues where it was, and a row that two tables share is
run once. Rows that differ in their evaluations alone share one training. Results go to
experiments/results/<name>.json after every run.
"""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dim_jax.settings import UserError
from experiments import table_text, trainings

RESULTS = pathlib.Path(__file__).parent / "results"
RUNS = "runs/experiments"
_LONGEST = 120


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table: a config (with overrides) run with several seeds."""

    label: str
    config: str
    overrides: tuple[str, ...] = ()  # of the config with the row's evaluations
    seeds: tuple[int, ...] = (0,)
    differs: str = ""  # what differs from the published setting
    compared: bool = True  # False: what the config calls published is not of these overrides
    later: tuple[str, ...] = ()  # more overrides, of every seed but the first
    evals: dict | None = None  # the evaluations, if not the config's (experiments/evaluations.py)
    # Facts of the run and metrics of the training, of which the last value is shown.
    logged: tuple[str, ...] = ()
    # {evaluation: {tap, or tap/metric: number}}, if not what the config calls published.
    published: dict | None = None


@dataclasses.dataclass(frozen=True)
class Direction:
    """A claim of the paper that two rows can bear out: one measure is larger in one of them.

    measure: (evaluation, tap, metric) of the trained representation, or of the one that a fourth
      word names.
    other: that of the smaller side, where it is another one; the two rows may then be the same.
    factor: by which the smaller side is multiplied.
    margin: added to it.
    """

    claim: str
    larger: str  # label of a row
    smaller: str
    measure: tuple[str, ...]
    other: tuple[str, ...] | None = None
    factor: float = 1.0
    margin: float = 0.0


def main(
    name: str,
    rows: Callable[[str], Sequence[Row]],
    budgets: Iterable[str],
    directions: Callable[[Sequence[Row]], Sequence[Direction]] | None = None,
    prepare: Callable[[str], None] = lambda budget: None,
) -> dict:
    """The command line of an experiment, `--budget=cpu --only=...`: runs it, prints its table.

    Args:
      rows: the rows of a budget.
      directions: the claims that those rows are to bear out.
      prepare: makes, before the runs of a budget, what all of them need.
    """
    parser = _parser(budgets)
    parser.add_argument(
        "--only", help="run the row of this label, or those whose label contains it; report all"
    )
    arguments = parser.parse_args()
    chosen = rows(arguments.budget)
    if not _select(chosen, arguments.only or ""):
        labels = "; ".join(row.label for row in chosen)
        parser.error(f"no row has {arguments.only!r} in its label; the labels are: {labels}")
    claims = directions(chosen) if directions else ()
    return run(
        f"{name}_{arguments.budget}",
        *(chosen, claims, arguments.only or ""),
        prepare=functools.partial(prepare, arguments.budget),
    )


def write_rows(path: pathlib.Path, content: Mapping, rows: Sequence[Mapping]) -> dict:
    """Writes a result file with one line for each row, in one move; returns its content."""
    head = json.dumps(content, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    draft = path.with_suffix(".draft")
    draft.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')
    draft.replace(path)
    return {**content, "rows": rows}


def budget(budgets: Iterable[str]) -> str:
    """The budget that the command line asks for, `--budget=cpu`."""
    return options(budgets).budget


def options(budgets: Iterable[str], **more: str) -> argparse.Namespace:
    """The command line of a benchmark: `--budget=cpu`, and more options by name with their help."""
    parser = _parser(budgets)
    for name, text in more.items():
        parser.add_argument(f"--{name}", help=text)
    return parser.parse_args()


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Ends the process with the sentence of a `UserError` and code 2, without a traceback."""
    try:
        yield
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error


def _parser(budgets: Iterable[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", choices=list(budgets), default="cpu")
    return parser


def run(
    name: str,
    rows: Sequence[Row],
    directions: Sequence[Direction] = (),
    only: str = "",
    prepare: Callable[[], None] = lambda: None,
) -> dict:
    """Runs what has no results yet, writes experiments/results/<name>.json and prints the table.

    The first seed of every row comes before the second of any; before each run, `prepare()`.
    """
    wanted = _select(rows, only)
    for position in range(max(len(row.seeds) for row in wanted)):
        for row in wanted:
            if position < len(row.seeds) and not _finished(row, row.seeds[position]):
                prepare()
                _train(row, row.seeds[position])
                _write(name, rows, directions)
    content = _write(name, rows, directions)
    table_text.report(content)
    return content


def _select(rows: Sequence[Row], label: str) -> list[Row]:
    """The row of a label, or else those whose label contains it."""
    exact = [row for row in rows if row.label == label]
    return exact or [row for row in rows if label in row.label]


def folder(row: Row, seed: int) -> pathlib.Path:
    """The run folder of a row's command."""
    overrides = _overrides(row, seed)
    words = [pathlib.Path(row.config).name, *(text.partition(".")[2] for text in overrides)]
    if row.evals is not None:
        words.append(f"evals-{hashlib.sha256(json.dumps(row.evals).encode()).hexdigest()[:8]}")
    slug = "-".join(filter(None, re.split(r"[^a-z0-9_.]+", " ".join(words).lower())))
    if len(slug) > _LONGEST:  # a file system's limit
        slug = f"{slug[:_LONGEST]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    return pathlib.Path(RUNS) / slug / f"seed{seed}"


def _overrides(row: Row, seed: int) -> tuple[str, ...]:
    return row.overrides + (row.later if seed != row.seeds[0] else ())


def _finished(row: Row, seed: int) -> bool:
    return (folder(row, seed) / "results.json").exists()


def _train(row: Row, seed: int) -> None:
    arguments = [
        *(f"--config={row.config}", f"--workdir={folder(row, seed)}"),
        *(f"--config.seed={seed}", *_overrides(row, seed)),
        *([] if row.evals is None else [f"--evals={json.dumps(row.evals)}"]),
    ]
    print(f"== {row.label}, seed {seed}", flush=True)
    there = trainings.reuse(["main", *arguments], pathlib.Path(RUNS), folder(row, seed))
    if there is not None:
        print(f"   with the training of {there}", flush=True)
    trainings.run(arguments)


def _write(name: str, rows: Sequence[Row], directions: Sequence[Direction]) -> dict:
    path = RESULTS / f"{name}.json"
    earlier = json.loads(path.read_text())["rows"] if path.exists() else []
    found = {}
    for row in rows:
        seeds = [seed for seed in row.seeds if _finished(row, seed)]
        if not seeds:  # measured before, in a run folder that is not here
            found |= {old["label"]: old for old in earlier if _is(row, old)}
        else:
            results = [
                json.loads((folder(row, seed) / "results.json").read_text()) for seed in seeds
            ]
            found[row.label] = _summary(row, seeds, results)
    content = {"experiment": name, "rows": [*found.values()]}
    if directions:
        content["directions"] = [*_verdicts(directions, found)]
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    return content


def _is(row: Row, earlier: dict) -> bool:
    """Whether an entry of a result file is this row's.

    Entries of earlier versions name their evaluations by a word of the config, not by `evals`.
    """
    wanted = (row.label, row.config, list(row.overrides))
    config = table_text.config(earlier)
    if wanted != (earlier["label"], config, earlier["overrides"]):
        return False
    evals = json.loads(json.dumps(row.evals))
    return config != earlier["config"] or earlier.get("evals") == evals


def _summary(row: Row, seeds: Sequence[int], results: Sequence[dict]) -> dict:
    """One row of the table: means over seeds, and the facts of the runs."""
    cells = {}
    for result in results:
        for measured in result["rows"]:
            if row.published is not None or not row.compared:
                measured = {**measured, "published": _published(row, measured)}
            key = (measured["eval"], measured["representation"], measured["tap"])
            cells.setdefault((*key, measured["metric"]), []).append(measured)
    for seed, result in zip(seeds, results, strict=True):
        for name in row.logged:
            facts = result["run"] if name in result["run"] else _last_metrics(row, seed)
            measured = dict.fromkeys(("protocol", "published"), None) | dict(
                **dict(eval="training", representation="trained", labels="all", tap=""),
                **dict(metric=name, value=facts[name]),
            )
            cells.setdefault(("training", name), []).append(measured)
    facts = [result["run"] for result in results]
    return {
        "label": row.label,
        "config": row.config,
        "overrides": list(row.overrides),
        **({} if row.evals is None else {"evals": row.evals}),
        "differs": row.differs,
        "seeds": list(seeds),
        **{key: facts[0][key] for key in ("dataset", "steps", "epochs", "device", "commit")},
        "train_examples": facts[0]["train_examples"],
        "test_examples": facts[0]["test_examples"],
        "train_minutes": round(statistics.mean(f["train_seconds"] for f in facts) / 60, 2),
        "eval_minutes": round(statistics.mean(f["eval_seconds"] for f in facts) / 60, 2),
        "versions": facts[0]["versions"],
        "measures": [_cell(measured) for measured in cells.values()],
    }


def _last_metrics(row: Row, seed: int) -> dict:
    lines = (folder(row, seed) / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])


def _published(row: Row, measured: dict) -> float | None:
    """The number of the paper beside a measured one of the trained representation."""
    if not row.compared or measured["representation"] != "trained":
        return None
    tap, metric = measured["tap"], measured["metric"]
    numbers = (row.published or {}).get(measured["eval"], {})
    return numbers.get(tap if metric == "accuracy" else f"{tap}/{metric}")


def _cell(measured: Sequence[dict]) -> dict:
    first = measured[0]
    values = [entry["value"] for entry in measured]
    value = statistics.mean(values)
    cell = {
        **{
            key: first[key]
            for key in ("eval", "protocol", "labels", "representation", "tap", "metric")
        },
        # Of an evaluation on another data set than the run's.
        **({"dataset": first["dataset"]} if first.get("dataset") else {}),
        "value": value,
        "values": values,
        "std_over_seeds": statistics.stdev(values) if len(values) > 1 else None,
    }
    published = first.get("published")
    if first["metric"] == "accuracy":
        difference = None if published is None else round(100 * value - published, 2)
        return {**cell, "published_percent": published, "difference_points": difference}
    difference = None if published is None else round(value - published, 4)
    return {**cell, "published": published, "difference": difference}


def _verdicts(directions: Sequence[Direction], rows: dict[str, dict]) -> Iterator[dict]:
    """Each direction with our differences, seed by seed, where both of its rows have results."""
    for direction in directions:
        sides = [rows.get(label) for label in (direction.larger, direction.smaller)]
        if None in sides:
            continue
        measures = (direction.measure, direction.other or direction.measure)
        larger, smaller = map(_by_seed, sides, measures)
        shared = sorted(larger.keys() & smaller.keys())
        differences = [
            larger[seed] - direction.factor * smaller[seed] - direction.margin for seed in shared
        ]
        if differences:
            yield {
                **dataclasses.asdict(direction),
                "seeds": shared,
                "differences": differences,
                "mean_difference": statistics.mean(differences),
                "verdict": "hit" if statistics.mean(differences) > 0 else "miss",
            }


def _by_seed(row: dict, measure: Sequence[str]) -> dict[int, float]:
    wanted = [*measure, "trained"][:4]
    for cell in row["measures"]:
        if [cell[key] for key in ("eval", "tap", "metric", "representation")] == wanted:
            # A row's later seeds may lack the measure: the first ones then have it.
            return dict(zip(row["seeds"], cell["values"], strict=False))
    return {}
