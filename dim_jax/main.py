"""dim-jax --config FILE.py[:arguments] [--workdir DIR] [--config.key=value ...] [--evals JSON]

Trains, evaluates and reports; `python -m dim_jax.main` is the same command. Given again, it
continues an interrupted run. With --help it prints every key of the config instead, with
value, default and meaning.

--evals replaces the evaluations of the config by those of a JSON object, or of the file at a path:
--evals='{"svm": {"name": "svm", "taps": ["y"]}}'. --profile records where the time of a training
step goes (see dim_jax.profiling).

Several processes: the same command in each one. On TPU pods, in Slurm steps and under Open MPI
they find each other (--distributed=off: they do not; =on: they must); elsewhere give
--coordinator=HOST:PORT --processes=N --process=I, or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES
and JAX_PROCESS_ID. They wait --join_seconds=300 for each other.

Exit codes: 0 done, 2 a mistake or a full disk, which the printed sentence explains, 75 try again:
stopped (and saved) by train.max_minutes, or another process of the run was lost, 128 + n stopped
(and saved) by signal n.
"""

import sys
import traceback
from collections.abc import Sequence

from dim_jax import commandline, contracts
from dim_jax.processes import distributed, supervisor, xla_flags
from dim_jax.rundir import checkpoint, workdir


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    argv = sys.argv if argv is None else argv
    if commandline.asks_for_usage(argv[1:]):
        print(__doc__)
        return 0
    try:
        command = commandline.parse(argv)
        if command.help:
            print(commandline.describe(command.config))
            return 0
        if command.config.get("deterministic"):
            xla_flags.ask_for_determinism()
        job = distributed.find(command.distributed)
        if job is None:
            return _train_and_evaluate(command)
        if not supervisor.is_child():
            return supervisor.run(argv[1:], job, lambda: _continues(command))
        distributed.start(job)
    except contracts.UserError as error:
        print(f"dim_jax: {error}", file=sys.stderr)
        return 2
    return _one_of_several(command)


def _train_and_evaluate(command: commandline.Command) -> int:
    # JAX starts here, after the command line has been checked.
    from dim_jax import experiment
    from dim_jax.processes import compilation_cache
    from dim_jax.training import trainer

    compilation_cache.keep()
    try:
        experiment.train_and_evaluate(
            command.config, command.workdir, command.source, profile=command.profile
        )
    except (trainer.Stopped, distributed.Ended) as ended:
        print(f"dim_jax: {ended}", file=sys.stderr)
        return ended.exit_code
    return 0


def _one_of_several(command: commandline.Command) -> int:
    """The same where others take part: however it ends, they are not left waiting."""
    try:
        code = _train_and_evaluate(command)
        if code == 0:
            distributed.end()
            return code
    except KeyboardInterrupt:
        code = 130
    except contracts.UserError as error:
        print(f"dim_jax: {error}", file=sys.stderr)
        code = 2
    except Exception as error:
        lost = distributed.lost(error)
        if lost is None:
            traceback.print_exc()
        else:
            print(f"dim_jax: {lost}{_continues(command)}", file=sys.stderr)
        code = lost.exit_code if lost else 1
    distributed.abandon(code)


def _continues(command: commandline.Command) -> str:
    folder = workdir.Workdir(command.workdir).checkpoints
    return f"; the same command in all processes {checkpoint.describe_continuation(folder)}"


if __name__ == "__main__":
    sys.exit(main())
