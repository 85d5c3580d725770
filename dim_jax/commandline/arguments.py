"""The arguments of a command: `--config FILE.py[:args]`, `--config.KEY=VALUE`, `--workdir DIR`.

Every mistake becomes one `UserError` sentence instead of a traceback.
"""

import functools
import itertools
import operator
import os
import pathlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags

from dim_jax import contracts, settings
from dim_jax.commandline import added_options, config_file
from dim_jax.processes import distributed

_USAGE = "for example: python -m dim_jax.main --config configs/quickstart.py"


class Command(NamedTuple):
    """A parsed command.

    config: the resolved config as plain dicts. written: the same before other arguments changed it.
    source: its file and words. workdir: the run folder. distributed: the flags about several
    processes. profile: whether to record a dispatch. help: whether to print the config instead of
    running it.
    """

    config: dict[str, Any]
    written: dict[str, Any]
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
    arguments = [argument for argument in argv[1:] if argument not in _HELP]
    arguments, source = _without("config", arguments)
    if not source:
        raise contracts.UserError(f"no --config given; {_USAGE}")
    config = config_file.load(source)
    written = config.to_dict()
    evals = _without("evals", arguments)[1]
    if evals is not None:
        with config.unlocked():
            config.evals = ml_collections.ConfigDict(settings.read_evals(evals)).lock()
    arguments, unset = _without_nones(arguments)
    overrides = dict.fromkeys(unset, "None") | _overrides(arguments)
    # An evaluation that `data` makes is there before its other options.
    for key in sorted(overrides, key=lambda key: key.split(".")[2:3] != ["data"]):
        added_options.add(config, key, overrides[key])
    for key in overrides:
        _check_key(config, key)
    _retype(config, arguments)
    values = flags.FlagValues()
    argv = [argv[0], *arguments]
    try:
        holder = config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, sys_argv=argv
        )
        _define(values)
        surplus = values(argv)[1:]
        resolved = _unset(holder.value.to_dict(), unset)
        settings.Config.of(resolved)
    except contracts.UserError:
        raise
    except (AttributeError, KeyError, flags.Error, TypeError, ValueError) as error:
        raise contracts.UserError(_explain(error, config)) from error
    if surplus:
        raise contracts.UserError(
            f"unknown argument '{surplus[0]}': settings are written --name=value"
        )
    workdir = values["workdir"].value
    workdir = _default_workdir(source) if workdir is None else workdir
    options = {name: values[name].value for name in distributed.Options._fields[1:]}
    processes = distributed.Options(values["distributed"].value, **options)
    return Command(
        resolved, written, source, workdir, processes, values["profile"].value, wants_help
    )


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


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("evals", None, "the evaluations instead", flag_values=values)
    flags.DEFINE_string("workdir", None, "run folder", flag_values=values)
    flags.DEFINE_bool("profile", False, "record one dispatch", flag_values=values)
    auto, *_, seconds = distributed.Options()
    modes = ("auto", "on", "off")
    flags.DEFINE_enum("distributed", auto, modes, "several processes", flag_values=values)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0", flag_values=values)
    flags.DEFINE_integer("processes", None, "how many there are", flag_values=values)
    flags.DEFINE_integer("process", None, "which one this is, from 0", flag_values=values)
    flags.DEFINE_integer("join_seconds", seconds, "wait for the others", flag_values=values)


def _without(flag: str, arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """The arguments without a flag, and its last value: "" for one without, None without it."""
    rest, value, remaining = [], None, iter(arguments)
    for argument in remaining:
        name, separator, text = argument.lstrip("-").partition("=")
        if name == flag and argument.startswith("-"):
            value = text if separator else next(remaining, "")
        else:
            rest.append(argument)
    return rest, value


def _key(argument: str) -> str | None:
    """The key of the config that an argument sets, as in `--config.train.epochs=3`."""
    match = re.match(r"--?(?:no)?config\.([^=]+)", argument)
    return match and match[1]


def _overrides(arguments: Sequence[str]) -> dict[str, str | None]:
    """The keys of the config that arguments set, and the text of each value, None without one."""
    values = {}
    for argument, after in itertools.pairwise([*arguments, ""]):
        if key := _key(argument):
            _, equals, text = argument.partition("=")
            values[key] = text if equals else None if after[:1] in ("", "-") else after
    return values


def _without_nones(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without `--config.KEY=None` or `--config.KEY None`, and the keys of these.

    The last value of a key counts.
    """
    rest, unset, remaining = [], {}, [*arguments]
    while remaining:
        argument = remaining.pop(0)
        key, (_, equals, value) = _key(argument), argument.partition("=")
        if key and not equals and remaining[:1] == ["None"]:
            value = remaining.pop(0)
        if key and value == "None":
            unset[key] = None
        else:
            unset.pop(key, None)
            rest.append(argument)
    return rest, [*unset]


def _unset(config: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The config with these keys None, or dropped where they are evaluations."""
    for key in sorted(keys, reverse=True):  # those inside a block before the block
        *parents, name = key.split(".")
        block = functools.reduce(operator.getitem, parents, config)
        if parents in (["evals"], ["published"]):
            del block[name]
        else:
            block[name] = None
    return config


def _check_key(config: ml_collections.ConfigDict, key: str) -> None:
    """Raises UserError for a key that the config does not have, with the nearest one."""
    block, path = config, ""
    for name in key.split("."):
        if not isinstance(block, ml_collections.ConfigDict):
            raise contracts.UserError(
                f"the config has no key '{key}': {path[:-1]} is {block!r} and no block"
            )
        if name not in block:
            hint = _wrapped(config, key) or contracts.suggestion(name, block)
            raise contracts.UserError(f"the config has no key '{path}{name}': {hint}")
        block, path = block[name], f"{path}{name}."


def _wrapped(config: ml_collections.ConfigDict, key: str) -> str:
    """The hint to a key of the method inside another one, such as that of a probe."""
    inner = f"method.{key}"
    is_there = key.startswith("method.") and inner in settings.flatten(config.to_dict())
    return f"did you mean '{inner}'?" if is_there else ""


def _retype(config: ml_collections.ConfigDict, arguments: Sequence[str]) -> None:
    """Lets a key of one number take several, or of several one, where its setting allows both."""
    for argument in arguments:
        key, text = _key(argument), argument.partition("=")[2].strip()
        each = settings.all_settings().get(key)
        if each is None or each.kind is not float or not text:
            continue
        *parents, name = key.split(".")
        block = functools.reduce(operator.getitem, parents, config)
        several = text.startswith(("(", "["))
        if each.check and each.check.holds((0.0,)) and isinstance(block[name], tuple) != several:
            with block.unlocked(), block.ignore_type():
                block[name] = () if several else 0.0


def _explain(error: Exception, config: ml_collections.ConfigDict) -> str:
    """One line: the valid values of the key that could not be set, or the message of the flag."""
    message = " ".join(str(error).split()).removeprefix("flag ")
    if match := re.match(r"--config\.([^=]+)=(.*?): ", message):
        key, value = match.groups()
        if each := settings.all_settings().get(key):
            each.verify(value)
        *parents, name = key.split(".")
        kind = functools.reduce(operator.getitem, parents, config).get_type(name)
        is_block = issubclass(kind, ml_collections.ConfigDict)
        wanted = "a block of keys" if is_block else f"a value of type {kind.__name__}"
        return f"{key} is {value!r}; set it to {wanted}"
    return message


def _default_workdir(source: str) -> str:
    name, _, argument = source.partition(":")
    parts = [pathlib.Path(name).stem, *filter(None, argument.split(","))]
    return os.path.join("runs", "-".join(parts))
