"""Runs of the trainer in the process of the test, without the command line."""

import json

import jax
import numpy as np

from dim_jax import build, data, settings
from dim_jax.rundir import checkpoint
from dim_jax.training import preprocessing, trainer


class Outputs:
    """Keeps the rows in memory; a run begins again after the last one that was saved."""

    def __init__(self):
        self.rows, self.lines, self.saves = [], [], []

    def begin(self, step, plan):
        self.rows = [row for row in self.rows if row["step"] <= step]
        return self.rows[-1] if self.rows else {}

    def append(self, row):
        self.rows.append(row)

    def log(self, line):
        self.lines.append(line)

    def saved(self, step, train_state):
        assert step == train_state.step
        self.saves.append(step)


def start(config, dataset, checkpoints, outputs, devices: int = 1, initial=None, method=None):
    """(initial state, loop) of a config as plain dicts, built where not given."""
    typed, split = settings.Config.of(config), dataset.splits["train"]
    prepared = preprocessing.Preprocessing.of(typed, dataset.facts)
    durations = trainer.plan(typed.train, len(split.images), devices)
    if initial is None:
        method = method or build.make("method", typed.method)
        initial = trainer.initial_state(method, typed, split, prepared, durations)
    loop = trainer.Loop.of(
        *(initial, typed, split, prepared, durations),
        *(checkpoints, outputs, jax.devices()[:devices]),
        saved=outputs.saved,
    )
    return initial, loop


def block(**changes) -> settings.Train:
    """A `train` block."""
    return settings.Train(
        **dict(batch_size=64, epochs=1.0, steps_per_dispatch=1, save_epochs=1.0) | changes
    )


class Trainer:
    """Runs configs; what a config compiles is compiled once."""

    def __init__(self):
        self._states, self._programs = {}, {}

    def __call__(
        self, config, dataset, folder, outputs=None, devices=1, anew=False, **changes
    ) -> tuple:
        """(final state, outputs) of a run.

        Args:
          anew: compile again, as a new process does.
          changes: top-level keys of the config that are replaced.
        """
        config = {**config, **changes}
        split = dataset.splits["train"]
        limits = dict(max_minutes=None)
        facts = (dataset.facts.shape, len(split.images), data.is_streamed(split))
        key = (json.dumps({**config, "train": {**config["train"], **limits}}), facts)
        initial = None if anew else self._states.get(key)
        checkpoints, outputs = checkpoint.Checkpoints(folder, keep=2), outputs or Outputs()
        initial, loop = start(config, dataset, checkpoints, outputs, devices, initial)
        if not anew:
            self._states[key] = initial
            loop._compiled = self._programs.setdefault((*key, devices), {})
        return loop.run(), outputs


def same(one, other) -> None:
    """Asserts that two train states are equal to the bit."""
    jax.tree.map(
        np.testing.assert_array_equal, trainer.checkpointed(one), trainer.checkpointed(other)
    )


def untimed(outputs) -> list[dict]:
    """The rows of metrics without their times."""
    return [{key: row[key] for key in row if not key.startswith("time/")} for row in outputs.rows]
