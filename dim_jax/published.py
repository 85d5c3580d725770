"""The published numbers of a run: those that stand beside its results, and what they differ in."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from dim_jax import settings
from dim_jax.evaluate import discovery, evaluation, results

# Settings that do not change what is measured, besides those of the machine.
_WITHOUT_EFFECT = (
    *("seed", "deterministic", "compute_dtype"),
    *("train.steps_per_dispatch", "train.save_epochs"),
)
_CHOICES = ("taps", "representations")  # options that choose numbers and change none


def numbers(config: settings.Config) -> dict[str, Any]:
    """{evaluation: {tap: number}} of the config, without those of other data than its numbers are.

    Numbers of evaluations that are not run are left out.

    These are all if the images that it trains on are others, and those of one evaluation if this
    judges on others.
    """
    if not config.is_of_published_data():
        return {}
    given, judged = config.published or {}, settings.evaluated_on(config.evals)
    named = judged if config.published_on is None else config.published_on
    given = {key: taps for key, taps in given.items() if key in config.evals}
    return {key: taps for key, taps in given.items() if judged.get(key) == named.get(key)}


def overrides(written: Mapping[str, Any], config: settings.Config) -> dict[str, Any]:
    """{key: value} of the config where it differs from the one of its file in what is measured.

    Of evaluations, those with published numbers count, with the defaults of what they leave out. An
    option without which the file's evaluation would not be run, such as weights, is no difference.

    Args:
      written: the config as its file returns it, with all settings; {} = that is not known.
    """
    if not written:
        return {}
    old, new = (_flat(values, config) for values in (written, dataclasses.asdict(config)))
    needed = _needed(written, config)
    return {
        key: new.get(key)
        for key in {**new, **old}
        if old.get(key) != new.get(key) and key not in needed
    }


def differs(config: settings.Config, overridden: Mapping[str, Any]) -> str:
    """Sentences on how the published numbers were measured otherwise than this run; "" = none.

    Args:
      overridden: as of `overrides`.
    """
    listed = ", ".join(f"{key}={value}" for key, value in overridden.items())
    text = f"This run differs from its config by {listed}." if listed else ""
    return " ".join(filter(None, (config.published_differs, text)))


def set_beside(
    rows: Iterable[results.Row], config: settings.Config, overridden: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """Sets "published" of the rows; returns the source of the numbers and `differs`, None if none.

    Args:
      overridden: as of `overrides`.
    """
    given, stand = numbers(config), False
    for row in rows:
        row["published"] = results.published_value(given, row)
        stand = stand or row["published"] is not None
    return (config.published_source, differs(config, overridden)) if stand else (None, None)


def line(config: settings.Config, overridden: Mapping[str, Any]) -> str:
    """A line on the source of published numbers and on `differs`, "" if there are none to show."""
    stand = any(numbers(config).values())
    if config.published is not None and not stand:
        return ""
    differences = differs(config, overridden if stand else {})
    texts = [text for text in (config.published_source, differences) if text]
    return f"published numbers: {'. '.join(texts)}" if texts else ""


def _needed(written: Mapping[str, Any], config: settings.Config) -> set[str]:
    """The keys of options that the file's evaluations lack and would be run with."""
    keys = set()
    for key in numbers(config):
        spec = written["evals"].get(key)
        left_out = spec and _evaluation(spec).left_out
        options = {name: value for name, value in (spec or {}).items() if name != "name"}
        if left_out and left_out(options):
            given = {name: config.evals[key].get(name) for name in options}
            added = [name for name in given if not left_out({**options, name: given[name]})]
            keys |= {f"evals.{key}.{name}" for name in added}
    return keys


def _evaluation(spec: Mapping[str, Any]) -> evaluation.Evaluation:
    return discovery.load(discovery.current(spec["name"]))


def _flat(values: Mapping[str, Any], config: settings.Config) -> dict[str, Any]:
    """The settings of a config by key that can change the numbers that stand beside published."""
    blocks = {key: value for key, value in values.items() if key != "evals"}
    of_monitors = _monitoring(values["method"])
    kept = {
        key: _tuples(value)
        for key, value in settings.flatten(blocks).items()
        if settings.scope(key) != "machine"
        and key not in _WITHOUT_EFFECT
        and not key.startswith("published")
        and not of_monitors.match(key)
    }
    for key, taps in numbers(config).items():
        if taps:
            options = _options(values["evals"].get(key), config.evals[key])
            kept |= settings.flatten(options, f"evals.{key}")
    return {key: value for key, value in kept.items() if value is not None}


def _monitoring(method: Mapping[str, Any]) -> re.Pattern:
    """Matches the keys of probes trained along with a method, which leave it as it is."""
    players = []
    while method["name"] == "probe":
        players.append(method.get("player", "probe"))
        method = method["method"]
    if not players:
        return re.compile("(?!)")
    names = "|".join(map(re.escape, players))
    return re.compile(rf"(method\.){{1,{len(players)}}}(?!method\.)|players\.({names})\.")


def _options(spec: Mapping[str, Any] | None, run: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an evaluation with their defaults, without those that change no number.

    run: the evaluation as it is run.
    """
    spec = spec or {"name": run["name"]}
    complete = {**_evaluation(run).defaults, **spec}
    options = {key: _tuples(value) for key, value in complete.items() if key not in _CHOICES}
    if isinstance(options.get("data"), str):
        options["data"] = {"name": options["data"]}
    return options


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
