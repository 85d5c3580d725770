"""A run of each tracker of experiments: Weights & Biases, MLflow and Trackio.

Each class opens a run, or continues the one with an id, see `Run`. The project is `dim_jax` unless
the environment variables of the tracker name another one. Packages are imported where a run is
opened. All raise whatever their packages raise.
"""

import inspect
import os
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from dim_jax import settings

PROJECT = "dim_jax"
_AT_ONCE = 100  # parameters of one request to MLflow, which takes no more
_MOST_LETTERS = 500  # of a parameter; older servers of MLflow take no more
_FINISH_SECONDS = 60  # of an upload by wandb, which else waits for a server without end

Values = Mapping[str, float]


class Run(Protocol):
    """An open run of a tracker.

    delay: seconds after which a row that is logged now is stored, and survives if the process is
    killed. last: the last step that the tracker says it has, -1 if it says none.
    """

    delay: ClassVar[float]
    id: str
    last: int

    def log(self, step: int, values: Values) -> None:
        """Logs metrics of a step."""

    def summarise(self, step: int, values: Values) -> None:
        """Logs values of the complete run, whose last step is given."""

    def finish(self, complete: bool) -> None:
        """Ends the run, which is continued later if it is not complete."""


class Wandb:
    """A run of Weights & Biases; `WANDB_MODE=offline` keeps it on this machine."""

    delay = 30.0  # measured: its process writes every 15 seconds, and the newest row with the next

    def __init__(self, name: str, run_id: str | None, config: Mapping[str, Any]):
        import wandb

        if not _has_login(wandb):
            raise ValueError("there is no login; run `wandb login`, or set WANDB_MODE=offline")
        self._run = wandb.init(
            project=_unless("WANDB_PROJECT", PROJECT),
            name=_unless("WANDB_NAME", name),
            id=run_id,
            resume="allow" if run_id else None,
            settings=_patient(wandb),
        )
        self._run.config.update(dict(config), allow_val_change=True)
        self.id, self.last = self._run.id, self._run.starting_step - 1

    def log(self, step: int, values: Values) -> None:
        self._run.log(dict(values), step=step)

    def summarise(self, step: int, values: Values) -> None:
        self._run.summary.update(dict(values))

    def finish(self, complete: bool) -> None:
        self._run.finish(exit_code=0 if complete else 1)


def _has_login(wandb: Any) -> bool:
    """Whether a key is known, if one is needed; a thread must not ask for it on the terminal."""
    is_online = wandb.setup().settings.mode == "online"
    can_ask = "prompt" in inspect.signature(wandb.login).parameters  # not in older versions
    return not (is_online and can_ask) or wandb.login(prompt=False)


def _patient(wandb: Any) -> Any:
    """Settings with a limit to the upload at the end, where this version has one."""
    if "WANDB_FINISH_TIMEOUT" in os.environ or not hasattr(wandb.Settings, "model_fields"):
        return None
    if "finish_timeout" not in wandb.Settings.model_fields:
        return None
    return wandb.Settings(finish_timeout=_FINISH_SECONDS)


class Mlflow:
    """A run of MLflow, in its default local store or at `MLFLOW_TRACKING_URI`."""

    delay, last = 0.0, -1

    def __init__(self, name: str, run_id: str | None, config: Mapping[str, Any]):
        import mlflow

        self._entities, self._client = mlflow.entities, mlflow.MlflowClient()
        run_id = run_id or os.environ.get("MLFLOW_RUN_ID")
        if run_id:
            self._client.update_run(run_id, status="RUNNING")
        else:
            run_id = self._client.create_run(self._experiment(), run_name=name).info.run_id
        self.id = run_id
        there = self._client.get_run(run_id).data.params
        params = [
            self._entities.Param(key, str(value)[:_MOST_LETTERS])
            for key, value in settings.flatten(config).items()
            if key not in there  # MLflow refuses to change a parameter
        ]
        for start in range(0, len(params), _AT_ONCE):
            self._client.log_batch(run_id, params=params[start : start + _AT_ONCE])

    def _experiment(self) -> str:
        """The id of the experiment, which is made where there is none."""
        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        there = self._client.get_experiment_by_name(name)
        return there.experiment_id if there else self._client.create_experiment(name)

    def log(self, step: int, values: Values) -> None:
        now = int(1000 * time.time())
        metrics = [
            self._entities.Metric(re.sub(r"[^\w\-. /]", "_", name), value, now, step)
            for name, value in values.items()
        ]
        self._client.log_batch(self.id, metrics=metrics)

    summarise = log  # MLflow shows the last value of a metric

    def finish(self, complete: bool) -> None:
        self._client.set_terminated(self.id, "FINISHED" if complete else "KILLED")


class Trackio:
    """A run of Trackio, in its local store or where its environment variables say."""

    delay = 2.0  # its thread writes every half second

    def __init__(self, name: str, run_id: str | None, config: Mapping[str, Any]):
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=name,
            config=settings.flatten(config),
            resume="must" if run_id else "never",
            embed=False,
        )
        self.id, self.last = self._run.id, getattr(self._run, "_next_step", 0) - 1
        if run_id not in (None, self.id):  # it continues the newest run of the name
            self._run.finish()
            raise ValueError(f"a newer run has the name {name!r}, so this one cannot be continued")

    def log(self, step: int, values: Values) -> None:
        self._run.log(dict(values), step=step)

    summarise = log  # Trackio has no summary

    def finish(self, complete: bool) -> None:
        del complete  # which Trackio does not store
        self._run.finish()


def _unless(variable: str, value: str) -> str | None:
    """None, so that the tracker reads it, if the environment variable is set; else the value."""
    return None if os.environ.get(variable) else value


OF_NAME = {"wandb": Wandb, "mlflow": Mlflow, "trackio": Trackio}
