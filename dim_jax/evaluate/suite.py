"""All evaluations of a run: several representations side by side, as rows and figures.

`evaluation.Evaluation` says what an evaluation is; `discovery` finds it by its name.
"""

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import cache, features, plan, results, shared_results
from dim_jax.evaluate.evaluation import Splits
from dim_jax.evaluate.probes import labelled

TRAINED = plan.TRAINED


class _Step(NamedTuple):
    """An entry on one representation, with the taps and the splits that it is given."""

    entry: plan.Entry
    taps: tuple[str, ...]
    splits: Splits


def check(
    evals: plan.Evals,
    data: dataset.Dataset | None = None,
    method: contracts.Method | None = None,
    *,
    count_labels: bool = True,
) -> None:
    """Finds mistakes in a config's `evals` block before any training.

    Args:
      data: where given, the images and the numbers of labels are checked too.
      count_labels: False where `data` has some of the images only.
      method: where given, whether it can do what they ask of it.

    Raises:
      UserError: an evaluation without name or of an unknown one, an option it does not take, an
        unknown protocol, images or a method that do not fit, or more labels per class than the
        data has.
    """
    entries = plan.parse(evals)
    if data is not None and count_labels and labelled.missing(data.splits) is None:
        _check_smallest_class(entries, data)
    for entry in entries:
        options = entry.options
        if data is not None:
            entry.evaluation.check_splits(data.splits)
        entry.evaluation.check_options(options, data)
        of_trained = entry.representations is None or TRAINED in entry.representations
        if method is not None and of_trained:
            entry.evaluation.check_method(method)
        if options.get("views") is not None:
            features.check_views(options["views"])


def _check_smallest_class(entries: Iterable[plan.Entry], data: dataset.Dataset) -> None:
    """Raises UserError if entries ask for more labels per class than the smallest class has."""
    labels = data.splits["train"].labels
    present, sizes = np.unique(labels[labels >= 0], return_counts=True)
    least, label = sizes.min(), present[sizes.argmin()]
    few = [one.key for one in entries if (one.options.get("labels_per_class") or 0) > least]
    if few:
        name = data.facts.classes[label] if data.facts.classes else label
        keys = " ".join(f"--config.evals.{key}.labels_per_class={least}" for key in few)
        raise contracts.UserError(
            f"the class {name} has only {least} training images, fewer than the labels_per_class "
            f"of evals.{few[0]}: use at most {least} labels per class, with {keys}"
        )


def check_representations(
    evals: plan.Evals,
    representations: Mapping[str, contracts.Frozen | None],
    data: dataset.Dataset,
) -> None:
    """Finds mistakes in a config's `evals` block that show on the representations.

    Args:
      representations: as of `run`, the encoders at any parameters; None for one that does not
        exist yet, of which the name is given.

    Raises:
      UserError: an unknown representation, a tap that one does not have, or one that lacks what an
        evaluation asks for.
    """
    entries = plan.with_labels(_judged(evals, representations), data)
    plan.check_names(entries, representations)
    for entry in entries:
        for name in entry.representations or ():
            _check_method(entry, name, representations[name])
            _check_draws(entry, name, representations[name])
        if entry.representations is None:
            _check_draws(entry, TRAINED, representations.get(TRAINED))
    for name, frozen in representations.items():
        if frozen is None:
            continue
        for entry, _ in plan.steps(entries, name, frozen, data):
            entry.evaluation.check_frozen(frozen, data.splits)


def _judged(
    evals: plan.Evals, representations: Mapping[str, contracts.Frozen | None]
) -> list[plan.Entry]:
    """The entries of `evals`, without taps that no loss of the method trains."""
    trained = representations.get(TRAINED)
    return plan.judged(plan.parse(evals), trained.unreached if trained else ())


def _check_method(entry: plan.Entry, name: str, frozen: contracts.Frozen | None) -> None:
    """Raises UserError for a representation without a method, if an evaluation asks for one."""
    try:
        entry.evaluation.check_method(frozen and frozen.method)
    except contracts.UserError as error:
        raise contracts.UserError(
            f"evals.{entry.key}.representations has '{name}': {error}"
        ) from error


def _check_draws(entry: plan.Entry, name: str, frozen: contracts.Frozen | None) -> None:
    """Raises UserError for a representation without random changes, if options ask for some."""
    asked = [option for option in plan.DRAWS if entry.options.get(option) is not None]
    if not asked:
        return
    given = f"evals.{entry.key}.{asked[0]} is {entry.options[asked[0]]}"
    if frozen is None or frozen.prepare is None:
        raise contracts.UserError(
            f"{given} and evals.{entry.key}.representations has '{name}', which is not trained on "
            f"changed images; leave it out, or set {asked[0]} to None"
        )
    if not frozen.varies:
        raise contracts.UserError(
            f"{given} and the block augment changes no image at random, so that all copies would "
            f"be equal; set evals.{entry.key}.{asked[0]} to None, or a change such as augment.flip"
        )


def run(
    evals: plan.Evals,
    representations: Mapping[str, contracts.Frozen],
    data: dataset.Dataset,
    rng: jax.Array,
    log: Callable[[str], None] = print,
    store: cache.Store | None = None,
    between: Callable[[], None] = lambda: None,
    shared: shared_results.Results | None = None,
) -> tuple[list[results.Row], list[results.Figure]]:
    """Runs every evaluation on every representation that it is meant for.

    Each representation is encoded once; all evaluations get the same `rng`, so they draw the same
    label subsets for every representation. What is drawn to fit probes on all labels of pixels and
    PCA is that of seed 0, so that runs of several seeds share these results.

    Args:
      evals: {key: {"name": evaluation, **options}}. `taps` and `representations` (names of them)
        are options of every evaluation that reads taps.
      representations: {"trained": .., "untrained": .., "pixels": .., "pca": ..}; one with a single
        tap is measured on that one. Taps that are `unreached` in "trained" are left out of all.
      log: called with one line for each finished evaluation.
      store: of finished evaluations, which are not run again; none by default.
      shared: results of controls that runs share; none by default.
      between: called after each evaluation that was run; what it raises ends the run.

    Returns:
      rows (the keys of `rows` in results.json) in the order of `evals`, and figures.

    Raises:
      UserError: as `check` and `check_representations`.
    """
    entries = plan.with_labels(_judged(evals, representations), data, log)
    order = {entry.key: index for index, entry in enumerate(entries)}
    plan.check_names(entries, representations)
    planned = {
        name: list(plan.steps(entries, name, frozen, data))
        for name, frozen in representations.items()
    }
    only_labelled = labelled.labelled(data.splits)
    rows, figures = [], []
    stores = store or cache.Store(), shared or shared_results.Results()
    for name, pairs in planned.items():
        steps = [_step(entry, taps, data, only_labelled) for entry, taps in pairs]
        frozen = representations[name]
        for step, finished, origin in _finish(steps, name, frozen, data, rng, *stores):
            rows += finished.rows
            figures += _with_other_files(finished.figures, figures, step.entry.key)
            log(results.line(step.entry, name, finished, origin))
            if not origin:
                between()
    return sorted(rows, key=lambda row: order[row["eval"]]), figures


def _with_other_files(
    new: Iterable[Mapping[str, Any]], earlier: list[results.Figure], key: str
) -> list[results.Figure]:
    """New figures; one whose file an earlier figure has gets the key of its entry in front."""
    files = {figure.file for figure in earlier}
    figures = [results.Figure(**each) for each in new]
    return [
        each._replace(file=f"{key}_{each.file}") if each.file in files else each for each in figures
    ]


def _step(entry: plan.Entry, taps, data: dataset.Dataset, only_labelled: Splits) -> _Step:
    evaluation = entry.evaluation
    fewer = evaluation.needs_labels and not evaluation.trains_encoder
    return _Step(entry, taps, only_labelled if fewer else data.splits)


def _finish(
    steps: list[_Step],
    name: str,
    frozen: contracts.Frozen,
    data: dataset.Dataset,
    rng: jax.Array,
    store: cache.Store,
    shared: shared_results.Results,
) -> Iterator[tuple[_Step, cache.Finished, str]]:
    """Every step of one representation, finished, and where it comes from if not from here."""
    keys = [_key(step, frozen, rng) for step in steps]
    identities = [
        _identity(step, name, cache.depends(frozen, data, key) | _reads(step))
        for step, key in zip(steps, keys, strict=True)
    ]
    contents = _contents(steps, keys, name, frozen, data, shared)
    earlier = []
    for identity, content in zip(identities, contents, strict=True):
        finished, origin = store.find(*identity), "kept from before"
        if finished is None and content is not None:
            finished, origin = shared.find(content), "of an earlier run"
        earlier.append((finished, origin))
    remaining = [
        step for step, (finished, _) in zip(steps, earlier, strict=True) if finished is None
    ]
    # One representation at a time: the features of a large split fill gigabytes.
    frozen = features.FeatureCache(frozen, _requests(remaining), name)
    shapes = features.shapes(frozen, data.splits["test"])
    for index, (step, (finished, origin)) in enumerate(zip(steps, earlier, strict=True)):
        if finished is not None:
            yield step, finished, origin
            continue
        began = time.monotonic()
        values = _evaluate(step, frozen, data.facts.classes, keys[index])
        finished = cache.Finished(
            list(results.rows(step.entry, name, values, shapes)),
            [figure._asdict() for figure in results.figures(step.entry, name, values)],
            time.monotonic() - began,
        )
        store.keep(*identities[index], finished)
        if contents[index] is not None:
            shared.keep(contents[index], finished)
        yield step, finished, ""


def _key(step: _Step, frozen: contracts.Frozen, rng: jax.Array) -> jax.Array:
    """The key of a step: that of the run, or of seed 0 where controls without weights allow it."""
    options = step.entry.options
    draws = options.get("labels_per_class") is not None or options.get("permuted")
    fixed = step.entry.evaluation.draws_fits_only and not draws and frozen.method is None
    return jax.random.key(0) if fixed and cache.weights(frozen) is None else rng


def _contents(steps, keys, name, frozen, data, shared) -> list[dict[str, Any] | None]:
    """All that each step follows from, as `shared` keeps it; None where it is not shared."""
    depends = None
    if name != TRAINED:
        depends = shared.depends(frozen, data, features.shapes(frozen, data.splits["test"]))
    if depends is None:
        return [None] * len(steps)
    return [
        {
            **depends,
            **_reads(step),
            "representation": name,
            "rng": np.asarray(jax.random.key_data(key)).tolist(),
            "entry": shared_results.entry(
                *(step.entry.key, step.entry.name, step.entry.evaluation),
                *(step.entry.options, step.taps, step.entry.data),
            ),
        }
        for step, key in zip(steps, keys, strict=True)
    ]


def _reads(step: _Step) -> dict[str, str]:
    """The content of files that its options name, beside which their paths mean nothing."""
    content = step.entry.evaluation.reads(step.entry.options)
    return {} if content is None else {"reads": content}


def _identity(step: _Step, representation: str, depends: Mapping[str, Any]):
    """The name under which a step is stored, and all that its results follow from."""
    options = [step.entry.name, step.entry.options, step.taps, step.entry.data]
    return f"{step.entry.key}-{representation}", {**depends, "options": options}


def _requests(steps: list[_Step]) -> Iterator[tuple[dataset.Split, tuple[str, ...], int | None]]:
    """The taps of each split, and of how many views, that the evaluations will ask for."""
    for entry, taps, splits in steps:
        if not entry.evaluation.trains_encoder:
            for split in splits.values():
                yield split, taps, entry.options.get("views")
            if entry.options.get("augmentations") is not None:
                yield splits["train"], taps, 1


def _evaluate(step: _Step, frozen: features.FeatureCache, classes, rng: jax.Array):
    given = {"taps": step.taps, "classes": classes}
    accepted = inspect.signature(step.entry.evaluation.evaluate).parameters
    options = step.entry.options | {name: given[name] for name in given if name in accepted}
    return step.entry.evaluation.evaluate(frozen, step.splits, rng, **options)
