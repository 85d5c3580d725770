"""python -m dim_jax.compare RUN RUN ... [--out FILE.html] [--json FILE.json] ...

Prints the settings in which runs differ and their results side by side, and writes a page with
their curves over each other; --help prints all options.
"""

import sys
from collections.abc import Sequence

from dim_jax.compare import command
from dim_jax.processes import standard_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 a mistake, 130 stopped by Ctrl-C."""
    with standard_streams.guarded():
        return command.run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
