"""Profiling of training steps: a trace of one dispatch, and a table of its operations.

    python -m dim_jax.main --config configs/x.py --profile
    python -m dim_jax.profiling runs/x/profile

The trace is from `jax.profiler`: XProf and Perfetto (ui.perfetto.dev opens `*.trace.json.gz`) show
it on a time line. The table needs neither: it sums the time of each operation of the compiled
program, and reads the part of the model that it belongs to from `program.txt` beside the trace.
"""

import argparse
import collections
import gzip
import json
import operator
import pathlib
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import rich.console
import rich.table

from dim_jax import contracts

_PROGRAM, _FACTS = "program.txt", "facts.json"
# `%name = shape operation(...), metadata={op_name="jit(f)/while/body/jvp(Net)/conv0/dot_general"}`
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.-]+) = (\S+) .*op_name="([^"]*)"', re.MULTILINE)
_SHOWN = 60  # characters of a name that are shown, from its end


class Recorder:
    """Records the second dispatch of a run; the first one is the warm-up."""

    def __init__(self, directory: pathlib.Path, log: Callable[[str], Any]):
        self._directory = directory
        self._log = log
        self._calls = 0

    def __call__(self, program: jax.stages.Compiled, *arguments, steps: int):
        """Calls program(*arguments), a dispatch of this number of steps."""
        self._calls += 1
        if self._calls != 2:
            return program(*arguments)
        jax.block_until_ready(arguments)  # earlier work is not part of this dispatch
        with jax.profiler.trace(self._directory):
            outputs = jax.block_until_ready(program(*arguments))
        (self._directory / _FACTS).write_text(json.dumps({"steps": steps}) + "\n")
        (self._directory / _PROGRAM).write_text(program.as_text())
        self._log(
            f"profile of {steps} steps: {self._directory} "
            f"(python -m dim_jax.profiling {self._directory})"
        )
        return outputs

    def close(self) -> None:
        """Logs a message if nothing was recorded."""
        if self._calls < 2:
            self._log(
                f"no profile: the second dispatch is recorded and the run had {self._calls}; set a "
                "smaller train.steps_per_dispatch"
            )


class Operation(NamedTuple):
    """An operation of the compiled program, with its time per step on all threads."""

    name: str
    milliseconds: float
    shape: str
    origin: str


def operations(directory: pathlib.Path) -> list[Operation]:
    """The operations of a recorded dispatch, in order of descending time.

    Raises:
      UserError: the folder holds no profile, or a damaged one.
    """
    traces = sorted(directory.rglob("*.trace.json.gz"))
    if not traces or not (directory / _PROGRAM).is_file():
        raise contracts.UserError(
            f"{directory} holds no profile; give the folder `profile` of a run made with --profile"
        )
    try:
        steps = operator.index(json.loads((directory / _FACTS).read_text())["steps"])
        if steps < 1:
            raise ValueError(f"{steps} steps")
        text = (directory / _PROGRAM).read_text()
        microseconds = _durations(traces[-1])
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise contracts.UserError(
            f"the profile in {directory} is incomplete or damaged ({type(error).__name__}: {error})"
            "; record it again with --profile and another --workdir"
        ) from error
    program = {name: (shape, origin) for name, shape, origin in _INSTRUCTION.findall(text)}
    return [
        Operation(name, total / 1e3 / steps, *program.get(name, ("", "")))
        for name, total in sorted(microseconds.items(), key=lambda pair: -pair[1])
    ]


def _durations(trace: pathlib.Path) -> dict[str, float]:
    """The microseconds of each operation, the sum over all threads."""
    durations: dict[str, float] = collections.defaultdict(float)
    with gzip.open(trace, "rt") as file:
        events = json.load(file)["traceEvents"]
    for event in events:
        name = event.get("args", {}).get("hlo_op")
        # The time of a loop is that of the operations in its body.
        if event.get("ph") == "X" and name and not name.startswith(("while", "call", "condition")):
            durations[name] += event["dur"]
    return durations


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table of a profile; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dim_jax.profiling")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=30)
    arguments = parser.parse_args(argv)
    try:
        recorded = operations(arguments.directory)
    except contracts.UserError as error:
        print(f"dim_jax: {error}", file=sys.stderr)
        return 2
    total = sum(operation.milliseconds for operation in recorded)
    table = rich.table.Table("ms per step", "share", "operation", "result", "from", padding=0)
    table.title = f"{len(recorded)} operations, {total:.1f} ms per step on all threads"
    for operation in recorded[: arguments.rows]:
        table.add_row(
            f"{operation.milliseconds:.2f}",
            f"{operation.milliseconds / (total or 1):.1%}",
            operation.name,
            operation.shape.partition("{")[0],
            operation.origin[-_SHOWN:],
        )
    rich.console.Console(width=140).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
