"""The command line: `--config FILE.py[:args]`, `--config.key=value`, `--evals`, `--workdir DIR`.

Every mistake becomes one `UserError` sentence instead of a traceback.
"""

import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import config_flags

from dim_jax import contracts, settings
from dim_jax.processes import distributed

_USAGE = "for example: python -m dim_jax.main --config configs/quickstart.py"


class Command(NamedTuple):
    """A parsed command.

    config: the resolved config as plain dicts. source: its file and words. workdir: the run folder.
    distributed: the flags about several processes. profile: whether to record a dispatch. help:
    whether to print the config instead of running it.
    """

    config: dict[str, Any]
    source: str
    workdir: str
    distributed: distributed.Options
    profile: bool = False
    help: bool = False


_HELP = {"-h", "--help"}


def asks_for_usage(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for help, and for that of no config."""
    has_config = any(argument.startswith(("--config", "-config")) for argument in arguments)
    return bool(_HELP & {*arguments}) and not has_config


def parse(argv: Sequence[str]) -> Command:
    """Reads the arguments (argv[0] is the program).

    Raises:
      UserError: whatever cannot be understood, in one sentence.
    """
    wants_help = bool(_HELP & {*argv[1:]})
    argv = [argument for argument in argv if argument not in _HELP]
    argv, unset = _without_nones(argv)
    _check_config_file(argv[1:])
    evals = _given(argv[1:], "evals")
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file(
        "config", None, "FILE.py[:arguments]", flag_values=values, lock_config=True, sys_argv=argv
    )
    if evals is not None:
        _replace_evals(values["config"], read_evals(evals))
    flags.DEFINE_string("evals", None, "the evaluations instead", flag_values=values)
    flags.DEFINE_string("workdir", None, "run folder", flag_values=values)
    flags.DEFINE_bool("profile", False, "record one dispatch", flag_values=values)
    _define_distributed(values)
    try:
        surplus = values(argv)[1:]
        config = holder.value.to_dict()
        for block, name in unset:
            (config[block] if block else config)[name] = None
        settings.Config.of(config)
    except contracts.UserError:
        raise
    except SyntaxError as error:
        raise contracts.UserError(f"the config file cannot be read: {error}") from error
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
    return Command(config, source, workdir, processes, values["profile"].value, wants_help)


def describe(config: Mapping[str, Any]) -> str:
    """Every key of a resolved config with its value, and its default and help where it has them."""
    defined, lines = settings.all_settings(), []
    for key, value in settings.flatten(config).items():
        lines.append(f"--config.{key}={value!r}")
        if key in defined:
            each = defined[key]
            default = "" if each.default is settings.REQUIRED else f"Default: {each.default!r}. "
            text = f"{default}{each.help}".replace("`", "")
            lines += textwrap.wrap(text, 92, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def _define_distributed(values: flags.FlagValues) -> None:
    auto, *_, seconds = distributed.Options()
    modes = ("auto", "on", "off")
    flags.DEFINE_enum("distributed", auto, modes, "several processes", flag_values=values)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0", flag_values=values)
    flags.DEFINE_integer("processes", None, "how many there are", flag_values=values)
    flags.DEFINE_integer("process", None, "which one this is, from 0", flag_values=values)
    flags.DEFINE_integer("join_seconds", seconds, "wait for the others", flag_values=values)


def _replace_evals(flag: flags.Flag, evals: dict[str, dict]) -> None:
    """Loaded config files have these evaluations, before single options are set."""
    load = flag.parser.parse

    def parse(path: str):
        config = load(path)
        config.evals = evals
        return config

    flag.parser.parse = parse


def read_evals(text: str) -> dict[str, dict[str, Any]]:
    """The evaluations of `--evals`: JSON text, or the path of a JSON file. Lists become tuples.

    Raises:
      UserError: text that is neither, or no object {key: {"name": ..., options}}.
    """
    shown = " ".join(text.split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    if not text.lstrip().startswith("{"):
        try:
            text = pathlib.Path(text).read_text()
        except (OSError, ValueError) as error:
            raise contracts.UserError(
                f"--evals={shown} is neither a JSON object nor a file that can be read"
            ) from error
    try:
        evals = json.loads(text)
    except ValueError as error:
        raise contracts.UserError(f"--evals={shown} is no valid JSON: {error}") from error
    specs = [*evals.values()] if isinstance(evals, dict) else [None]
    if not all(isinstance(spec, dict) and isinstance(spec.get("name"), str) for spec in specs):
        raise contracts.UserError(
            f'--evals={shown} must be an object {{key: {{"name": an evaluation, its options}}}}'
        )
    return _tuples(evals)


def _tuples(value: Any) -> Any:
    """The value with tuples, which configs have, in the place of lists."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _given(arguments: Sequence[str], flag: str) -> str | None:
    """The last value of a flag among the arguments: "" for a flag without one, None without it."""
    value = None
    for index, argument in enumerate(arguments):
        name, separator, text = argument.lstrip("-").partition("=")
        if name == flag and argument.startswith("-"):
            value = text if separator else " ".join(arguments[index + 1 : index + 2])
    return value


def _without_nones(argv: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The arguments without those that set a setting to None, and (block, name) of these."""
    optional = {key for key, each in settings.all_settings().items() if each.default is None}
    rest, unset = [], []
    for argument in argv:
        key, _, value = argument.lstrip("-").removeprefix("config.").partition("=")
        is_none = argument.lstrip("-").startswith("config.") and value == "None"
        if is_none and key in optional:
            block, _, name = key.rpartition(".")
            unset.append((block, name))
        else:
            rest.append(argument)
    return rest, unset


def _check_config_file(arguments: Sequence[str]) -> None:
    value = _given(arguments, "config")
    if not value:
        raise contracts.UserError(f"no --config given; {_USAGE}")
    path = pathlib.Path(value.partition(":")[0])
    if not path.is_file():
        raise contracts.UserError(f"the config file '{path}' does not exist; {_USAGE}")
    # A config imports `configs.common`, also when started from another folder.
    sys.path.append(os.fspath(path.resolve().parent.parent))


def _key_error(message: str) -> str:
    # ml_collections: a quoted key, then "Did you mean ... instead of ...?" on the next line.
    if "'get_config'" in message:
        return "the config file defines no function get_config(); see configs/quickstart.py"
    key, _, hint = message.replace("\\n", "\n").strip("'\"").partition("\n")
    key, hint = key.strip("'\\"), hint.replace('"', "'") or "see the config file"
    return f"the config has no key '{key}'; {hint}"


def _first_cause(error: Exception) -> str:
    """One line: the message of the flag, or of the error that a config file raised inside it."""
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
