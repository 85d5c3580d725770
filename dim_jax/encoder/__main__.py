"""python -m dim_jax.encoder --run RUN --folder PATH --out FILE; --help prints all options."""

import sys

from dim_jax.encoder import command

if __name__ == "__main__":
    sys.exit(command.main())
