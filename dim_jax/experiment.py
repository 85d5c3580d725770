"""One experiment from config to report: data, training, encoder, evaluation, report."""

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Mapping
from typing import Any

import jax

from dim_jax import (
    build,
    contracts,
    data,
    outputs,
    profiling,
    published,
    report,
    run_metadata,
    settings,
)
from dim_jax.evaluate import (
    cache,
    other_data,
    plan,
    results_files,
    shared_results,
    suite,
)
from dim_jax.evaluate.samples_over_training import SamplesOverTraining
from dim_jax.nets import averages, products
from dim_jax.processes import distributed, memory_usage, user_cache
from dim_jax.rundir import checkpoint, lock, writing
from dim_jax.rundir.workdir import Workdir
from dim_jax.training import (
    continuation,
    microbatching,
    preprocessing,
    reach,
    start,
    stopping,
    train_step,
    trainer,
)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A config and all that it builds before training.

    training_data: the split "train" is trained on. evaluation_data: of evaluations and the export.
    judged: it, and the other data sets that evaluations name. initial: the train state at step 0.
    overridden: what of the config is not as in its file (`published.overrides`).
    """

    config: settings.Config
    method: contracts.Method
    training_data: data.Dataset
    evaluation_data: data.Dataset
    judged: other_data.DataSets
    prepared: preprocessing.Preprocessing
    durations: trainer.Plan
    initial: train_step.TrainState
    overridden: Mapping[str, Any]

    @classmethod
    def of(cls, config: settings.Config, written: Mapping[str, Any] | None = None) -> "Experiment":
        """Builds all parts, and checks that they fit each other.

        Args:
          written: the config of the file, before the command line changed it; None = as it is.

        Raises:
          UserError: the method, the data, the evaluations or the training cannot be as configured.
        """
        method = build.make("method", config.method)
        suite.check(config.evals, method=method)
        trained = method._replace(loss=products.computed_in(method.loss, config.compute_dtype))
        trained = microbatching.divide(trained, config.train, jax.device_count())
        training_data, evaluation_data = load_data(config)
        judged = other_data.DataSets(config.data, evaluation_data)
        judged.check(config.evals)
        prepared = preprocessing.Preprocessing.of(config, training_data.facts)
        split = training_data.splits["train"]
        durations = trainer.plan(config.train, len(split.images), jax.device_count())
        trained = averages.trained_for(trained, durations.total_steps)
        initial = trainer.initial_state(trained, config, split, prepared, durations)
        experiment = cls(
            *(config, method, training_data, evaluation_data, judged, prepared),
            *(durations, initial, published.overrides(written or {}, config)),
        )
        untrained = experiment.freeze(initial)
        judged.check_representations(config.evals, untrained, untrained)
        return experiment

    def freeze(self, state: train_step.TrainState) -> contracts.Frozen:
        """The method at the parameters of a train state."""
        frozen = freeze(self.method, state.params, state.state, self.prepared)
        return frozen._replace(unreached=self.unreached)

    @functools.cached_property
    def unreached(self) -> tuple[str, ...]:
        """The taps that no loss of the method trains."""
        initial, shape = self.initial, self.evaluation_data.facts.shape
        weights = initial.params, initial.state
        return reach.unreached_taps(self.method, *weights, shape, initial.unreached)

    @functools.cached_property
    def start(self) -> tuple[train_step.TrainState, str]:
        """The train state at step 0, and a line on what of it is of another run ("" = nothing).

        Raises: UserError for a `train.init_from` or `encoder.init` that is not usable.
        """
        shape = self.evaluation_data.facts.shape
        return start.make(self.config, self.initial, shape, self.prepared)

    def samples(self, folder: Workdir) -> SamplesOverTraining:
        """The images at checkpoints, of a method that can draw codes."""
        test = self.evaluation_data.splits["test"]
        frozen = self.freeze(self.initial)
        return SamplesOverTraining(folder.samples, frozen, test, self.config.seed)

    def train(self, folder: Workdir, writers: outputs.Outputs, recorder=None) -> trainer.Loop:
        """Trains to the last step, from the newest checkpoint of the folder if it has one.

        Raises: as `trainer.Loop.run`.
        """
        block, config = self.config.train, dataclasses.asdict(self.config)

        def begin():
            state, line = self.start
            vars(self).pop("start")  # else it would fill device memory during the training
            writers.log(line)
            return state

        watched = self.samples(folder).write if distributed.is_first() else None
        loop = trainer.Loop.of(
            *(self.initial, self.config, self.training_data.splits["train"], self.prepared),
            self.durations,
            checkpoint.Checkpoints(folder.checkpoints, block.keep, block.keep_best, config),
            writers,
            recorder=recorder,
            start=None if start.is_random(self.config) else begin,
            saved=watched,
        )
        loop.run()
        return loop


def train_and_evaluate(
    config: Mapping[str, Any],
    workdir: str,
    source: str,
    *,
    profile: bool = False,
    patience: float | None = None,
    written: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Runs, or continues, the experiment of a resolved config; returns the content of results.json.

    Of several processes all train, and the first one alone evaluates, writes, and returns that;
    the others wait for it and return {}.

    Args:
      config: plain nested dicts (see configs/).
      workdir: the run folder.
      source: the config file with its arguments, for the record.
      profile: record one dispatch in the run folder (`profiling`).
      patience: seconds after a signal in the evaluation in which the process ends, whatever it
        waits for; None = it is not ended, and the exception may come late.
      written: the config as its file returns it, if `config` has other values of some settings;
        results name these beside published numbers. None = it has none.

    Raises:
      UserError: the config, the data or the folder is not usable; training diverged; another
        command runs in the folder; something could not be written.
      stopping.Stopped: a signal came, or the time is up; the run is saved.
      distributed.Ended: the first process could not evaluate.
    """
    folder, first = Workdir(workdir), distributed.is_first()
    console = report.Console(enabled=first)
    recorder = profiling.Recorder(folder.profile, console.log) if profile and first else None
    with (
        # Whatever the defaults of the process are: all of a run is float32.
        jax.enable_x64(False),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        writing.explain_failed_write("the run", folder.path, only_there=True),
        lock.Lock(folder.lock, console.log, enabled=first) as held,
    ):
        return _run(config, written, source, folder, console, held, recorder, patience)


def _run(config, written, source, folder: Workdir, console, held, recorder, patience):
    with distributed.together():
        typed = settings.Config.of(config)
        folder.check(config)
        if folder.config.exists():  # an error comes before the data are loaded
            held.take(optional=folder.results.exists())
    if distributed.of_first(continuation.is_finished(folder, typed.train)):
        return _finished(folder, console, recorder, typed) if distributed.is_first() else {}
    with distributed.together():
        if distributed.is_first():
            report.check_tracker(typed.track)
    experiment, lines = _claim(config, typed, written, folder, held)
    for line in lines:
        console.log(line)
    with contextlib.closing(outputs.tracker(typed, folder, console)) as tracker:
        with contextlib.closing(outputs.Outputs(folder, console, tracker)) as writers:
            loop = experiment.train(folder, writers, recorder)
            if recorder is not None:
                recorder.close()
        results = _conclude(experiment, source, folder, console, loop, patience)
        if results:
            tracker.summarise(results)
        return results


def _conclude(experiment: Experiment, source: str, folder: Workdir, console, loop, patience):
    """Evaluates a finished training in the first process; {} in the others."""
    typed = experiment.config
    final, best = train_step.localise(loop.train_state), loop.best()
    facts = run_metadata.facts(
        typed, source, experiment.training_data, experiment.durations, final, loop
    )
    unjudged = plan.not_judged(typed.evals, experiment.unreached)
    notes = (experiment.evaluation_data.notes, start.notes(typed), experiment.method.notes)
    facts["notes"] += itertools.chain(*notes, unjudged)
    with distributed.first_alone() as is_first:
        if not is_first:
            return {}
        with stopping.Ends(loop.deadline, patience) as ends:
            if best:
                _export_best(experiment, folder, console, facts, *best)
            return _evaluate(experiment, folder, console, final, facts, ends)


def _claim(config, typed, written, folder: Workdir, held) -> tuple[Experiment, list[str]]:
    """Builds the experiment, ties the folder to it, and describes it in the opening lines."""
    lines: list[str] = []
    with distributed.together() as shared:
        experiment = Experiment.of(typed, written)
        dataset, durations = experiment.training_data, experiment.durations
        shared |= run_metadata.identity(config, dataset)
        held.take()
        if distributed.is_first():
            folder.check(config)  # again: another process may have created the folder meanwhile
            continuation.check(folder, typed, durations)
            lines = continuation.describe_length(folder, typed)
            if changed := run_metadata.check_data(folder, dataset.fingerprint):
                lines.append(changed)
                cache.Store(folder.evaluations).remove()  # of the images as they were
    with distributed.together():
        if not checkpoint.Checkpoints(folder.checkpoints).steps():
            _ = experiment.start  # so that an error comes before the folder is claimed
        if distributed.is_first():
            folder.claim(config)
            folder.write_json(folder.data, dataset.fingerprint)
    notes = experiment.evaluation_data.notes
    opening = run_metadata.opening(
        typed, dataset, durations, experiment.initial, notes, experiment.overridden
    )
    unjudged = (f"note: {line}" for line in plan.not_judged(typed.evals, experiment.unreached))
    evaluations = [*experiment.judged.describe(), *unjudged, *plan.left_out(typed.evals)]
    return experiment, [*opening, *evaluations, *lines]


def load_data(config: settings.Config) -> tuple[data.Dataset, data.Dataset]:
    """The data that a config trains on, and the data that it evaluates and exports.

    The second has the centres of images of which crops are trained on, of size `data.eval_size`.
    Where seed patches are trained on it has the complete images, and the patches as its split
    "seeds".
    """
    block, crop = config.data, config.augment.crop
    images = data.add_notes(data.load_configured(block))
    if block.seeds is None:
        return images, data.load_evaluated(images, block, crop)
    context = block.context or 0
    if context and crop is None:
        raise contracts.UserError(
            f"data.context is {context} pixels around each patch and augment.crop is None, so that "
            "they would be trained on; set augment.crop to data.patch"
        )
    sizes = dict(seeds=block.seeds, patch=block.patch, context=context)
    patches = data.seeded(images, **sizes, seed=config.seed)
    evaluated = data.load_evaluated(images, block, None)
    splits = {**evaluated.splits, "seeds": patches.splits["train"]}
    return patches, evaluated._replace(splits=splits, notes=evaluated.notes + patches.notes)


def _finished(
    folder: Workdir, console: report.Console, recorder, config: settings.Config
) -> dict[str, Any]:
    """The results of a run that is finished; says so, and writes the report anew if it can."""
    results = report.read_results(folder.results)
    cache.Store(folder.evaluations).remove()  # left if the run was killed at its end
    outputs.log_damaged_rows(folder, console)
    try:
        report.write_html(folder.path)
        console.log(f"this run is finished; its report: {folder.report}")
    except OSError as error:  # such as read-only storage
        console.log(
            f"this run is finished; its report {folder.report} could not be written anew "
            f"({error.strerror})"
        )
    if recorder is not None:
        console.log("no profile: nothing is left to train; use --profile with another --workdir")
    outputs.track_finished(config, folder, console, results)
    console.results(results)
    return results


def _export_best(experiment: Experiment, folder: Workdir, console, facts, best, state) -> None:
    """Writes the encoder of the best checkpoint beside that of the last step."""
    facts["best"] = best._asdict()
    frozen = experiment.freeze(train_step.localise(state))
    _export(experiment, folder.best_encoder, frozen, {**facts, "steps": best.step})
    console.log(
        f"best checkpoint: step {best.step:,}, {best.metric} {best.value:.6g}; its encoder: "
        f"{folder.best_encoder}"
    )


def _export(experiment: Experiment, directory, frozen: contracts.Frozen, facts) -> None:
    evaluated, prepared = experiment.evaluation_data.facts, experiment.prepared
    run_metadata.export(directory, experiment.config, evaluated, prepared, frozen, facts)


def _evaluate(
    experiment: Experiment,
    folder: Workdir,
    console: report.Console,
    final: train_step.TrainState,
    facts: dict[str, Any],
    ends: stopping.Ends,
) -> dict[str, Any]:
    """Evaluates the trained representation beside its references; writes results and report."""
    config = experiment.config
    folder.check_exists()
    trained = experiment.freeze(final)
    untrained = experiment.freeze(experiment.initial)
    _export(experiment, folder.encoder, trained, facts)
    began = time.perf_counter()
    store, shared = cache.Store(folder.evaluations, facts["training"]), _shared(config)
    rows, figures, notes = experiment.judged.run(
        *(config.evals, trained, untrained, jax.random.key(config.seed)),
        *(console.log, store, ends.check, shared),
    )
    facts["notes"] += notes
    if shared.reused:
        reused = ", ".join(shared.reused)
        facts["notes"] += [f"{shared_results.REUSED}: {reused}."]
    over_training, notes = experiment.samples(folder).figures(experiment.durations.saved_steps())
    facts["notes"] += notes
    facts["eval_seconds"] = time.perf_counter() - began + store.seconds
    facts["peak_mib"] = memory_usage.peaks()
    about = published.set_beside(rows, config, experiment.overridden)
    written = folder, console, store, facts, rows, [*figures, *over_training]
    content = results_files.write(*written, *about)
    console.log(f"encoder: {folder.encoder} (dim_jax.load_encoder({str(folder.path)!r}))")
    return content


def _shared(config: settings.Config) -> shared_results.Results:
    """The results that runs share, with all that an untrained encoder follows from but weights."""
    home = user_cache.folder()
    blocks = dataclasses.asdict(config)
    described = {name: blocks[name] for name in ("method", "augment")}
    return shared_results.Results(home and home / "controls", described)


def freeze(
    method: contracts.Method, params, state, prepared: preprocessing.Preprocessing
) -> contracts.Frozen:
    """A method at fixed parameters, as evaluations see it."""

    # Parameters are arguments: as constants of the function they would be compiled in.
    @jax.jit
    def represent(params, state, images):
        return method.represent(params, state, prepared.normalise(images))

    def prepare(images, rng=None):
        return prepared.plain_views(images) if rng is None else prepared.training_views(rng, images)

    return contracts.Frozen(
        functools.partial(represent, params, state),
        method,
        params,
        state,
        normalise=prepared.normalise,
        prepare=prepare,
        varies=prepared.varies,
        crops=prepared.crops and (lambda images, rng: prepared.training_crops(rng, images)),
    )
