"""All evaluations of a run: several representations side by side, as rows and figures.

An evaluation is a module of `dim_jax.evaluate` with `evaluate(frozen, splits, rng, **options)` and

    NEEDS_LABELS     left out where the data has none; of the training images it sees those that
                     have one
    TRAINS_ENCODER   True where it exists: it sees all training images and keeps no features
    REPRESENTATIONS  on which it runs unless the config says: "all", "encoders" (those that have
                     the taps, so not pixels and PCA) or "trained"
    TAPS             the taps it reads, () = it looks at parameters only
    PROTOCOL         the kind of its protocols, where it follows one
    FIGURES          (title, caption) of each of its figures by their keys, where it draws any
    check(splits)    where it exists: raises UserError on images that it cannot be used on
    check_method(method)  likewise, on a method that lacks what it asks for
    check_frozen(frozen, splits)  likewise, on a representation

Its scalars "<tap>/<metric>" become rows, with "<tap>/<metric>_std" and "_fits" beside them; its
images become figures.
"""

import importlib
import inspect
import pkgutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import cache, features, protocols
from dim_jax.evaluate.probes import labelled

Evals = Mapping[str, Mapping[str, Any]]
Row = dict[str, Any]

TRAINED = "trained"
_ROOMS = ("probes", "measures", "figures")
# Former names, which configs and run folders may have.
RENAMED = {
    "classifier": "own_classifier",
    "embedding": "manifold_layers",
    "map2d": "tsne",
    "surrogate": "exemplar_bound",
    "uniformity": "prior_fit",
    "views": "training_views",
}


class Figure(NamedTuple):
    """A picture for the report: file name, title, caption, and the image u8[h,w,3]."""

    file: str
    title: str
    caption: str
    image: np.ndarray


class _Evaluation(NamedTuple):
    key: str
    module: ModuleType
    options: dict[str, Any]
    representations: tuple[str, ...] | None


def check(
    evals: Evals,
    data: dataset.Dataset | None = None,
    method: contracts.Method | None = None,
) -> None:
    """Finds mistakes in a config's `evals` block before any training.

    Args:
      data: where given, the images and the numbers of labels are checked too.
      method: where given, whether it can do what they ask of it.

    Raises:
      UserError: an evaluation without name or of an unknown one, an option it does not take, an
        unknown protocol, images or a method that do not fit, or more labels per class than the
        data has.
    """
    for key, spec in evals.items():
        evaluation = _parse(key, spec)
        options = evaluation.options
        wanted = evaluation.representations is None or TRAINED in evaluation.representations
        if method is not None and wanted and hasattr(evaluation.module, "check_method"):
            evaluation.module.check_method(method)
        if data is not None and hasattr(evaluation.module, "check"):
            evaluation.module.check(data.splits)
        if options.get("views") is not None:
            features.check_views(options["views"])
        per_class = options.get("labels_per_class")
        if data is not None and per_class is not None and labelled.missing(data.splits) is None:
            labels = data.splits["train"].labels
            labelled.label_subsets(labels[labels >= 0], per_class, 1, seed=0)


def check_representations(
    evals: Evals,
    representations: Mapping[str, contracts.Frozen | None],
    data: dataset.Dataset,
) -> None:
    """Finds mistakes in a config's `evals` block that show on what is to be judged.

    Args:
      representations: as of `run`, the encoders at any parameters; None for one that is not made
        yet, of which the name is known.

    Raises:
      UserError: an unknown representation, a tap that one does not have, or one that lacks what an
        evaluation asks for.
    """
    planned = _with_labels([_parse(key, spec) for key, spec in evals.items()], data)
    _check_names(planned, representations)
    for name, frozen in representations.items():
        if frozen is None:
            continue
        for evaluation, _ in _planned(planned, name, frozen, data):
            if hasattr(evaluation.module, "check_frozen"):
                evaluation.module.check_frozen(frozen, data.splits)


def run(
    evals: Evals,
    representations: Mapping[str, contracts.Frozen],
    data: dataset.Dataset,
    rng: jax.Array,
    log: Callable[[str], None] = print,
    store: cache.Store | None = None,
    between: Callable[[], None] = lambda: None,
) -> tuple[list[Row], list[Figure]]:
    """Runs every evaluation on every representation that it is meant for.

    Each representation is encoded once; all evaluations get the same `rng`, so they draw the same
    label subsets for every representation.

    Args:
      evals: {key: {"name": module, **options}}. `taps` and `representations` (names of them) are
        options of every evaluation that reads taps.
      representations: {"trained": .., "untrained": .., "pixels": .., "pca": ..}; one with a single
        tap is judged on that one.
      log: called with one line for each finished evaluation.
      store: where finished evaluations are kept, and found again; none by default.
      between: called after each evaluation that was made; what it raises ends the run.

    Returns:
      rows (the keys of `rows` in results.json) in the order of `evals`, and figures.

    Raises:
      UserError: as `check` and `check_representations`.
    """
    planned = _with_labels([_parse(key, spec) for key, spec in evals.items()], data, log)
    order = {evaluation.key: index for index, evaluation in enumerate(planned)}
    _check_names(planned, representations)
    plan = {
        name: list(_planned(planned, name, frozen, data))
        for name, frozen in representations.items()
    }
    only_labelled = labelled.labelled(data.splits)
    rows, figures, store = [], [], store or cache.Store()
    for name, steps in plan.items():
        steps = [(each, taps, _splits(each, data, only_labelled)) for each, taps in steps]
        for evaluation, done, again in _finished(steps, name, representations, data, rng, store):
            rows += done.rows
            figures += [Figure(**figure) for figure in done.figures]
            log(_line(evaluation, name, done, again))
            if not again:
                between()
    return sorted(rows, key=lambda row: order[row["eval"]]), figures


def names() -> list[str]:
    """The names of all evaluations."""
    return sorted(name for room in _ROOMS for name in _names_in(room))


def _names_in(room: str) -> Iterator[str]:
    package = importlib.import_module(f"{__package__}.{room}")
    for entry in pkgutil.iter_modules(package.__path__):
        if _is_evaluation(importlib.import_module(f"{package.__name__}.{entry.name}")):
            yield entry.name


def _module(name: str) -> ModuleType:
    room = next(room for room in _ROOMS if name in _names_in(room))
    return importlib.import_module(f"{__package__}.{room}.{name}")


def _is_evaluation(module: ModuleType) -> bool:
    return hasattr(module, "evaluate") and hasattr(module, "REPRESENTATIONS")


def _parse(key: str, spec: Mapping[str, Any]) -> _Evaluation:
    options = dict(spec)
    if "name" not in options:
        raise contracts.UserError(
            f"evals.{key} has no name; set evals.{key}.name to one of {names()}"
        )
    name = RENAMED.get(options["name"], options["name"])
    del options["name"]
    if name not in names():
        raise contracts.unknown("evaluation", name, names())
    module = _module(name)
    known = [*inspect.signature(module.evaluate).parameters][3:]
    wanted = options.pop("representations", None)
    for option in options:
        if option not in known:
            raise contracts.unknown(
                f"option of the evaluation '{name}'", option, [*known, "representations"]
            )
    if "protocol" in options:
        protocols.find(options["protocol"], module.PROTOCOL)
    return _Evaluation(key, module, options, None if wanted is None else tuple(wanted))


def _with_labels(planned, data: dataset.Dataset, log=lambda line: None) -> list[_Evaluation]:
    """The evaluations that the data has labels for; one line says which are left out."""
    reason = labelled.missing(data.splits)
    if reason is None:
        return planned
    left_out = [each.key for each in planned if each.module.NEEDS_LABELS]
    if left_out:
        log(f"{data.facts.name}: {reason}, so left out: {', '.join(left_out)}")
    return [each for each in planned if not each.module.NEEDS_LABELS]


def _check_names(planned: list[_Evaluation], representations: Iterable[str]) -> None:
    """Raises UserError if an evaluation is to run on a representation that there is not."""
    for evaluation in planned:
        for wanted in evaluation.representations or ():
            if wanted not in representations:
                raise contracts.unknown("representation", wanted, representations)


def _planned(
    planned: list[_Evaluation], name: str, frozen: contracts.Frozen, data: dataset.Dataset
) -> Iterator[tuple[_Evaluation, tuple[str, ...]]]:
    """The evaluations to run on one representation, each with the taps that it is to read."""
    has = tuple(features.shapes(frozen, data.splits["test"]))
    for evaluation in planned:
        scope = evaluation.module.REPRESENTATIONS
        taps = tuple(evaluation.options.get("taps", evaluation.module.TAPS))
        single = len(has) == 1 and has[0] not in taps
        if evaluation.representations is not None:
            chosen = name in evaluation.representations
        else:
            chosen = name == TRAINED or scope == "all" or (scope == "encoders" and not single)
            # Of pixels and their PCA there is no mean over what is drawn in training.
            drawn = evaluation.options.get("views") is not None
            chosen = chosen and not (drawn and frozen.prepare is None)
        if not chosen:
            continue
        taps = has if single else taps
        for tap in taps:
            if tap not in has:
                raise contracts.unknown(f"tap of the {name} representation", tap, has)
        yield evaluation, taps


def _trains_encoder(evaluation: _Evaluation) -> bool:
    return getattr(evaluation.module, "TRAINS_ENCODER", False)


def _splits(evaluation: _Evaluation, data: dataset.Dataset, only_labelled):
    only = evaluation.module.NEEDS_LABELS and not _trains_encoder(evaluation)
    return only_labelled if only else data.splits


def _requests(steps) -> Iterator[tuple[dataset.Split, tuple[str, ...], int | None]]:
    """Which taps of which split, and of how many views, the evaluations will ask for."""
    for evaluation, taps, splits in steps:
        if not _trains_encoder(evaluation):
            for split in splits.values():
                yield split, taps, evaluation.options.get("views")


def _call(evaluation: _Evaluation, frozen, taps, splits, classes, rng) -> dict[str, Any]:
    options = dict(evaluation.options)
    parameters = inspect.signature(evaluation.module.evaluate).parameters
    if "taps" in parameters:
        options["taps"] = taps
    if "classes" in parameters:
        options["classes"] = classes
    return evaluation.module.evaluate(frozen, splits, rng, **options)


def _identity(evaluation: _Evaluation, representation: str, taps, depends):
    """The name under which an evaluation is kept, and all that its results follow from."""
    options = [evaluation.module.__name__, evaluation.options, taps]
    return f"{evaluation.key}-{representation}", {**depends, "options": options}


def _finished(
    steps, name: str, representations, data: dataset.Dataset, rng, store: cache.Store
) -> Iterator[tuple[_Evaluation, cache.Finished, bool]]:
    """Every evaluation of one representation, what it found, and whether an earlier run did."""
    depends = cache.depends(representations[name], data, rng)
    identities = [_identity(evaluation, name, taps, depends) for evaluation, taps, _ in steps]
    before = [store.find(*identity) for identity in identities]
    todo = [step for step, found in zip(steps, before, strict=True) if found is None]
    # One representation at a time: the features of a large split fill gigabytes.
    frozen = features.remembering(representations[name], _requests(todo))
    sizes = features.shapes(frozen, data.splits["test"])
    for (evaluation, taps, splits), identity, found in zip(steps, identities, before, strict=True):
        if found is not None:
            yield evaluation, found, True
            continue
        began = time.monotonic()
        results = _call(evaluation, frozen, taps, splits, data.facts.classes, rng)
        images = {key: value for key, value in results.items() if np.ndim(value) == 3}
        figures = [_figure(evaluation, name, key, image) for key, image in images.items()]
        made = cache.Finished(
            list(_rows(evaluation, name, results, sizes)),
            [figure._asdict() for figure in figures],
            time.monotonic() - began,
        )
        store.keep(*identity, made)
        yield evaluation, made, False


def _rows(evaluation: _Evaluation, representation: str, results, sizes) -> Iterator[Row]:
    options = evaluation.options
    parameters = inspect.signature(evaluation.module.evaluate).parameters
    protocol = parameters["protocol"].default if "protocol" in parameters else None
    labels = _labels(options)
    for key, value in results.items():
        if np.ndim(value) > 0 or key.endswith(("_std", "_fits")):
            continue
        tap, _, metric = key.rpartition("/")
        yield {
            "eval": evaluation.key,
            "protocol": options.get("protocol", protocol),
            "representation": representation,
            "tap": tap,
            "dim": int(np.prod(sizes[tap])) if tap in sizes else None,
            "labels": labels,
            "metric": metric,
            "value": float(value),
            "std": results.get(f"{key}_std"),
            "fits": results.get(f"{key}_fits", 1),
            "split": tap if getattr(evaluation.module, "OF_SPLITS", False) else "test",
            "published": None,
        }


def _labels(options: Mapping[str, Any]) -> str:
    """Such as "all", "10 per class", "all, permuted" or "all, mean of 16 views"."""
    per_class, views = options.get("labels_per_class"), options.get("views")
    budget = "all" if per_class is None else f"{per_class} per class"
    if views is not None:
        budget += ", one random view" if views == 1 else f", mean of {views} views"
    return f"{budget}, permuted" if options.get("permuted") else budget


def _figure(evaluation: _Evaluation, representation: str, key: str, image: np.ndarray) -> Figure:
    file, (title, caption) = f"{key}.png", evaluation.module.FIGURES[key]
    if representation != TRAINED:  # several representations, several files
        file, title = f"{representation}_{file}", f"{title}: {representation}"
    return Figure(file, title, caption, image)


def _line(evaluation: _Evaluation, representation: str, done: cache.Finished, again: bool) -> str:
    """Such as "mlp      trained    conv 53.1  fc 51.0  y 50.2   12.3 s"."""
    shown = [
        f"{row['tap']} {100 * row['value']:.1f}"
        if row["metric"] == "accuracy"
        else f"{row['tap']} {row['metric']} {row['value']:.3f}"
        for row in done.rows
    ]
    # The name that the evaluation gave it, without the representation.
    shown += [figure["file"].removeprefix(f"{representation}_") for figure in done.figures]
    took = f"{done.seconds:.1f} s{', kept from before' if again else ''}"
    return f"{evaluation.key:12} {representation:10} {'  '.join(shown)}  ({took})"
