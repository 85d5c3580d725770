"""The command `python -m dim_jax.mi`, from its arguments to its exit code."""

import argparse
import contextlib
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.mi import columns, console, files, outputs
from dim_jax.mi.result import Estimate
from dim_jax.processes import backend, compilation_cache, short_commands

PROGRAM = "dim_jax.mi"
_EXAMPLE = "for example: python -m dim_jax.mi x.npy y.npy"


def run(arguments: Sequence[str], estimate: Callable[..., Estimate] | None = None) -> int:
    """Runs the command of the arguments, without the program; returns the exit code.

    Args:
      estimate: in the place of `mi.estimate`, or with --ranking of `mi.ranking`.
    """
    return short_commands.exit_code(PROGRAM, lambda: _run_within_memory(arguments, estimate))


def _run_within_memory(arguments: Sequence[str], estimate: Callable[..., Estimate] | None) -> int:
    try:
        return _run(arguments, estimate)
    except MemoryError as error:
        raise contracts.UserError("out of memory; give fewer samples or columns") from error


def _run(arguments: Sequence[str], estimate: Callable[..., Estimate] | None) -> int:
    options = _parse(arguments)
    written = {
        option: outputs.check(option, text)
        for option, text in (("--json", options.json), ("--report", options.report))
        if text is not None
    }
    read = _read(options)
    if options.ranking:
        return _rank(options, read, written.get("--json"), arguments, estimate)
    if estimate is None:
        estimate = _start()
    start = time.perf_counter()
    with console.progress() as show:
        result = estimate(
            *(read["x"], read["y"]),
            given=read.get("given"),
            blocks=read.get("blocks"),
            discrete=options.discrete,
            method=options.method,
            confidence=options.confidence,
            permutations=options.permutations,
            seed=options.seed,
            progress=show,
        )
    seconds = time.perf_counter() - start
    command = shlex.join(["python", "-m", PROGRAM, *arguments])
    for option, path in written.items():
        if option == "--json":
            outputs.write_json(result, path, command, seconds)
        else:
            outputs.write_page(result, path, read, options, command, seconds)
    console.show(result, "given" in read, seconds)
    for path in written.values():
        print(f"wrote {path}")
    return 0


def _rank(options, read: dict[str, Any], path: Any, arguments: Sequence[str], rank) -> int:
    """The columns of x by their information about y."""
    from dim_jax import mi

    names = ("blocks", "discrete", "correction", "confidence", "permutations", "seed")
    chosen = {name: getattr(options, name) for name in names} | {"blocks": read.get("blocks")}
    start = time.perf_counter()
    with console.progress() as show:
        ranking = (rank or mi.ranking)(read["x"], read["y"], **chosen, progress=show)
    if path is not None:
        command = shlex.join(["python", "-m", PROGRAM, *arguments])
        outputs.write_json(ranking, path, command, time.perf_counter() - start)
    console.show_ranking(ranking)
    if path is not None:
        print(f"wrote {path}")
    return 0


def _start() -> Callable[..., Estimate]:
    from dim_jax import mi

    compilation_cache.keep()
    backend.start()
    return mi.estimate


def _parser() -> short_commands.Parser:
    parser = short_commands.Parser(
        prog=f"python -m {PROGRAM}",
        description="Estimate the mutual information of two data sets from samples of both.",
        epilog="Exit codes: 0 done, 2 a mistake, which the printed sentence explains, 130 Ctrl-C.",
    )
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="of x and of y, or one file with both")
    add("--x", metavar="NAMES", help="columns of a table, or arrays of an .npz file: a,b,c")
    add("--y", metavar="NAMES", help="the same for y")
    add("--given", metavar="NAMES|FILE", help="z of the conditional information I(x; y | z)")
    add("--blocks", metavar="NAME|FILE", help="equal labels for samples that depend on each other")
    add("--discrete", metavar="NAMES", help="those of x,y,given that are classes, or none")
    add("--method", default="default", help="the estimator (default: %(default)s)")
    add("--ranking", action="store_true", help="each column of x with y, the best first")
    add("--correction", default="holm", help="of p-values in --ranking, or benjamini_hochberg")
    add("--confidence", type=_confidence, default=0.95, help="of the interval (%(default)s)")
    add("--permutations", type=_count, default=1000, help="for the null (%(default)s)")
    add("--seed", type=_count, default=0, help="of folds, networks, permutations (%(default)s)")
    add("--json", metavar="FILE.json", help="write all numbers")
    add("--report", metavar="FILE.html", help="write a page")
    return parser


def _confidence(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.5 <= float(text) < 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no level; give one from 0.5 to below 1")


def _count(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) >= 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no count; give an integer of 0 or more")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    options, surplus = _parser().parse(arguments)
    if surplus or len(options.files) > 2:
        raise contracts.UserError(f"got {len(options.files) + len(surplus)} files; give one or two")
    if not options.files:
        raise contracts.UserError(f"no file of samples is given; {_EXAMPLE}")
    if options.discrete is not None:
        names = options.discrete.split(",")
        options.discrete = () if names == ["none"] else tuple(name.strip() for name in names)
        columns.says_discrete(options.discrete, "x")
    for name, default in (("given", None), ("report", None), ("method", "default")):
        if options.ranking and getattr(options, name) != default:
            raise contracts.UserError(
                f"--ranking has no --{name}; leave it out, or estimate one pair without --ranking"
            )
    return options


def _read(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the estimate by name, those that were given."""
    first, *others = options.files
    if not others:
        missing = [name for name in ("x", "y") if getattr(options, name) is None]
        if missing:
            raise contracts.UserError(
                f"{first} is the only file, and --{' and --'.join(missing)} must name the columns "
                "or arrays to take; or give two files, of x and of y"
            )
    read = {
        "x": files.read(first, options.x, option="--x"),
        "y": files.read(others[0] if others else first, options.y, option="--y"),
    }
    for name in ("given", "blocks"):
        text = getattr(options, name)
        if text is None:
            continue
        labels, option = name == "blocks", f"--{name}"
        if files.is_file(text):
            read[name] = files.read(text, option=option, labels=labels)
        elif others:
            raise contracts.UserError(
                f"{option} is {text!r}, and with two files it must be a file: one of "
                f"{', '.join(files.SUFFIXES)}"
            )
        else:
            read[name] = files.read(first, text, option=option, labels=labels)
        if labels:
            read[name] = _only_column(read[name])
    return read


def _only_column(value: Any) -> np.ndarray:
    if not isinstance(value, dict):
        return value
    if len(value) > 1:
        raise contracts.UserError(
            f"--blocks has the columns {contracts.abridged(value, 5)}; give one column of labels"
        )
    return next(iter(value.values()))
