"""Config files: Python files whose function `get_config` returns the config of a run."""

import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import ml_collections
from ml_collections.config_dict import FieldReference, placeholder

from dim_jax import contracts, settings

_EXAMPLE = "see configs/quickstart.py"


def load(source: str) -> ml_collections.ConfigDict:
    """The config that a file returns, with the defaults of all settings that it lacks.

    No two blocks are one object, and keys that are None can be set. The file may import what lies
    in its folder, in the one above (as `configs.common`) and in the current one.

    Args:
      source: the path, and after a colon the words that `get_config` receives.

    Raises:
      UserError: a file that is not there or raises an error, or what it returns is no config.
    """
    path, colon, words = source.partition(":")
    if not pathlib.Path(path).is_file():
        raise contracts.UserError(f"the config file '{path}' does not exist")
    folder = pathlib.Path(path).resolve().parent
    for importable in (folder.parent, folder, pathlib.Path.cwd()):
        if os.fspath(importable) not in sys.path:
            sys.path.append(os.fspath(importable))
    try:
        config = _function(path, words if colon else None)()
        if isinstance(config, ml_collections.FrozenConfigDict):
            config = config.as_configdict()
        if isinstance(config, Mapping | ml_collections.ConfigDict):
            return _complete(_plain(config)).lock()
    except contracts.UserError:
        raise
    except Exception as error:
        raise contracts.UserError(f"the config file {_explain(path, error)}") from error
    raise contracts.UserError(
        f"get_config() of the config file '{path}' returned {type(config).__name__}; return an "
        f"ml_collections.ConfigDict; {_EXAMPLE}"
    )


def _function(path: str, words: str | None) -> Callable[[], Any]:
    """`get_config` of the file, with its words."""
    loader = importlib.machinery.SourceFileLoader("config_config", path)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    )
    sys.modules[loader.name] = module  # dataclasses in the file look for it
    loader.exec_module(module)
    if not callable(function := getattr(module, "get_config", None)):
        raise contracts.UserError(
            f"the config file '{path}' defines no function get_config(); {_EXAMPLE}"
        )
    arguments = () if words is None else (words,)
    try:
        bound = inspect.signature(function).bind(*arguments)
    except TypeError as error:
        wrong = f"takes no words, and was given '{words}'" if words else "needs words"
        raise contracts.UserError(
            f"the config file '{path}' {wrong}: they are the argument of its get_config"
        ) from error
    return lambda: function(*bound.args)


def _explain(path: str, error: Exception) -> str:
    """The file, its line and the error that was raised there, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"cannot be read: {text}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.realpath(frame.filename) == os.path.realpath(path)
    ]
    where = f"'{path}', line {lines[-1]}, " if lines else f"'{path}' "
    return f"{where}raised {type(error).__name__}: {text}"


def _plain(config: Any) -> Any:
    """The config as nested dicts, a copy of each block, also of one that stands in several places.

    A ConfigDict keeps those as one object, so that `--config.players.encoder.learning_rate` would
    set that of all players that were given the same dict.
    """
    if isinstance(config, ml_collections.ConfigDict):
        config = dict(config.items(preserve_field_references=True))
    if isinstance(config, Mapping):
        return {name: _plain(value) for name, value in config.items()}
    return placeholder(object) if config is None else config


def _complete(config: dict[str, Any]) -> ml_collections.ConfigDict:
    """The config with its missing settings at their defaults, and numbers of the right type."""
    for optional in ("augment", "encoder"):
        config.setdefault(optional, {})
    for key, each in settings.all_settings().items():
        path, _, name = key.rpartition(".")
        block = config.get(path) if path else config
        if not isinstance(block, dict):
            continue  # which the check of the settings reports
        value = block.get(name, each.default)
        if isinstance(value, FieldReference) and value.get_type() in (object, Mapping):
            value = value.get()
        if value is None:  # the command line has no parser for a Mapping
            block[name] = placeholder(object if each.kind is Mapping else each.kind)
        elif value is not settings.REQUIRED:
            block[name] = float(value) if each.kind is float and type(value) is int else value
    return ml_collections.ConfigDict(config)
