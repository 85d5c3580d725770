"""Options that the command line may set though the config has no key for them."""

import ast
import contextlib

import ml_collections
from ml_collections.config_dict import FieldReference, placeholder

from dim_jax import settings


def add(config: ml_collections.ConfigDict, key: str, text: str | None) -> None:
    """Adds `evals.KEY.data`, a setting of it, or another option where the evaluation lacks it.

    Where there is no evaluation KEY, `data` makes it a copy of the one that it begins with:
    `evals.knn_stl10.data` makes one of `evals.knn`, as the config has that. Other keys are left.
    That there is such an option is checked with the evaluations.

    Args:
      text: the value, whose type becomes that of an option; None: the key has none.

    Raises:
      UserError: a setting of another data set that there is not.
    """
    parts = key.split(".")
    if parts[0] == "evals" and len(parts) == 3 and parts[2] != "data":
        entry = config.evals.get(parts[1])
        if isinstance(entry, ml_collections.ConfigDict) and parts[2] not in entry:
            with config.unlocked():
                entry[parts[2]] = placeholder(_kind(text))
        return
    if parts[0] != "evals" or parts[2:3] != ["data"] or len(parts) > 4:
        return
    _, name, _, *setting = parts
    if setting and setting[0] not in settings.OTHER_DATA:
        hint = settings.suggestion(setting[0], settings.OTHER_DATA)
        raise settings.UserError(f"the config has no key '{key}': {hint}")
    with config.unlocked():
        if name not in config.evals:
            _copy(config.evals, name)
        entry = config.evals.get(name)
        if isinstance(entry, ml_collections.ConfigDict):
            _add(entry, *setting)


def _copy(evals: ml_collections.ConfigDict, name: str) -> None:
    """Adds a copy of the evaluation whose key, and "_" after it, the name begins with, if any."""
    start = name
    while "_" in start:
        start = start.rpartition("_")[0]
        there = evals.get(start)
        if isinstance(there, ml_collections.ConfigDict):
            options = {
                option: FieldReference(there[option], field_type=there.get_type(option))
                for option in there
                if option != "data"
            }
            evals[name] = ml_collections.ConfigDict(options)
            return


def _add(entry: ml_collections.ConfigDict, setting: str | None = None) -> None:
    there = entry.get("data")
    if setting is None:
        if not isinstance(there, str):
            _remove(entry)
            entry.data = placeholder(str)
        return
    if not isinstance(there, ml_collections.ConfigDict):
        name = FieldReference(there, field_type=str)
        _remove(entry)
        entry.data = ml_collections.ConfigDict({"name": name})
    if setting not in entry.data:
        entry.data[setting] = placeholder(settings.Data.settings()[setting].kind)


def _kind(text: str | None) -> type:
    """The type of a value as it is written; a text unless it is a Python literal."""
    if text is None or text.lower() in ("true", "false"):
        return bool
    value = text
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(text)
    return {list: tuple, type(None): str}.get(type(value), type(value))


def _remove(entry: ml_collections.ConfigDict) -> None:
    """Removes `data`, whose type would stay."""
    if "data" in entry:
        del entry["data"]
