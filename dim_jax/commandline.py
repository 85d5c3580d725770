"""The command line: `--config FILE.py[:args]`, `--config.key=value`, `--workdir DIR`.

Every mistake becomes one `UserError` sentence instead of a traceback.
"""

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags

from dim_jax import contracts
from dim_jax.processes import distributed

_USAGE = "for example: python -m dim_jax.main --config configs/quickstart.py"


class Command(NamedTuple):
    """A parsed command: the resolved config as plain dicts, where it came from, the folder, the
    flags about several processes, and whether a dispatch is to be profiled."""

    config: dict[str, Any]
    source: str
    workdir: str
    distributed: distributed.Options
    profile: bool = False


def parse(argv: Sequence[str]) -> Command:
    """Reads the arguments (argv[0] is the program).

    Raises:
      UserError: whatever cannot be understood, in one sentence.
    """
    argv = list(argv)
    _check_config_file(argv[1:])
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file(
        "config", None, "FILE.py[:arguments]", flag_values=values, lock_config=True, sys_argv=argv
    )
    flags.DEFINE_string("workdir", None, "run folder", flag_values=values)
    flags.DEFINE_bool("profile", False, "record one dispatch", flag_values=values)
    _define_distributed(values)
    try:
        surplus = values(argv)[1:]
        config = holder.value.to_dict()
    except (AttributeError, KeyError) as error:
        raise contracts.UserError(_key_error(str(error.args[0]))) from error
    except (flags.Error, TypeError, ValueError) as error:
        raise contracts.UserError(_first_cause(error)) from error
    if surplus:
        raise contracts.UserError(
            f"unknown argument '{surplus[0]}': settings are written --name=value"
        )
    source = config_flags.get_config_filename(values["config"])
    workdir = values["workdir"].value or _default_workdir(source)
    options = {name: values[name].value for name in distributed.Options._fields[1:]}
    processes = distributed.Options(values["distributed"].value, **options)
    return Command(config, source, workdir, processes, values["profile"].value)


def _define_distributed(values: flags.FlagValues) -> None:
    auto, *_, seconds = distributed.Options()
    modes = ("auto", "on", "off")
    flags.DEFINE_enum("distributed", auto, modes, "several processes", flag_values=values)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0", flag_values=values)
    flags.DEFINE_integer("processes", None, "how many there are", flag_values=values)
    flags.DEFINE_integer("process", None, "which one this is, from 0", flag_values=values)
    flags.DEFINE_integer("join_seconds", seconds, "wait for the others", flag_values=values)


def _check_config_file(arguments: Sequence[str]) -> None:
    for index, argument in enumerate(arguments):
        name, separator, value = argument.lstrip("-").partition("=")
        if name == "config" and argument.startswith("-"):
            value = value if separator else " ".join(arguments[index + 1 : index + 2])
            if not value:
                break
            path = pathlib.Path(value.partition(":")[0])
            if not path.is_file():
                raise contracts.UserError(f"the config file '{path}' does not exist; {_USAGE}")
            # A config imports `configs.common`, also when started from another folder.
            sys.path.append(os.fspath(path.resolve().parent.parent))
            return
    raise contracts.UserError(f"no --config given; {_USAGE}")


def _key_error(message: str) -> str:
    # ml_collections: a quoted key, then "Did you mean ... instead of ...?" on the next line.
    if "'get_config'" in message:
        return "the config file defines no function get_config(); see configs/quickstart.py"
    key, _, hint = message.replace("\\n", "\n").strip("'\"").partition("\n")
    key, hint = key.strip("'\\"), hint.replace('"', "'") or "see the config file"
    return f"the config has no key '{key}'; {hint}"


def _first_cause(error: Exception) -> str:
    """One line: the flag's own message, or what a config file raised inside it."""
    if len(lines := str(error).splitlines()) == 1:
        return lines[0].removeprefix("flag ")
    while error.__context__ is not None:
        error = error.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _default_workdir(source: str) -> str:
    name, _, argument = source.partition(":")
    parts = [pathlib.Path(name).stem, *filter(None, argument.split(","))]
    return os.path.join("runs", "-".join(parts))
