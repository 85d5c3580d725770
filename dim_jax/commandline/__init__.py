"""The command line and config files: from arguments to a resolved config.

`arguments` reads the flags, `config_file` loads the file that they name. Every mistake becomes one
`UserError` sentence instead of a traceback. May import `contracts`, `processes` and `settings`, and
is the only room that uses ml_collections.
"""

from dim_jax.commandline.arguments import Command, asks_for_usage, describe, parse

__all__ = ["Command", "asks_for_usage", "describe", "parse"]
