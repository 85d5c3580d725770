"""Runs of the trainer in the process of the test, without the command line."""

import json

import jax
import numpy as np

from dim_jax import build, data
from dim_jax.rundir import checkpoint
from dim_jax.training import trainer


class Outputs:
    """Keeps the rows in memory; a run begins again after the last one that was saved."""

    def __init__(self):
        self.rows, self.lines = [], []

    def begin(self, step, plan):
        self.rows = [row for row in self.rows if row["step"] <= step]
        return self.rows[-1] if self.rows else {}

    def append(self, row):
        self.rows.append(row)

    def log(self, line):
        self.lines.append(line)


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
        durations = trainer.plan(config["train"], len(split.images), devices)
        initial = None if anew else self._states.get(key)
        if initial is None:
            method = build.make("method", config["method"])
            initial = trainer.initial_state(method, config, dataset, durations)
        outputs = outputs or Outputs()
        checkpoints = checkpoint.Checkpoints(folder, keep=2)
        loop = trainer.Loop.of(
            initial, config, dataset, durations, checkpoints, outputs, jax.devices()[:devices]
        )
        if not anew:
            self._states[key] = initial
            loop._compiled = self._programs.setdefault((*key, devices), {})
        return loop.run(), outputs


def same(one, other) -> None:
    """Asserts that two train states are equal to the bit."""
    jax.tree.map(np.testing.assert_array_equal, trainer._kept(one), trainer._kept(other))


def untimed(outputs) -> list[dict]:
    """The rows of metrics without their times."""
    return [{key: row[key] for key in row if not key.startswith("time/")} for row in outputs.rows]
