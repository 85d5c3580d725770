"""The writer of metrics to a tracker of experiments: `wandb`, `mlflow` or `trackio`.

Trackers need a network or a login, and may block: a thread of its own speaks to them, so that a run
never waits for one in training, and goes on without it if it fails.
"""

import collections
import contextlib
import importlib.util
import json
import numbers
import pathlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dim_jax import contracts
from dim_jax.report import tracker_runs, writers
from dim_jax.rundir import writing

_PATIENCE_SECONDS = {True: 90.0, False: 20.0}  # at the end of a complete run, and of a stopped one


def check_tracker(tracker: str | None) -> None:
    """Raises contracts.UserError if the package of a tracker (`wandb`, ...) is not installed."""
    spec = importlib.util.find_spec(tracker) if tracker else None
    # A folder that the tracker left in the current one is a namespace, which has no origin.
    if tracker and (spec is None or spec.origin is None):
        raise contracts.UserError(
            f"track is {tracker!r} and the package {tracker} is not installed; "
            f"pip install {tracker}, or set it to None"
        )


class TrackerWriter:
    """Logs rows of metrics, and the results of a run, to a tracker.

    The id of the tracker's run and the last step that it has stored are kept in a file of the run
    folder: a resumed run continues the tracker's run, and logs again what it may lack. Without a
    tracker every call does nothing.
    """

    def __init__(
        self,
        tracker: str | None,
        record: pathlib.Path,
        config: Mapping[str, Any],
        log: Callable[[str], Any],
        *,
        enabled: bool = True,
    ):
        """`record` is the file, whose folder names the run; `log` receives a line on a failure."""
        self._tracker = tracker if enabled else None
        self._path, self._config, self._log = record, config, log
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._complete = False
        self._step = -1  # of the last row that was logged
        self._stored = -1  # of the last row that is stored, whatever happens to this process
        self._logged: collections.deque[tuple[float, int]] = collections.deque()  # times and steps

    def begin(self, rows: Iterable[writers.Row]) -> None:
        """Opens the run, and logs those of the earlier rows that the tracker does not have."""
        if self._tracker is None:
            return
        self._thread = threading.Thread(target=self._work, name=self._tracker, daemon=True)
        self._thread.start()
        for row in rows:
            self.append(row)

    def append(self, row: writers.Row) -> None:
        """Logs the finite numbers of a row at its step, soon."""
        values = _numbers({name: value for name, value in row.items() if name != "step"})
        self._do(lambda run: self._log_once(run, row["step"], values))

    def summarise(self, results: Mapping[str, Any]) -> None:
        """Logs the values of the rows of results.json: the run is complete."""
        values = {_key(row): row["value"] for row in results["rows"]}
        self._complete = True
        self._do(lambda run: run.summarise(results["run"]["steps"], _numbers(values)))

    def is_complete(self) -> bool:
        """Whether the tracker has all of the run, so that nothing is left to log."""
        with contextlib.suppress(OSError, ValueError):
            return self._tracker is None or bool(self._read().get("complete"))
        return False

    def close(self) -> None:
        """Waits until all is logged, within limits, and ends the tracker's run."""
        if self._thread is None:
            return
        self._jobs.put(None)
        self._thread.join(_PATIENCE_SECONDS[self._complete])
        if self._thread.is_alive():
            self._log(f"{self._tracker} does not answer; the run ends without waiting for it")
        self._thread = None

    def _do(self, job: Callable[[tracker_runs.Run], Any]) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._jobs.put(job)

    def _work(self) -> None:
        """The work of the thread: opens the run, does all jobs, ends the run."""
        try:
            there = self._read()
            open_ = tracker_runs.OF_NAME[self._tracker]
            run = open_(self._path.parent.resolve().name, there.get("id"), self._config)
            self._step = self._stored = max(there.get("step", -1), run.last)
            self._write(run)
            self._log(f"tracker: {self._tracker}, run {run.id}")
            while (job := self._jobs.get()) is not None:
                job(run)
            run.finish(self._complete)
            self._stored = self._step
            self._write(run, complete=self._complete)
        except Exception as error:  # of any kind: they are those of other packages
            text = " ".join(str(error).split()) or type(error).__name__
            self._log(f"{self._tracker} failed, and the run goes on without it: {text}")

    def _log_once(self, run: tracker_runs.Run, step: int, values: Mapping[str, float]) -> None:
        if step <= self._step:
            return
        run.log(step, values)
        self._step = step
        self._logged.append((time.monotonic(), step))
        while self._logged and self._logged[0][0] + run.delay <= time.monotonic():
            self._stored = self._logged.popleft()[1]
        self._write(run)

    def _read(self) -> dict[str, Any]:
        """The record of the tracker in the file, {} without one."""
        return self._records().get(self._tracker, {})

    def _records(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        with contextlib.suppress(ValueError):
            records = json.loads(self._path.read_text(encoding="utf-8"))
            if isinstance(records, dict) and all(map(_is_record, records.values())):
                return records
        raise ValueError(f"{self._path} is damaged; remove it to begin a new run of the tracker")

    def _write(self, run: tracker_runs.Run, complete: bool = False) -> None:
        record = {"id": run.id, "step": self._stored, "complete": complete}
        content = self._records() | {self._tracker: record}
        writing.replace_text(self._path, json.dumps(content, indent=1) + "\n")


def _is_record(entry: Any) -> bool:
    is_whole = isinstance(entry, dict) and entry.keys() >= {"id", "step", "complete"}
    return is_whole and isinstance(entry["id"], str) and isinstance(entry["step"], int)


def _key(row: Mapping[str, Any]) -> str:
    """Such as "eval/mlp/y/trained", with the metric before the last part if it is no accuracy."""
    metric = "" if row["metric"] == "accuracy" else row["metric"]
    parts = ("eval", row["eval"], row["tap"], metric, row["representation"])
    return "/".join(filter(None, parts))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers among the values."""
    plain = {name: writers.as_plain(value) for name, value in values.items()}
    return {name: value for name, value in plain.items() if isinstance(value, numbers.Real)}
