"""The published numbers of a run: those that stand beside its results, and what they differ in."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dim_jax import settings
from dim_jax.evaluate import discovery, evaluation, plan, results

# Settings that do not change what is measured, besides those of the machine.
_WITHOUT_EFFECT = (
    *("seed", "deterministic", "compute_dtype"),
    *("train.steps_per_dispatch", "train.save_epochs"),
)
_PAPER = "-paper-"  # in the names of protocols of papers
_CHOICES = ("taps", "representations")  # options that choose numbers and change none


def numbers(config: settings.Config) -> dict[str, Any]:
    """{evaluation: {tap: number}} of the config that stand beside rows of evaluations that are run.

    None do if the images that it trains on are others than those of the numbers, and those of one
    evaluation do not if it judges on others, or with few or permuted labels. An evaluation by the
    protocol of a paper has the numbers of its kind also under another key than the config's.
    """
    if not config.is_of_published_data():
        return {}
    judged = settings.evaluated_on(config.evals, config.data.name)
    named = judged if config.published_on is None else config.published_on
    return {
        entry.key: taps
        for entry in plan.parse(config.evals)
        if (taps := _numbers_of(entry, config)) is not None
        and results.takes_published(entry)
        and judged.get(entry.key) == named.get(entry.key)
    }


def _numbers_of(entry: plan.Entry, config: settings.Config) -> Mapping[str, float] | None:
    """The published numbers of an evaluation, by its key or the paper's protocol; None = none."""
    given = config.published or {}
    if entry.key in given or _PAPER not in entry.options.get("protocol", ""):
        return given.get(entry.key)
    # Without the evaluation, the name is that of the key, such as mlp of mlp_paper.
    names = {key: config.evals.get(key, {}).get("name", key.partition("_")[0]) for key in given}
    same = [key for key, name in names.items() if name == entry.name]
    return given[same[0]] if len(same) == 1 else None


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
    """A line on the source of published numbers and on `differs`, or why none stand; "" = none."""
    stand = any(numbers(config).values())
    if config.published is not None and not stand:
        keys = [key for key, taps in config.published.items() if taps]
        return f"published numbers: none, {_reason(keys, config)}" if keys else ""
    differences = differs(config, overridden if stand else {})
    texts = [text for text in (config.published_source, differences) if text]
    return f"published numbers: {'. '.join(texts)}" if texts else ""


def _reason(keys: Sequence[str], config: settings.Config) -> str:
    """Why none of the published numbers of these evaluations stands beside a result."""
    if not config.is_of_published_data():
        return f"as those of this config are of {config.published_data}"
    return (
        f"as none of these evaluations is like {' or '.join(keys)} of the config, with all labels "
        "of the same data, of the trained representation"
    )


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
    judged = [key for key, taps in numbers(config).items() if taps]
    for key in judged:
        options = _options(_counterpart(key, values["evals"], config), config.evals[key])
        kept |= settings.flatten(options, f"evals.{key}")
    if all(_evaluation(config.evals[key]).own_classes for key in judged):  # nothing is fitted
        kept.pop("data.eval_train_images", None)
    return {key: value for key, value in kept.items() if value is not None}


def _counterpart(
    key: str, evals: Mapping[str, Any], config: settings.Config
) -> Mapping[str, Any] | None:
    """The evaluation among others that one of the config has the place of; None = there is none.

    Of the same key, or else, or if that has no number, of the same name and protocol.
    """
    run = config.evals[key]
    same = [
        spec
        for name, spec in evals.items()
        if name in (config.published or {})
        and all(spec.get(option) == run.get(option) for option in ("name", "protocol"))
    ]
    if key in evals and (key in (config.published or {}) or not same):
        return evals[key]
    return same[0] if same else None


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
