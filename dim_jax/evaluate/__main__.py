"""python -m dim_jax.evaluate --encoder ENCODER --data NAME --evals linear,knn,svm ...

Evaluates any encoder beside controls and writes a report; --help prints all options.
"""

import sys
from collections.abc import Sequence

from dim_jax.evaluate.encoders import command
from dim_jax.processes import standard_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 a mistake, 130 stopped by Ctrl-C."""
    with standard_streams.guarded():
        return command.run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
