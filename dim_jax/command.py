"""One command, from its arguments to its exit code: parsing, processes, the run and its errors."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence

from dim_jax import commandline, contracts
from dim_jax.processes import distributed, stop_signals, supervisor, xla_flags
from dim_jax.rundir import checkpoint, workdir

_IN_ALL = " in all processes"
_PATIENCE_SECONDS = 3.0  # job schedulers kill a process some seconds after they asked it to end


def run(argv: Sequence[str], usage: str, *, alone: bool = False) -> int:
    """Runs the command of the arguments (argv[0] is the program); returns the exit code.

    Args:
      alone: the process does nothing else, so that a signal may end it.
    """
    if commandline.asks_for_usage(argv[1:]):
        print(usage)
        return 0
    command = None
    try:
        command = commandline.parse(argv)
        if command.help:
            print(commandline.describe(command.config))
            return 0
        if command.config.get("deterministic"):
            xla_flags.ask_for_determinism()
        job = distributed.find(command.distributed)
        if job is None:
            return _train_and_evaluate(command, alone)
        if not supervisor.is_child():
            return supervisor.run(argv[1:], job, lambda: _continues(command, _IN_ALL))
        distributed.start(job)
    except contracts.UserError as error:
        print(f"dim_jax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _interrupted(command)
    return _one_of_several(command, alone)


def _train_and_evaluate(command: commandline.Command, alone: bool) -> int:
    # Figures are drawn to files; a notebook's backend may be missing here.
    os.environ["MPLBACKEND"] = "agg"
    # JAX starts here, after the command line has been checked.
    with stop_signals.ending_at_once():
        from dim_jax import experiment
        from dim_jax.processes import backend, compilation_cache
        from dim_jax.training import stopping

    compilation_cache.keep()
    backend.start()
    try:
        with backend.explain_out_of_memory():
            experiment.train_and_evaluate(
                *(command.config, command.workdir, command.source),
                profile=command.profile,
                patience=_PATIENCE_SECONDS if alone else None,
                written=command.written,
            )
    except (stopping.Stopped, distributed.Ended) as ended:
        print(f"dim_jax: {ended}", file=sys.stderr)
        return ended.exit_code
    return 0


def _one_of_several(command: commandline.Command, alone: bool) -> int:
    """The same where others take part: however it ends, they are not left waiting."""
    try:
        code = _train_and_evaluate(command, alone)
        if code == 0:
            distributed.end()
            return code
    except KeyboardInterrupt:
        code = _interrupted(command)
    except contracts.UserError as error:
        print(f"dim_jax: {error}", file=sys.stderr)
        code = 2
    except Exception as error:
        lost = distributed.lost(error)
        if lost is None:
            traceback.print_exc()
        else:
            print(f"dim_jax: {lost}{_continues(command, _IN_ALL)}", file=sys.stderr)
        code = lost.exit_code if lost else 1
    distributed.abandon(code)


def _interrupted(command: commandline.Command | None) -> int:
    """Ctrl-C before training or after it; in training and evaluation the progress is saved."""
    print(f"dim_jax: stopped by Ctrl-C{_continues(command) if command else ''}", file=sys.stderr)
    return 128 + signal.SIGINT


def _continues(command: commandline.Command, processes: str = "") -> str:
    folder = workdir.Workdir(command.workdir).checkpoints
    return f"; the same command{processes} {checkpoint.describe_continuation(folder)}"
