"""python -m dim_jax.encoder --run RUN --folder PATH --out FILE; --help prints all options."""

import signal
import sys

from dim_jax.encoder import command
from dim_jax.processes import stop_signals


def _end(number, frame) -> None:
    """Ends by an exception, so that unfinished files, which may be large, are removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in stop_signals.numbers():
        if each != signal.SIGINT:
            signal.signal(each, _end)
    sys.exit(command.main())
