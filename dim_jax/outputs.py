"""The rows, lines and figures of a run: metrics.jsonl, TensorBoard, a tracker, console, files."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from dim_jax import contracts, report, settings
from dim_jax.processes import distributed
from dim_jax.rundir import provenance, writing
from dim_jax.rundir.workdir import Workdir
from dim_jax.training import trainer


class Outputs:
    """The writers of one training run, see `trainer.Loop`; only the first process writes."""

    def __init__(
        self, folder: Workdir, console: report.Console, tracker: report.TrackerWriter | None = None
    ):
        """`tracker` is begun here, and closed by the caller after the evaluation."""
        self._folder = folder
        self._tracker = tracker
        self._console = console
        self._watch = report.Watch()
        self._enabled = distributed.is_first()
        self._exit = contextlib.ExitStack()
        self._jsonl = report.JsonlWriter(folder.metrics, enabled=self._enabled)
        self._exit.callback(self._jsonl.close)
        self.log = console.log

    def begin(self, step: int, plan: trainer.Plan) -> Mapping[str, Any]:
        """Drops rows after `step`, opens the writers, returns the last row that remains."""
        with writing.explain_failed_write("the metrics", self._folder.metrics):
            log_damaged_rows(self._folder, self._console)
            self._jsonl.truncate_after(step)
        with writing.explain_failed_write("the TensorBoard events", self._folder.tensorboard):
            self._tensorboard = report.TensorBoardWriter(
                self._folder.tensorboard, enabled=self._enabled, resume_step=step
            )
        self._exit.callback(self._tensorboard.close)
        self._progress = self._exit.enter_context(self._console.progress(plan.total_steps, step))
        rows = report.read_rows(self._folder.metrics)
        if self._tracker is not None:
            self._tracker.begin(rows)
        last = [{}, *rows][-1]
        return {name: value for name, value in last.items() if isinstance(value, int | float)}

    def append(self, row: Mapping[str, Any]) -> None:
        """Writes one row of metrics everywhere."""
        if self._enabled:
            self._folder.check_exists()
        with writing.explain_failed_write(
            "the metrics", self._folder.metrics, advice=writing.SAVED
        ):
            self._jsonl.append(row)
        with writing.explain_failed_write(
            "the TensorBoard events", self._folder.tensorboard, advice=writing.SAVED
        ):
            self._tensorboard.append(row)
        if self._tracker is not None:
            self._tracker.append(row)
        self._progress.update(row["step"], row)
        for sentence in self._watch.update(row):
            self.log(f"warning: {sentence}")

    def close(self) -> None:
        """Ends the progress bar and closes the files."""
        self._exit.close()


def tracker(
    config: settings.Config, folder: Workdir, console: report.Console
) -> report.TrackerWriter:
    """The writer of a run's tracker, which does nothing without one or in another process."""
    return report.TrackerWriter(
        config.track,
        folder.tracker,
        provenance.plain(dataclasses.asdict(config)),
        console.log,
        enabled=distributed.is_first(),
    )


def track_finished(
    config: settings.Config, folder: Workdir, console: report.Console, results: Mapping[str, Any]
) -> None:
    """Logs what the tracker lacks of a finished run."""
    with contextlib.closing(tracker(config, folder, console)) as writer:
        if not writer.is_complete():
            writer.begin(report.read_rows(folder.metrics))
            writer.summarise(results)


def log_damaged_rows(folder: Workdir, console: report.Console) -> None:
    """Names the lines of metrics.jsonl that hold no row, if there are any."""
    if damaged := report.damaged_lines(folder.metrics):
        lines = contracts.abridged(map(str, damaged), 5)
        console.log(f"{folder.metrics} has damaged lines, which are left out: line {lines}")
