"""Every setting of a config's root and of its blocks `data`, `augment`, ..., defined once.

From the definitions come the blocks of the configs, the objects that the package passes on, the
comparison of run folders, the opening lines of a run, `--help` and docs/configuration.md. A setting
that is added later needs a default under which a run of an older version continues as it was.

Imports the standard library only, so that configs can import it.
"""

from dim_jax.settings import arguments
from dim_jax.settings.augmentation import MAGNITUDES, Augment
from dim_jax.settings.config import (
    RENAMED_EVALUATIONS,
    Config,
    all_settings,
    flatten,
    scope,
    with_defaults,
)
from dim_jax.settings.data import Data
from dim_jax.settings.definition import (
    REQUIRED,
    Block,
    Setting,
    UserError,
    abridged,
    suggestion,
    unknown,
)
from dim_jax.settings.encoder import Encoder
from dim_jax.settings.evaluations import OTHER_DATA, are_names, evaluated_on, read_evals
from dim_jax.settings.training import Train

__all__ = [
    "MAGNITUDES",
    "OTHER_DATA",
    "RENAMED_EVALUATIONS",
    "REQUIRED",
    "Augment",
    "Block",
    "Config",
    "Data",
    "Encoder",
    "Setting",
    "Train",
    "UserError",
    "abridged",
    "all_settings",
    "are_names",
    "arguments",
    "evaluated_on",
    "flatten",
    "read_evals",
    "scope",
    "suggestion",
    "unknown",
    "with_defaults",
]
