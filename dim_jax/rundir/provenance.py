"""The provenance of the files of a run: of which training they are, and of which step.

The settings that decide a training are compared in words, or as a digest. A checkpoint records its
step and config in `provenance.json`, and results and exported encoders record the digest; files of
older versions record neither and are taken for those of their folder.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dim_jax import settings

FILE = "provenance.json"  # in a checkpoint
_FORMAT = 1

# Arguments of methods that folders of older versions lack, and the behaviour of those versions.
LATER_ARGUMENTS = {"method.encoder.norm": "batch", "method.method.encoder.norm": "batch"}


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a config by their key, such as "train.epochs", with defaults filled in."""
    return settings.flatten(plain(settings.with_defaults(config)))


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, str]:
    """The keys whose values differ, but for those of the machine: each difference in words."""
    there, here = settings_of(there), settings_of(here)
    there = {**{key: value for key, value in LATER_ARGUMENTS.items() if key in here}, **there}
    unset = "not set"
    return {
        key: f"{key} is {there.get(key, unset)} there and {here.get(key, unset)} here"
        for key in [*here, *(key for key in there if key not in here)]
        if settings.scope(key) != "machine" and there.get(key) != here.get(key)
    }


def training_difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first difference between two configs that makes them different trainings, None if none.

    The length of a training is not part of it: a longer one continues a shorter one.
    """
    texts = differences(there, here)
    return next((texts[key] for key in texts if settings.scope(key) == "training"), None)


def digest(config: Mapping[str, Any]) -> str:
    """The SHA-256 of the settings of the training, without its length.

    It depends neither on their order nor on whether defaults are spelled out, so that a setting
    that is added later does not change it.
    """
    values = settings.flatten(_numbered(settings.with_defaults(config)))
    defined = settings.all_settings().items()
    defaults = _numbered(
        {
            key: each.default
            for key, each in defined
            if key in values and each.default is not settings.REQUIRED
        }
    )
    defaults |= LATER_ARGUMENTS
    decisive = {
        key: value
        for key, value in values.items()
        if settings.scope(key) == "training" and defaults.get(key, settings.REQUIRED) != value
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def record(step: int, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The content of a checkpoint's `provenance.json`."""
    return {"format": _FORMAT, "step": step, "config": plain(config)}


def mismatch(checkpoint: Path, config: Mapping[str, Any] | None) -> str | None:
    """The reason why a checkpoint `<step>/` is not the one that its place says, None if it is.

    config: that of the run; None compares the step alone.
    """
    try:
        there = json.loads((checkpoint / FILE).read_text())
        if there["format"] != _FORMAT:
            return f"has format {there['format']} and this version of dim_jax reads {_FORMAT}"
        if there["step"] != int(checkpoint.name):
            return f"is that of step {there['step']}"
        if config is None or there["config"] is None:
            return None
        difference = training_difference(there["config"], config)
        return difference and f"is of another run: {difference}"
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # written by an older version, or damaged


def foreign(files: Mapping[Path, tuple[str, ...]], config: Mapping[str, Any]) -> Path | None:
    """The first of some JSON files that records the digest of another training, None without one.

    files: the path of keys under which each has the digest.
    """
    mine = digest(config)
    for path, keys in files.items():
        try:
            content = json.loads(path.read_text())
            for key in keys:
                content = content[key]
        except (OSError, ValueError, TypeError, KeyError):
            continue  # absent, written by an older version, or damaged
        if content != mine:
            return path
    return None


def plain(config: Any) -> Any:
    """The config as JSON has it: tuples are lists."""
    return json.loads(json.dumps(config))


def _numbered(config: Any) -> Any:
    """The same with every number as a float: 1 and 1.0 are one setting."""
    return json.loads(json.dumps(config), parse_int=float)
