"""dim-jax --config FILE.py[:arguments] [--workdir DIR] [--config.key=value ...] [--evals JSON]

Trains, evaluates and reports; `python -m dim_jax.main` is the same command. Given again, it
continues an interrupted run. With --help it prints every key of the config instead, with
value, default and meaning.

--evals replaces the evaluations of the config, by names (--evals=linear,knn), by a JSON object, or
by that in a file: --evals='{"svm": {"name": "svm", "taps": ["y"]}}'. --profile records where the
time of a training step goes (see dim_jax.profiling).

Several processes: the same command in each one. On TPU pods, in Slurm steps and under Open MPI
they find each other (--distributed=off: they do not; =on: they must); elsewhere give
--coordinator=HOST:PORT --processes=N --process=I, or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES
and JAX_PROCESS_ID. They wait --join_seconds=300 for each other.

Exit codes: 0 done, 2 a mistake or a failed write, which the printed sentence explains, 75 try
again: stopped (and saved) by train.max_minutes, or another process of the run was lost, 128 + n
stopped (and saved) by signal n.
"""

import os
import sys
from collections.abc import Sequence

from dim_jax.processes import standard_streams, stop_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code.

    Without arguments it is that of this process, which ends here if the run was stopped: at its
    usual end it would wait for all work that is queued on the device.
    """
    with standard_streams.guarded():
        with stop_signals.ending_at_once():
            from dim_jax import command  # and JAX, which takes a second
        alone = argv is None
        code = command.run(sys.argv if alone else argv, usage=__doc__, alone=alone)
    if alone and code not in (0, 1, 2):
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
