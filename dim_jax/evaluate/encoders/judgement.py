"""From an encoder and a data set to results: features, evaluations, controls and the report."""

import json
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from dim_jax import contracts, data, report, settings
from dim_jax.encoder import inputs, loading
from dim_jax.encoder.loading import Encoder
from dim_jax.evaluate import (
    cache,
    plan,
    reference_representations,
    results_files,
    shared_results,
    suite,
)
from dim_jax.evaluate.encoders import (
    chosen,
    encoding,
    file_splits,
    functions,
    sources,
    stored,
)
from dim_jax.evaluate.probes import labelled
from dim_jax.processes import environment, memory_usage, user_cache
from dim_jax.rundir import lock, writing
from dim_jax.rundir.workdir import Workdir

RECORD = "evaluation.json"  # by which a folder of this command is known


class Task(NamedTuple):
    """The options of the command.

    encoder, untrained: as `sources.find` reads them; None = no such control, or for an exported
    encoder its network at random parameters. data: settings of the block `data` that are given,
    None = no images. evals: as of a config. batch: images of a call; None = the usual number.
    """

    encoder: str
    untrained: str | None
    data: Mapping[str, Any] | None
    test_fraction: float
    evals: chosen.Evals
    seed: int
    batch: int | None
    workdir: str
    command: str


class _Judged(NamedTuple):
    """The data set of a task, its encoder, and the untrained one if there is one.

    facts: for results.json.
    unreached: its taps that its training did not reach.
    """

    data: data.Dataset
    encoder: encoding.Opened
    untrained: encoding.Opened | None
    facts: Mapping[str, Any]
    unreached: tuple[str, ...] = ()


def judge(task: Task) -> dict[str, Any]:
    """Evaluates an encoder beside its controls; returns the content of results.json.

    Finished evaluations are kept in the folder, so that the same command continues one that was
    interrupted.

    Raises:
      UserError: the encoder, the data, the evaluations or the folder are not usable.
    """
    folder, console = Workdir(task.workdir), report.Console()
    with (
        jax.enable_x64(False),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        writing.explain_failed_write("the evaluation", folder.path, only_there=True),
        lock.Lock(folder.lock, console.log) as held,
    ):
        _check_folder(folder, task)
        chosen.check(task.evals, task.encoder, has_images=task.data is not None)
        judged = _open(task, console)
        evals = chosen.with_taps(task.evals, judged.encoder.shapes)
        _check(evals, judged, task)
        held.take()
        folder.write_json(folder.path / RECORD, _record(task))
        return _evaluate(evals, judged, task, folder, console)


def _check_folder(folder: Workdir, task: Task) -> None:
    """Raises UserError for a folder of something else."""
    path = folder.path / RECORD
    if not path.exists():
        folder.check_is_new(f"{RECORD} of an evaluation")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = {}
    for key, value in json.loads(json.dumps(_record(task))).items():
        if there.get(key) != value:
            raise contracts.UserError(
                f"the workdir {folder.path} has the evaluation of another encoder: {key} is "
                f"{there.get(key)} there and {value} here; use another --workdir"
            )


def _record(task: Task) -> dict[str, Any]:
    """The settings that agree where results of a folder may be replaced; not where data lie."""
    kept = ("encoder", "untrained", "test_fraction", "seed")
    images = {key: value for key, value in (task.data or {}).items() if key != "data_dir"}
    return {**{key: getattr(task, key) for key in kept}, "data": images}


def _open(task: Task, console: report.Console) -> _Judged:
    source = sources.find(task.encoder, "--encoder")
    other = task.untrained and sources.find(task.untrained, "--untrained")
    if task.data is not None:
        complete, parts = _load(task, source), None
    elif isinstance(source, tuple):
        complete, parts = file_splits.alone(source, task.test_fraction)
    else:
        raise _without_images("--encoder", task.encoder)
    loaded, labelled_rows = _with_labels(complete)

    def opened(each: sources.Source, option: str, text: str) -> encoding.Opened:
        if isinstance(each, tuple):
            rows = file_splits.matched(each, complete) if parts is None else parts
            if parts is not None:
                file_splits.check_alike(source, each)
            return encoding.open_files(each, file_splits.only(rows, labelled_rows), loaded)
        if task.data is None:
            raise _without_images(option, text)
        return encoding.open_images(each, loaded, task.batch, console.log)

    encoder = opened(source, "--encoder", task.encoder)
    facts: dict[str, Any] = {}
    unreached: tuple[str, ...] = ()
    count = data.count_shared(loaded, loaded)
    if isinstance(source, Encoder):
        trainings, data_dir = source.card.get("trained_on", ()), (task.data or {}).get("data_dir")
        count, notes = data.count_trained_on(loaded, trainings, data_dir)
        loaded = loaded._replace(notes=(*loaded.notes, *notes))
        unreached = tuple(source.card.get("unreached", ()))
        other = other or loading.untrained(source, task.seed)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(source.params))
        facts = {"steps": source.card.get("steps"), "parameters": {"encoder": parameters}}
    untrained = opened(other, "--untrained", task.untrained or "") if other else None
    if untrained is not None and untrained.shapes != encoder.shapes:
        raise contracts.UserError(
            f"--untrained gives the features {functions.shown(untrained.shapes)} and --encoder "
            f"{functions.shown(encoder.shapes)}; give the same network at random parameters"
        )
    facts["test_examples_trained_on"] = count
    return _Judged(loaded, encoder, untrained, facts, unreached)


def _without_images(option: str, text: str) -> contracts.UserError:
    return contracts.UserError(
        f"{option} is {text}, which encodes images, and there are none; give --data, such as "
        "--data cifar10 or --data folder:PATH"
    )


def _load(task: Task, source: sources.Source) -> data.Dataset:
    """The images of the evaluations, read for an exported encoder as its card says."""
    values, crop = dict(task.data), None
    if isinstance(source, Encoder):
        reading = inputs.reading(source.card)
        if not data.is_encoded(values["name"]):
            reading = {name: reading[name] for name in ("image_size", "fit")}
        values, crop = reading | values, source.card.get("crop")
    block = settings.Data.of(values | {"test_fraction": task.test_fraction})
    loaded = data.add_notes(data.load_configured(block))
    evaluated = data.evaluated(loaded, crop, block.eval_train_images)
    splits = {name: evaluated.splits[name] for name in file_splits.ROLES}
    return evaluated._replace(splits=splits)


def _with_labels(loaded: data.Dataset) -> tuple[data.Dataset, np.ndarray | None]:
    """The data set without training images that have no label, and the rows that stay; None = all.

    Where no image has one, all stay.
    """
    train = loaded.splits["train"]
    rows = np.flatnonzero(train.labels >= 0)
    if not 0 < len(rows) < len(train.labels):
        return loaded, None
    left_out = f"{len(train.labels) - len(rows):,} training images without a label are left out."
    splits = {**loaded.splits, "train": data.select(train, rows)}
    return loaded._replace(splits=splits, notes=(*loaded.notes, left_out)), rows


def _check(evals: chosen.Evals, judged: _Judged, task: Task) -> None:
    """Finds evaluations that do not fit the data or the encoder, before anything is computed."""
    suite.check(evals, judged.data)
    reason = labelled.missing(judged.data.splits)
    if not plan.with_labels(plan.parse(evals), judged.data):
        raise contracts.UserError(
            f"{judged.data.facts.name}: {reason}, and all evaluations need them; give labels, or "
            "evaluations without, such as prior_fit"
        )
    opened = {plan.TRAINED: judged.encoder, "untrained": judged.untrained}
    frozen = {
        name: contracts.Frozen(stored.Stored(each.shapes)) for name, each in opened.items() if each
    }
    frozen[plan.TRAINED] = frozen[plan.TRAINED]._replace(unreached=judged.unreached)
    suite.check_representations(evals, frozen | _references(judged, task), judged.data)
    if not plan.judged(plan.parse(evals), judged.unreached):
        raise contracts.UserError(
            f"the evaluations read the taps {', '.join(judged.unreached)}, which no loss of the "
            "training reached; choose others"
        )


def _references(judged: _Judged, task: Task) -> dict[str, contracts.Frozen]:
    """Pixels and their PCA, where there are images."""
    if task.data is None:
        return {}
    train, shapes = judged.data.splits["train"], judged.encoder.shapes
    width = math.prod(shapes.get(functions.TAP, [*shapes.values()][-1]))
    return {
        "pixels": reference_representations.pixels(judged.data.facts.pixel_range),
        "pca": reference_representations.pca(train.images, width, train.pixel_range),
    }


def _evaluate(evals: chosen.Evals, judged: _Judged, task: Task, folder: Workdir, console):
    """Encodes and evaluates; writes results and report."""
    began, loaded = time.perf_counter(), judged.data
    unjudged = plan.not_judged(evals, judged.unreached)
    for line in (*_opening(task, judged), *(f"note: {each}" for each in unjudged)):
        console.log(line)
    opened = {plan.TRAINED: judged.encoder, "untrained": judged.untrained}
    frozen = {name: each.encode().frozen() for name, each in opened.items() if each}
    frozen[plan.TRAINED] = frozen[plan.TRAINED]._replace(unreached=judged.unreached)
    home = user_cache.folder()
    shared = shared_results.Results(home and home / "controls")
    store = cache.Store(folder.evaluations)
    rows, figures = suite.run(
        *(evals, frozen | _references(judged, task), loaded, jax.random.key(task.seed)),
        *(console.log, store),
        shared=shared,
    )
    if shared.reused:
        reused = ", ".join(shared.reused)
        loaded = loaded._replace(notes=(*loaded.notes, f"{shared_results.REUSED}: {reused}."))
    run = {
        "config": sources.short_name(task.encoder),
        "config_string": task.command,
        "device": environment.device(),
        "devices": 1,
        "seed": task.seed,
        "dataset": loaded.facts.name,
        **{f"{name}_examples": len(split.images) for name, split in loaded.splits.items()},
        **judged.facts,
        "eval_seconds": time.perf_counter() - began + store.seconds,
        "peak_mib": memory_usage.peaks(),
        "commit": environment.commit(),
        "versions": environment.versions(),
        "notes": [*loaded.notes, *_notes(task, judged), *unjudged],
    }
    return results_files.write(folder, console, store, run, rows, figures)


def _opening(task: Task, judged: _Judged) -> list[str]:
    taps = ", ".join(
        f"{tap} {'x'.join(map(str, shape))}" for tap, shape in judged.encoder.shapes.items()
    )
    loaded = judged.data
    train, test = (len(loaded.splits[role].images) for role in file_splits.ROLES)
    of = "" if task.data is None else f" of {'x'.join(map(str, loaded.facts.shape))}"
    return [
        f"encoder: {task.encoder}, {taps}",
        f"data: {loaded.facts.name}, {train:,} training and {test:,} test images{of}",
        f"classes: {data.describe_classes(loaded.facts.classes)}",
        *(f"note: {note}" for note in loaded.notes),
    ]


def _notes(task: Task, judged: _Judged) -> list[str]:
    if task.untrained:
        return [f"The untrained encoder is {task.untrained}."]
    if judged.untrained is not None:
        return [
            "The untrained encoder is the network of the exported one with other random "
            "parameters than those that its training began with."
        ]
    return ["There is no untrained encoder to compare with (--untrained)."]
