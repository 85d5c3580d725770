"""python -m dim_jax.mi x.npy y.npy [--report FILE.html] [--json FILE.json] ...

Prints the mutual information of the samples in two files, or in one file with --x and --y; --help
prints all options.
"""

import sys
from collections.abc import Sequence

from dim_jax.mi import command
from dim_jax.processes import standard_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 a mistake, 130 stopped by Ctrl-C."""
    with standard_streams.guarded():
        return command.run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
