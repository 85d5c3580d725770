"""An experiment is a list of rows; this runs what is missing and writes ours beside published.

Each row is a command like any user's, in its own process and run folder, so an interrupted
experiment continues where it was. Results go to experiments/results/<name>.json.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence

import rich.console
import rich.table

RESULTS = pathlib.Path(__file__).parent / "results"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table: a config (with overrides) run with several seeds."""

    label: str
    config: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    differs: str = ""  # what differs from the published setting


def run(name: str, rows: Sequence[Row], runs: str = "runs/experiments") -> dict:
    """Runs what has no results yet, writes experiments/results/<name>.json and prints the table."""
    found = []
    for row in rows:
        results = [_one(name, row, seed, runs) for seed in row.seeds]
        found.append(_summary(row, results))
    content = {"experiment": name, "rows": found}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    report(content)
    return content


def budget(known: Iterable[str], default: str = "cpu") -> str:
    """The budget that the command line asks for, `--budget=cpu`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", choices=list(known), default=default)
    return parser.parse_args().budget


def _one(name: str, row: Row, seed: int, runs: str) -> dict:
    slug = "".join(letter if letter.isalnum() else "-" for letter in row.label.lower())
    workdir = pathlib.Path(runs) / name / f"{slug}-seed{seed}"
    if not (workdir / "results.json").exists():
        command = [
            *(sys.executable, "-m", "dim_jax.main", f"--config={row.config}"),
            *(f"--workdir={workdir}", f"--config.seed={seed}", *row.overrides),
        ]
        print(f"== {row.label}, seed {seed}", flush=True)
        subprocess.run(command, check=True)
    return json.loads((workdir / "results.json").read_text())


def _summary(row: Row, results: Sequence[dict]) -> dict:
    """One row of the table: means over seeds, and the facts of the runs."""
    cells = {}
    for result in results:
        for measured in result["rows"]:
            key = (measured["eval"], measured["representation"], measured["tap"])
            cells.setdefault((*key, measured["metric"]), []).append(measured)
    facts = [result["run"] for result in results]
    return {
        "label": row.label,
        "config": row.config,
        "overrides": list(row.overrides),
        "differs": row.differs,
        "seeds": list(row.seeds),
        **{key: facts[0][key] for key in ("dataset", "steps", "epochs", "device", "commit")},
        "train_examples": facts[0]["train_examples"],
        "test_examples": facts[0]["test_examples"],
        "train_minutes": round(statistics.mean(f["train_seconds"] for f in facts) / 60, 2),
        "eval_minutes": round(statistics.mean(f["eval_seconds"] for f in facts) / 60, 2),
        "versions": facts[0]["versions"],
        "measures": [_cell(measured) for measured in cells.values()],
    }


def _cell(measured: Sequence[dict]) -> dict:
    first = measured[0]
    values = [entry["value"] for entry in measured]
    value = statistics.mean(values)
    published = first.get("published")
    return {
        **{
            key: first[key]
            for key in ("eval", "protocol", "labels", "representation", "tap", "metric")
        },
        "value": value,
        "std_over_seeds": statistics.stdev(values) if len(values) > 1 else None,
        "published_percent": published,
        "difference_points": None if published is None else round(100 * value - published, 2),
    }


def report(content: dict) -> None:
    """Prints the accuracies of every row, percent; published numbers and differences beside."""
    console = rich.console.Console(width=120)
    evaluations = sorted(
        {
            measure["eval"]
            for row in content["rows"]
            for measure in row["measures"]
            if measure["metric"] == "accuracy"
        }
    )
    for evaluation in evaluations:
        table = rich.table.Table(title=f"{content['experiment']}: {evaluation}, accuracy %")
        for heading in ("row", "encoder", "conv", "fc", "y", "pixels", "pca", "minutes"):
            table.add_column(heading)
        for row in content["rows"]:
            for encoder in ("trained", "untrained"):
                table.add_row(*line(row, evaluation, encoder))
        console.print(table)


def line(row: dict, evaluation: str, encoder: str) -> list[str]:
    """One line of a table: label, encoder, conv, fc, y, pixels, pca, minutes, as text."""
    found = {
        (measure["representation"], measure["tap"]): measure
        for measure in row["measures"]
        if measure["eval"] == evaluation and measure["metric"] == "accuracy"
    }
    own = [(encoder, tap) for tap in ("conv", "fc", "y")]
    controls = [("pixels", "pixels"), ("pca", "pca")] if encoder == "trained" else []
    texts = [_text(found.get(key)) for key in [*own, *controls]]
    texts += [""] * (2 - len(controls))
    minutes = f"{row['train_minutes']:.1f}" if encoder == "trained" else ""
    return [row["label"] if encoder == "trained" else "", encoder, *texts, minutes]


def _text(measure: dict | None) -> str:
    if measure is None:
        return ""
    text = f"{100 * measure['value']:.1f}"
    spread = measure["std_over_seeds"]
    if spread is not None and not math.isnan(spread):
        text += f" ±{100 * spread:.1f}"
    if measure["published_percent"] is not None:
        text += f" ({measure['published_percent']:.1f}, {measure['difference_points']:+.1f})"
    return text
