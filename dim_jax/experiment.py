"""One experiment from config to report: data, training, encoder, evaluation, report."""

import contextlib
import functools
import json
import shutil
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from dim_jax import augment, build, contracts, data, profiling, report, run_metadata
from dim_jax.evaluate import cache, reference_representations, suite
from dim_jax.nets import products
from dim_jax.processes import distributed, memory_usage
from dim_jax.rundir import checkpoint, lock, writing
from dim_jax.rundir.workdir import Workdir
from dim_jax.training import microbatching, train_step, trainer


class Outputs:
    """Where a training run's rows and lines go: metrics.jsonl, TensorBoard and the console."""

    _KEPT = "the checkpoints stay as they are"

    def __init__(self, folder: Workdir, console: report.Console):
        self._folder = folder
        self._console = console
        self._enabled = distributed.is_first()
        self._exit = contextlib.ExitStack()
        self._jsonl = report.JsonlWriter(folder.metrics, enabled=self._enabled)
        self.log = console.log

    def begin(self, step: int, plan: trainer.Plan) -> Mapping[str, Any]:
        """Drops what was written after `step`, opens the writers, returns the last row kept."""
        with writing.writing("the metrics", self._folder.metrics):
            self._jsonl.truncate_after(step)
        with writing.writing("the TensorBoard events", self._folder.tensorboard):
            self._tensorboard = report.TensorBoardWriter(
                self._folder.tensorboard, enabled=self._enabled, resume_step=step
            )
        self._progress = self._exit.enter_context(self._console.progress(plan.total_steps, step))
        rows = report.read_rows(self._folder.metrics)
        return rows[-1] if rows else {}

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes one row of metrics everywhere."""
        with writing.writing("the metrics", self._folder.metrics, advice=self._KEPT):
            self._jsonl.append(row)
        with writing.writing("the TensorBoard events", self._folder.tensorboard, advice=self._KEPT):
            self._tensorboard.append(row)
        self._progress.update(row["step"], row)

    def close(self) -> None:
        """Ends the progress bar and closes the files."""
        self._exit.close()
        self._jsonl.close()
        self._tensorboard.close()


def train_and_evaluate(
    config: Mapping[str, Any], workdir: str, source: str, *, profile: bool = False
) -> dict[str, Any]:
    """Runs, or continues, the experiment of a resolved config; returns what results.json holds.

    Of several processes all train, and the first one alone evaluates, writes, and returns that;
    the others wait for it and return {}.

    Args:
      config: plain nested dicts (see configs/).
      workdir: the run folder.
      source: the config file with its arguments, for the record.
      profile: record one dispatch in the run folder (`profiling`).

    Raises:
      UserError: the config, the data or the folder is not usable; training diverged; another
        command runs in the folder; the disk is full.
      train.Stopped: a signal came, or the time is up; the run is saved.
      distributed.Ended: the first process could not evaluate.
    """
    folder, first = Workdir(workdir), distributed.is_first()
    console = report.Console(enabled=first)
    recorder = profiling.Recorder(folder.profile, console.log) if profile and first else None
    with (
        writing.writing("the run", folder.path),
        lock.Lock(folder.lock, console.log, enabled=first) as held,
    ):
        return _run(config, source, folder, console, held, recorder)


def _run(config, source: str, folder: Workdir, console, held: lock.Lock, recorder):
    with distributed.together():
        if folder.config.exists():
            held.take()  # here, so that nobody waits for the data to hear that it is in use
        folder.check(config)
    if distributed.of_first(folder.results.exists()):
        return _finished(folder, console) if distributed.is_first() else {}
    with distributed.together() as facts:
        method = build.make("method", config["method"])
        suite.check(config["evals"], method=method)
        trained = method._replace(loss=products.computed_in(method.loss, config["compute_dtype"]))
        trained = microbatching.divide(trained, config["train"], jax.device_count())
        dataset, judged = datasets(config)
        suite.check(config["evals"], judged)
        durations = trainer.plan(
            config["train"], len(dataset.splits["train"].images), jax.device_count()
        )
        initial = trainer.initial_state(trained, config, dataset, durations)
        untrained = frozen(method, initial.params, initial.state, *_look(config, judged))
        suite.check_representations(config["evals"], _representations(untrained), judged)
        facts |= run_metadata.identity(config, dataset)
        held.take()
        if distributed.is_first():
            folder.check(config)  # again: the folder may have been made meanwhile
            folder.claim(config)
    for line in run_metadata.opening(config, dataset, durations, initial):
        console.log(line)
    outputs = Outputs(folder, console)
    checkpoints = checkpoint.Checkpoints(
        folder.checkpoints, config["train"]["keep"], config["train"].get("keep_best")
    )
    with contextlib.closing(outputs):
        loop = trainer.Loop.of(
            initial, config, dataset, durations, checkpoints, outputs, recorder=recorder
        )
        final = loop.run()
        if recorder is not None:
            recorder.close()
    final = train_step.localise(final)
    facts = run_metadata.facts(config, source, dataset, durations, final, loop)
    facts["notes"] += judged.notes
    best = loop.best()
    with distributed.first_alone() as is_first:
        if not is_first:
            return {}
        with trainer.Ends(loop.deadline) as ends:
            if best:
                _export_best(folder, console, config, method, judged, facts, *best)
            return _judge(folder, console, config, method, judged, initial, final, facts, ends)


def datasets(config: Mapping[str, Any]) -> tuple[data.Dataset, data.Dataset]:
    """What a config trains on, and what it evaluates and exports.

    The second has the centres of images that are trained on in parts. Where seed patches are
    trained on it has the images themselves, and the patches as its split "seeds".
    """
    block, crop = config["data"], config.get("augment", {}).get("crop")
    limit = block.get("eval_train_images")
    whole = data.load(**_data_arguments(block))
    if block.get("seeds") is None:
        return whole, data.evaluated(whole, crop, limit)
    context = block.get("context") or 0
    if context and crop is None:
        raise contracts.UserError(
            f"data.context is {context} pixels around each patch and augment.crop is None, so that "
            "they would be trained on; set augment.crop to data.patch"
        )
    made = dict(seeds=block["seeds"], patch=block.get("patch"), context=context)
    patches = data.seeded(whole, **made, seed=config["seed"])
    judged = data.evaluated(whole, None, limit)
    splits = {**judged.splits, "seeds": patches.splits["train"]}
    return patches, judged._replace(splits=splits, notes=judged.notes + patches.notes)


def _finished(folder: Workdir, console: report.Console) -> dict[str, Any]:
    """The results of a run that is finished; says so, and writes the report anew."""
    shutil.rmtree(folder.evaluations, ignore_errors=True)  # left if the run was killed at its end
    report.write_html(folder.path)
    console.log(f"this run is finished; its report: {folder.report}")
    results = json.loads(folder.results.read_text())
    console.results(results)
    return results


def _export_best(folder, console, config, method, dataset, facts, best, state) -> None:
    """Writes the encoder of the best checkpoint beside that of the last step."""
    state = train_step.localise(state)
    facts["best"] = best._asdict()
    of_step = frozen(method, state.params, state.state, *_look(config, dataset))
    run_metadata.export(
        folder.best_encoder, config, dataset, of_step, {**facts, "steps": best.step}
    )
    console.log(
        f"best checkpoint: step {best.step:,}, {best.metric} {best.value:.6g}; its encoder: "
        f"{folder.best_encoder}"
    )


def _judge(folder, console, config, method, dataset, initial, final, facts, ends) -> dict[str, Any]:
    """Evaluates the trained representation beside its controls; writes results and report."""
    look = _look(config, dataset)
    trained = frozen(method, final.params, final.state, *look)
    run_metadata.export(folder.encoder, config, dataset, trained, facts)
    began = time.perf_counter()
    untrained = frozen(method, initial.params, initial.state, *look)
    pca = reference_representations.pca(dataset.splits["train"].images, _width(trained, dataset))
    representations = _representations(untrained, trained, pca)
    rng = jax.random.key(config["seed"])
    store = cache.Store(folder.evaluations)
    rows, figures = suite.run(
        config["evals"], representations, dataset, rng, console.log, store, ends.check
    )
    facts["eval_seconds"] = time.perf_counter() - began + store.seconds
    facts["peak_mib"] = memory_usage.peaks()
    published = run_metadata.published(config)
    for row in rows:
        known = published.get(row["eval"], {}) if row["representation"] == "trained" else {}
        name = row["tap"] if row["metric"] == "accuracy" else f"{row['tap']}/{row['metric']}"
        row["published"] = known.get(name)
    results = {
        "format": 1,
        "run": facts,
        "rows": rows,
        "published_source": config.get("published_source") if any(published.values()) else None,
        "figures": [],
    }
    with writing.writing("the figures", folder.figures, advice=Outputs._KEPT):
        folder.figures.mkdir(exist_ok=True)
        for name, title, caption, image in figures:
            Image.fromarray(np.asarray(image)).save(folder.figures / name)
            results["figures"].append({"file": name, "title": title, "caption": caption})
    folder.write_json(folder.results, results)
    shutil.rmtree(folder.evaluations, ignore_errors=True)
    with writing.writing("the report", folder.report):
        report.write_html(folder.path)
    console.results(results)
    console.log(f"report: {folder.report}")
    console.log(f"encoder: {folder.encoder} (dim_jax.load_encoder({str(folder.path)!r}))")
    return results


def _representations(
    untrained: contracts.Frozen,
    trained: contracts.Frozen | None = None,
    pca: contracts.Frozen | None = None,
) -> dict[str, contracts.Frozen | None]:
    """What evaluations run on; before training the untrained encoder stands for the trained one."""
    return {
        suite.TRAINED: trained or untrained,
        "untrained": untrained,
        "pixels": reference_representations.pixels(),
        "pca": pca,
    }


def _look(config, dataset: data.Dataset) -> tuple[Any, Any]:
    """The scaling and the changes of images that `frozen` is told."""
    return data.scaling(dataset.facts, config["data"]["scaling"]), config.get("augment")


def frozen(
    method: contracts.Method, params, state, scaling, changes: Mapping[str, Any] | None = None
) -> contracts.Frozen:
    """A method at fixed parameters, as evaluators see it.

    Args:
      scaling: (mean, std).
      changes: the config's `augment` block.
    """
    mean, std = scaling
    changes = changes or {}
    change = augment.pipeline(**changes)

    # Parameters are arguments: as constants of the function they would be compiled in.
    @jax.jit
    def represent(params, state, images):
        return method.represent(params, state, data.normalise(images, mean, std))

    def prepare(images, rng=None):
        if rng is not None:
            return train_step.prepare_images(change(rng, images), mean, std)
        return jnp.repeat(
            train_step.prepare_images(images, mean, std), changes.get("views", 1), axis=0
        )

    return contracts.Frozen(
        functools.partial(represent, params, state),
        method,
        params,
        state,
        normalise=functools.partial(data.normalise, mean=mean, std=std),
        prepare=prepare,
    )


def _width(frozen: contracts.Frozen, dataset: data.Dataset) -> int:
    one = jax.ShapeDtypeStruct((1, *dataset.facts.shape), np.uint8)
    return jax.eval_shape(frozen.represent, one)["y"].shape[-1]


def _data_arguments(block: Mapping[str, Any]) -> dict[str, Any]:
    elsewhere = ("scaling", "worker_processes", "eval_train_images", "seeds", "patch", "context")
    return {key: value for key, value in block.items() if key not in elsewhere}
