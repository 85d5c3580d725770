"""python -m dim_jax.main --config FILE.py[:arguments] [--workdir DIR] [--config.key=value ...]

Trains, evaluates and reports. The same command again continues an interrupted run. Exit codes:
0 done, 2 a mistake that the printed sentence explains, 128 + n stopped (and saved) by signal n.
"""

import sys
from collections.abc import Sequence

from dim_jax import commandline, contracts


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv[1:]):
        print(__doc__)
        return 0
    try:
        command = commandline.parse(argv)
        # JAX starts here and not before the command line is known to be right.
        from dim_jax import run, train

        try:
            run.train_and_evaluate(command.config, command.workdir, command.source)
        except train.Stopped as stopped:
            print(f"dim_jax: {stopped}", file=sys.stderr)
            return stopped.exit_code
    except contracts.UserError as error:
        print(f"dim_jax: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
