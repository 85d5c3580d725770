"""The training loop: dispatch, log late, save, stop cleanly. The only trainer.

The device never waits for the host: metrics of one dispatch are read while the next one runs.
Dispatches end at multiples of `train.steps_per_dispatch` only, and checkpoints are saved there, so
a resumed run has the same dispatches as an uninterrupted one and gives the same bits.
"""

import contextlib
import difflib
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts, data, profiling, settings
from dim_jax.data import resident
from dim_jax.processes import backend, distributed, stop_signals
from dim_jax.rundir import checkpoint, tree_leaves
from dim_jax.training import (
    input_pipeline,
    method_contract,
    optimizers,
    preprocessing,
    signs,
    stopping,
    train_step,
)


class Plan(NamedTuple):
    """A config's durations, resolved to steps of the global batch."""

    batch_size: int
    epoch_steps: int
    total_steps: int
    dispatch_steps: int
    save_steps: int

    def saved_steps(self) -> list[int]:
        """The steps of the checkpoints of a run that is not interrupted."""
        return [*range(self.save_steps, self.total_steps, self.save_steps), self.total_steps]


_MOST_STEPS = 2**31 - 1  # which the step of a train state can count


def plan(train: settings.Train, examples: int, devices: int) -> Plan:
    """Durations in steps, from the config's `train` block and the number of training images."""
    train_step.check_divides(train.batch_size, devices)
    epoch_steps = resident.steps_per_epoch(examples, train.batch_size)
    total_steps = math.ceil(train.epochs * epoch_steps)
    if total_steps > _MOST_STEPS:
        raise contracts.UserError(
            f"train.epochs is {train.epochs:g}, which are more than {_MOST_STEPS:,} steps of "
            f"{train.batch_size} images; set it to {_MOST_STEPS // epoch_steps:,} or less"
        )
    dispatch_steps = max(1, min(train.steps_per_dispatch, total_steps))
    save_steps = max(1, round(train.save_epochs * epoch_steps / dispatch_steps))
    return Plan(
        train.batch_size, epoch_steps, total_steps, dispatch_steps, save_steps * dispatch_steps
    )


def initial_state(
    method: contracts.Method,
    config: settings.Config,
    split: data.Split,
    prepared: preprocessing.Preprocessing,
    durations: Plan,
) -> train_step.TrainState:
    """The train state at step 0, a function of the config alone.

    Args:
      split: the training images, of which the first batch gives the shapes.

    Raises:
      UserError: a player without an optimizer; a method built for a different number of images,
        or one without small crops, or without crops of patches, where there are some.
    """
    _check_examples(method, len(split.images))
    _check_crops(method, config.augment.small_crops)

    def players(params):
        specs = _player_specs(config.players, params)
        return optimizers.make(specs, durations.total_steps, durations.epoch_steps)

    images = jnp.asarray(split.images[: durations.batch_size])
    labels = np.array(split.labels[: durations.batch_size])
    if not data.is_streamed(split):  # of a stream all would be read from disk
        labels[0] = np.max(split.labels)  # so that too few classes are noticed
    batch = contracts.Batch(
        **_first_inputs(prepared, images),
        labels=jnp.asarray(labels),
        index=jnp.arange(durations.batch_size),
    )
    if patches := config.augment.patches:
        seen = images[:, : config.augment.crop, : config.augment.crop]  # None: the images
        method_contract.check_patches(method, patches, batch, prepared.normalise(seen))
    accumulate = config.train.accumulate
    initial = train_step.initial_state(method, players, config.seed, batch, accumulate)
    if name := config.train.keep_best:
        _check_metric(name, method, initial, batch)
    return initial


def _first_inputs(prepared: preprocessing.Preprocessing, images: jax.Array) -> dict[str, jax.Array]:
    # One program, because otherwise each small operation would be compiled separately.
    options = backend.options_of_one_run(images)
    inputs = jax.jit(prepared.inputs, compiler_options=options)
    return inputs(jax.random.key(0), images)


def _check_examples(method: contracts.Method, examples: int) -> None:
    if method.examples not in (None, examples):
        raise contracts.UserError(
            f"the method has a state for each of {method.examples:,} training images and the data "
            f"has {examples:,}; set its number of them (examples or classes) to {examples}"
        )


def _check_crops(method: contracts.Method, crops: int) -> None:
    if crops and not method.uses_crops:
        raise contracts.UserError(
            f"augment.small_crops is {crops} and this method does not use small crops; set it to 0 "
            "or choose a method with multi-crop"
        )


def _check_metric(
    name: str, method: contracts.Method, initial: train_step.TrainState, batch
) -> None:
    step = jax.eval_shape(method.loss, initial.params, initial.state, batch, jax.random.key(0), 0)
    of_features = signs.names(step.losses, step.features)
    metrics = [*(f"loss/{player}" for player in step.losses), *step.metrics, *of_features]
    if name not in metrics:
        raise contracts.unknown("metric in train.keep_best", name, metrics)


def _player_specs(specs: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizers of the players there are; a term with weight 0 has no player."""
    for player in specs.keys() - params.keys():
        if near := difflib.get_close_matches(player, params, n=1, cutoff=0.8):
            raise contracts.UserError(
                f"the method has no player '{player}' of the block players: did you mean "
                f"'{near[0]}'? There are {', '.join(sorted(params))}"
            )
    if missing := sorted(params.keys() - specs.keys()):
        raise contracts.UserError(
            f"the method trains the player '{missing[0]}' and the config has no "
            f"players.{missing[0]}; add its optimizer"
        )
    return {player: specs[player] for player in params}


@jax.jit
def _copy(tree):
    return jax.tree.map(jnp.copy, tree)


class Loop:
    """One run of the trainer over a run folder; `run()` returns the final train state."""

    def __init__(
        self,
        initial: train_step.TrainState,
        dispatch: Callable[..., Any],
        source: input_pipeline.Source,
        durations: Plan,
        checkpoints: checkpoint.Checkpoints,
        outputs: Any,
        mesh: jax.sharding.Mesh,
        max_minutes: float | None = None,
        recorder: profiling.Recorder | None = None,
        start: Callable[[], train_step.TrainState] | None = None,
        saved: Callable[[int, train_step.TrainState], None] | None = None,
    ):
        """Restores the newest checkpoint, if any, and brings the input to its step.

        Without a checkpoint it starts at the state that `start` returns, by default `initial`.
        `outputs` receives `begin(step, plan)`, which returns the last row of metrics up to that
        step or {}, `append(row)` and `log(line)`. `max_minutes` are counted from here; the dispatch
        under way and the saving come after them. `saved` is called with the step and the train
        state of each checkpoint once it is on disk, also with those of the one it starts from.
        """
        self.deadline = time.monotonic() + 60 * (max_minutes or math.inf)
        self._durations = durations
        self._dispatch = dispatch
        self._checkpoints = checkpoints
        self._outputs = outputs
        # Copies: the first dispatch donates the buffers, and `initial` is evaluated later.
        template = train_step.replicate(_copy(initial), mesh)
        restored = checkpoints.restore_latest(checkpointed(template), log=outputs.log)
        if restored is None and start is not None:
            template = train_step.replicate(_copy(start()), mesh)
        self.step, fields = restored or (0, {})
        self.train_state = template.replace(**fields)
        self._source = source
        self._source.start(self.step, checkpoints.notes(self.step))
        self._vote = distributed.Vote(mesh)
        self._recorder = recorder
        self._saved = saved or (lambda step, train_state: None)
        self._compiled = {}
        self._last_read = 0.0
        row = outputs.begin(self.step, durations)
        if row.get("step") != self.step:  # rows were lost
            row = checkpoints.metrics(self.step)
        self.train_seconds = row.get("time/seconds", 0.0)
        self.compile_seconds = row.get("time/compile_seconds", 0.0)

    @classmethod
    def of(
        cls,
        initial: train_step.TrainState,
        config: settings.Config,
        split: data.Split,
        prepared: preprocessing.Preprocessing,
        durations: Plan,
        checkpoints: checkpoint.Checkpoints,
        outputs: Any,
        devices: Sequence[jax.Device] | None = None,
        recorder: profiling.Recorder | None = None,
        start: Callable[[], train_step.TrainState] | None = None,
        saved: Callable[[int, train_step.TrainState], None] | None = None,
    ) -> "Loop":
        """The loop of a config over the given devices (all by default)."""
        mesh = train_step.mesh(devices)
        if data.is_streamed(split):
            dispatch = train_step.make_streamed_dispatch(prepared, config.seed, mesh)
        else:
            dispatch = train_step.make_dispatch(
                prepared, config.seed, durations.batch_size, len(split.images), mesh
            )
        source = input_pipeline.open_(
            *(split, config, mesh),
            batch_size=durations.batch_size,
            total_steps=durations.total_steps,
            dispatch_steps=durations.dispatch_steps,
        )
        return cls(
            *(initial, dispatch, source, durations, checkpoints, outputs, mesh),
            *(config.train.max_minutes, recorder, start, saved),
        )

    def run(self) -> train_step.TrainState:
        """Trains to the last step.

        Raises:
          Stopped: a signal came or the time is up; the state is saved.
          UserError: a loss, or a number to be saved, is not finite; the last good checkpoint stays.
        """
        late = None
        if self.step:
            self._saved(self.step, self.train_state)
        answered = stop_signals.answered("stopping when the steps under way are done")
        with stopping.Signals() as signals, answered, contextlib.closing(self._source):
            while self.step < self._durations.total_steps:
                ahead = self._launch()
                if late is not None:
                    self._read(*late)
                late = ahead
                last = self.step == self._durations.total_steps
                stop = self._stop(signals, last)
                if stop or last or self.step % self._durations.save_steps == 0:
                    row = self._read(*late)
                    late = None
                    self._save(row)
                if stop:
                    raise stop
        return self.train_state

    def best(self) -> tuple[Any, train_step.TrainState] | None:
        """The best checkpoint (`best_checkpoint.Best`) and its train state, None without one."""
        template = checkpointed(self.train_state)
        best = self._checkpoints.restore_best(template, log=self._outputs.log)
        return best and (best[0], self.train_state.replace(**best[1]))

    def _stop(self, signals: stopping.Signals, last: bool) -> stopping.Stopped | None:
        """The reason to stop after this dispatch, None to go on; the same in all processes."""
        code = 128 + signals.number if signals.number else 0
        if not code and time.monotonic() >= self.deadline:
            code = stopping.TIME_IS_UP
        code = self._vote(code)
        if not code or last:
            return None
        why = "by train.max_minutes " if code == stopping.TIME_IS_UP else ""
        return stopping.Stopped(f"{why}at step {self.step}, saved", code)

    def _launch(self) -> tuple[int, int, Any, float]:
        count = self._steps_at(self.step)
        began = time.perf_counter()
        arguments = self._source.arguments(count, following=self._steps_at(self.step + count))
        if count not in self._compiled:
            compiling = time.perf_counter()
            lowered = self._dispatch.lower(self.train_state, *arguments, count=count)
            self._compiled[count] = lowered.compile()
            distributed.wait_for_all()  # some backends wait seconds only for other processes
            seconds = time.perf_counter() - compiling
            self.compile_seconds += seconds
            began += seconds  # waiting for images counts as training, compiling does not
        program = self._compiled[count]
        if self._recorder is not None:
            program = functools.partial(self._recorder, program, steps=count)
        self.train_state, metrics = program(self.train_state, *arguments)
        self.step += count
        return self.step, count, metrics, began

    def _steps_at(self, step: int) -> int:
        """The steps of the dispatch that begins at a step, 0 at the end.

        After the end of a shorter training, only those to the next multiple.
        """
        dispatch = self._durations.dispatch_steps
        return min(dispatch - step % dispatch, self._durations.total_steps - step)

    def _read(self, step: int, count: int, metrics, began: float) -> dict[str, Any]:
        metrics = {name: np.asarray(values) for name, values in jax.device_get(metrics).items()}
        self._check_finite(step - count, metrics)
        now = time.perf_counter()
        seconds = now - max(began, self._last_read)
        self._last_read = now
        self.train_seconds += seconds
        row = {"step": step, "epoch": round(step / self._durations.epoch_steps, 6)}
        row |= {name: float(np.mean(values, dtype=np.float64)) for name, values in metrics.items()}
        row["time/images_per_second"] = count * self._durations.batch_size / seconds
        row["time/seconds"] = self.train_seconds
        row["time/compile_seconds"] = self.compile_seconds
        self._outputs.append(row)
        return row

    def _check_finite(self, before: int, metrics: Mapping[str, np.ndarray]) -> None:
        losses = {name: each for name, each in metrics.items() if name.startswith("loss/")}
        finite = np.logical_and.reduce([np.isfinite(each) for each in losses.values()])
        if np.all(finite):
            return
        # In the steps after the first one it has reached the other players.
        row = np.flatnonzero(~finite)[0]
        wrong = {name: each[row] for name, each in losses.items() if not np.isfinite(each[row])}
        players = " and ".join(f"'{name.removeprefix('loss/')}'" for name in wrong)
        values = " and ".join(dict.fromkeys(map(str, wrong.values())))
        fault = f"loss of the player {players} is {values}"
        if len(wrong) > 1:
            fault = f"losses of the players {players} are {values}"
        self._refuse(f"the {fault} at step {before + row + 1}")

    def _refuse(self, fault: str) -> None:
        good = self._checkpoints.steps()
        saved = f"the checkpoint of step {good[-1]} is kept" if good else "no checkpoint was saved"
        raise contracts.UserError(
            f"{fault}; {saved}; lower the learning rate or choose a bounded objective"
        )

    def _save(self, row: Mapping[str, Any]) -> None:
        fields, notes = checkpointed(self.train_state), self._source.position()
        # Not the optimizers' numbers, which are the most and follow from gradients.
        evaluated = {name: fields[name] for name in ("params", "state")}
        for name, leaf in tree_leaves.named_leaves(evaluated).items():
            if not np.isfinite(np.asarray(leaf)).all():
                self._refuse(f"{name} is not finite after step {self.step}")
        self._checkpoints.save(self.step, fields, metrics=row, notes=notes)
        self._saved(self.step, self.train_state)


def checkpointed(train_state: train_step.TrainState) -> dict[str, Any]:
    """The fields of a train state that a checkpoint holds, by name."""
    return {name: getattr(train_state, name) for name in ("step", "params", "opt_state", "state")}
