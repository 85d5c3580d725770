"""The command `python -m dim_jax.compare`, from its arguments to its exit code."""

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from dim_jax import __version__, contracts
from dim_jax.compare import comparison, console, page
from dim_jax.compare.comparison import Comparison
from dim_jax.processes import short_commands
from dim_jax.rundir import paths, writing

PROGRAM = "dim_jax.compare"


def run(arguments: Sequence[str], compare: Callable[..., Comparison] = comparison.runs) -> int:
    """Runs the command of the arguments, without the program; returns the exit code.

    Args:
      compare: in the place of `compare.runs`.
    """
    return short_commands.exit_code(PROGRAM, lambda: _run(arguments, compare))


def _run(arguments: Sequence[str], compare: Callable[..., Comparison]) -> int:
    options, surplus = _parser().parse(arguments)
    compared = compare([*options.runs, *surplus])
    compared, metrics = _chosen(compared, options)
    out = paths.output("--out", options.out, ".html", PROGRAM)
    numbers = options.json and paths.output("--json", options.json, ".json", PROGRAM)
    command = shlex.join(["python", "-m", PROGRAM, *arguments])
    with paths.explained(out, "--out"):
        page.write_html(compared, out, metrics=metrics, x=options.x, command=command)
    if numbers:
        _write_json(compared, numbers, command)
    lines = [line for line in compared.lines if options.controls or not line.is_control]
    console.show(compared, lines)
    for path in filter(None, (out, numbers)):
        print(f"wrote {path}")
    return 0


def _parser() -> short_commands.Parser:
    parser = short_commands.Parser(
        prog=f"python -m {PROGRAM}",
        description="Compare runs: settings that differ, results side by side, curves.",
        epilog="Exit codes: 0 done, 2 a mistake, which the printed sentence explains, 130 Ctrl-C.",
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="the folders of two runs or more, such as runs/*")
    add("--out", metavar="FILE.html", default="compare.html", help="the page (%(default)s)")
    add("--json", metavar="FILE.json", help="write settings and results")
    add("--metric", metavar="NAMES", help="results and curves to show: accuracy,loss/encoder")
    add("--x", choices=page.AXES, default="steps", help="the axis of the curves (%(default)s)")
    add("--controls", action="store_true", help="print those of controls too: untrained, pixels")
    return parser


def _chosen(
    compared: Comparison, options: argparse.Namespace
) -> tuple[Comparison, tuple[str, ...]]:
    """The comparison with the chosen results, and the metrics whose curves are drawn."""
    metrics = page.metrics(compared.runs)
    if options.metric is None:
        return compared, metrics
    names = [name.strip() for name in options.metric.split(",")]
    there = dict.fromkeys([*(line.metric for line in compared.lines), *metrics])
    for name in names:
        if not any(_is_of(each, name) for each in there):
            raise contracts.unknown("metric", name, there)
    lines = [line for line in compared.lines if any(_is_of(line.metric, name) for name in names)]
    curves = [each for each in metrics if any(_is_of(each, name) for name in names)]
    return compared._replace(lines=tuple(lines)), tuple(curves)


def _is_of(metric: str, name: str) -> bool:
    """Whether it is the metric of this name, or of the group: "loss" has "loss/encoder"."""
    return metric == name or metric.startswith(f"{name}/")


def _write_json(compared: Comparison, path: Path, command: str) -> None:
    facts = {"program": PROGRAM, "version": __version__, "command": command}
    with paths.explained(path, "--json"):
        writing.replace_json(path, facts | compared.to_dict())
