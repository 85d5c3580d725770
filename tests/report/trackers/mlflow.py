"""What the package uses of mlflow, in memory: `runs` by id, each with its calls."""

import re
import types
from collections import namedtuple

runs = {}
calls = []
experiments = {}
entities = types.SimpleNamespace(
    Param=namedtuple("Param", "key value"),
    Metric=namedtuple("Metric", "key value timestamp step"),
)


class Run:
    def __init__(self):
        self.params, self.rows, self.status = {}, [], "RUNNING"


class MlflowClient:
    def get_experiment_by_name(self, name):
        there = experiments.get(name)
        return there and types.SimpleNamespace(experiment_id=there)

    def create_experiment(self, name):
        experiments[name] = f"of {name}"
        return experiments[name]

    def create_run(self, experiment, run_name):
        calls.append(("init", experiment, run_name))
        runs["one"] = Run()
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="one"))

    def get_run(self, run_id):
        params = runs[run_id].params
        return types.SimpleNamespace(data=types.SimpleNamespace(params=params))

    def update_run(self, run_id, status):
        calls.append(("init", run_id))
        runs[run_id].status = status

    def log_batch(self, run_id, metrics=(), params=()):
        run = runs[run_id]
        assert len(params) <= 100
        for key, value in params:
            assert key not in run.params and isinstance(value, str)
            run.params[key] = value
        for key, *_ in metrics:
            assert re.fullmatch(r"[\w\-. /]+", key)
        if metrics:
            values = {key: value for key, value, *_ in metrics}
            run.rows.append((metrics[0].step, values))

    def set_terminated(self, run_id, status):
        runs[run_id].status = status
        calls.append(("finish", status))
