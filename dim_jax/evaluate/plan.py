"""Planning a run: the evaluations that a config asks for, and those of each representation."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dim_jax import contracts, settings
from dim_jax.data import dataset
from dim_jax.evaluate import discovery, features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.probes import labelled

Evals = Mapping[str, Mapping[str, Any]]

TRAINED = "trained"
DRAWS = ("views", "augmentations")  # options that change images at random, as in training
_KEY = re.compile(r"[\w-]+")
_COMMON = ("data", "representations")  # options of every evaluation


class Entry(NamedTuple):
    """One entry of a config's `evals`.

    key: its key in `evals`.
    name: of the evaluation.
    options: of `Evaluation.evaluate`, those that the config sets.
    representations: the names of those it is to run on; None = as the evaluation says.
    data: the settings of another data set than the run's that it judges on, among them `name`; None
      = that of the run.
    """

    key: str
    name: str
    evaluation: Evaluation
    options: dict[str, Any]
    representations: tuple[str, ...] | None
    data: dict[str, Any] | None = None


def parse(evals: Evals) -> list[Entry]:
    """The entries of a config's `evals` that are run.

    Raises:
      UserError: an entry without name, an unknown evaluation, option or protocol.
    """
    entries = [_entry(key, spec) for key, spec in evals.items()]
    return [entry for entry in entries if entry.evaluation.left_out(entry.options) is None]


def left_out(evals: Evals) -> list[str]:
    """A line for each entry that is not run, with the reason and what to set."""
    entries = [_entry(key, spec) for key, spec in evals.items()]
    reasons = {entry.key: entry.evaluation.left_out(entry.options) for entry in entries}
    return [f"left out: evals.{key}, {reason}" for key, reason in reasons.items() if reason]


def judged(entries: Iterable[Entry], unreached: Collection[str]) -> list[Entry]:
    """The entries without taps that no loss reaches, and without those that read no other tap.

    An evaluation that trains the encoder reaches them itself.

    Args:
      unreached: of the trained representation (`contracts.Frozen`).
    """
    kept = []
    for entry in entries:
        taps = tuple(entry.options.get("taps", entry.evaluation.taps))
        left = tuple(tap for tap in taps if tap not in unreached)
        if left == taps or entry.evaluation.trains_encoder:
            kept.append(entry)
        elif left:
            kept.append(entry._replace(options=entry.options | {"taps": left}))
    return kept


def not_judged(evals: Evals, unreached: Sequence[str]) -> list[str]:
    """A sentence on taps that no loss reaches, with the entries that are left out; [] if none."""
    if not unreached:
        return []
    entries = parse(evals)
    keys = [entry.key for entry in judged(entries, unreached)]
    them, are = ("it", "it is") if len(unreached) == 1 else ("them", "they are")
    said = f"{', '.join(unreached)}: no loss of this method reaches {them}, so {are} not judged"
    dropped = ", ".join(entry.key for entry in entries if entry.key not in keys)
    return [f"{said}, and these are left out: {dropped}." if dropped else f"{said}."]


def by_data(evals: Evals) -> list[tuple[dict[str, Any] | None, dict[str, Mapping[str, Any]]]]:
    """The parts of `evals` that judge on one data set, each with the settings of that.

    The first part is of the run's data set (None) if there is one; entries that are not run are in
    no other one.
    """
    others = {entry.key: entry.data for entry in parse(evals) if entry.data is not None}
    own = {key: spec for key, spec in evals.items() if key not in others}
    parts = [(None, own)] if own else []
    for data in {json.dumps(each, sort_keys=True): each for each in others.values()}.values():
        parts.append((data, {key: evals[key] for key in others if others[key] == data}))
    return parts


def _entry(key: str, spec: Mapping[str, Any]) -> Entry:
    if not _KEY.fullmatch(key):
        raise contracts.UserError(
            f"evals has the key {key!r}; use letters, digits, - and _, as it names files"
        )
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise contracts.UserError(
            f"evals.{key} has no name; set evals.{key}.name to one of "
            f"{', '.join(discovery.names())}"
        )
    options = dict(spec)
    name = discovery.current(options.pop("name"))
    _check_key(key, name)
    evaluation = discovery.load(name)
    representations = options.pop("representations", None)
    _check_texts(f"evals.{key}.representations", representations)
    data = _data(f"evals.{key}.data", options.pop("data", None))
    for option, value in options.items():
        if option not in evaluation.defaults:
            hint = contracts.suggestion(option, [*evaluation.defaults, *_COMMON])
            raise contracts.UserError(f"the evaluation '{name}' has no option '{option}': {hint}")
        evaluation.check_option(f"evals.{key}.{option}", name, option, value)
    if "protocol" in options:
        evaluation.protocols.find(options["protocol"])
    chosen = None if representations is None else tuple(representations)
    return Entry(key, name, evaluation, options, chosen, data)


def _data(place: str, value: Any) -> dict[str, Any] | None:
    """The settings of another data set, given its name or those: {"name": ..., "test_split": ...}.

    Raises:
      UserError: a setting that is not read here, or one without a valid value; no name.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise contracts.UserError(
            f"{place} is {value!r}; set it to the name of a data set, such as 'stl10', or to a "
            "block of settings with a name"
        )
    settable = settings.Data.settings()
    chosen = {name: each for name, each in value.items() if each is not None}
    for name, each in chosen.items():
        if name not in settings.OTHER_DATA:
            hint = contracts.suggestion(name, settings.OTHER_DATA)
            raise contracts.UserError(f"{place} has no setting '{name}': {hint}")
        settable[name]._replace(key=f"{place}.{name}").verify(each)
    if "name" not in chosen:
        raise contracts.UserError(
            f"{place} names no data set; set {place}.name to one, such as stl10, or {place} to None"
        )
    return chosen


def _check_key(key: str, name: str) -> None:
    """A key that begins like an evaluation is of that one: reports and tables go by the key."""
    for other in (key, key.partition("_")[0]):
        other = settings.RENAMED_EVALUATIONS.get(other, other)
        if other != name and discovery.exists(other):
            raise contracts.UserError(
                f"evals.{key} is the evaluation '{name}' and its key is that of '{other}', as "
                f"which it would be reported; use another key, such as {name}_{key}"
            )


def _check_texts(place: str, values: Any) -> None:
    fits = isinstance(values, tuple | list) and all(isinstance(value, str) for value in values)
    if values is not None and not fits:
        raise contracts.UserError(
            f"{place} is {values!r}; set it to several names, such as ('y',) or, in JSON, [\"y\"]"
        )


def with_labels(
    entries: list[Entry], data: dataset.Dataset, log: Callable[[str], None] = lambda line: None
) -> list[Entry]:
    """The entries that the data has labels for; one line says which are left out."""
    reason = labelled.missing(data.splits)
    if reason is None:
        return entries
    left_out = [entry.key for entry in entries if entry.evaluation.needs_labels]
    if left_out:
        log(f"{data.facts.name}: {reason}, so left out: {', '.join(left_out)}")
    return [entry for entry in entries if not entry.evaluation.needs_labels]


def check_names(entries: Iterable[Entry], representations: Iterable[str]) -> None:
    """Raises UserError if an entry is to run on a representation that does not exist."""
    for entry in entries:
        for name in entry.representations or ():
            if name not in representations:
                raise contracts.unknown("representation", name, representations)


def steps(
    entries: Iterable[Entry], name: str, frozen: contracts.Frozen, data: dataset.Dataset
) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """The entries to run on the representation `name`, each with the taps that it reads.

    Raises:
      UserError: a tap that the representation does not have.
    """
    available = tuple(features.shapes(frozen, data.splits["test"]))
    for entry in entries:
        taps = tuple(entry.options.get("taps", entry.evaluation.taps))
        # Such as of pixels, which have one tap, of a name of its own.
        single = len(available) == 1 and available[0] not in taps
        if not _includes(entry, name, frozen, single):
            continue
        taps = available if single else taps
        for tap in taps:
            if tap not in available:
                hint = contracts.suggestion(tap, available)
                raise contracts.UserError(f"the {name} representation has no tap '{tap}': {hint}")
        yield entry, taps


def _includes(entry: Entry, name: str, frozen: contracts.Frozen, single: bool) -> bool:
    if entry.representations is not None:
        return name in entry.representations
    # Of pixels and their PCA there is no mean over the views that are drawn in training.
    drawn = any(entry.options.get(option) is not None for option in DRAWS)
    if drawn and frozen.prepare is None:
        return False
    scope = entry.evaluation.representations
    return name == TRAINED or scope == "all" or (scope == "encoders" and not single)
