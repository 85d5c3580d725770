"""What the package uses of wandb, in memory: `runs` by id, each with its calls."""

import types

runs = {}
calls = []
error = None  # raised when a run is opened
has_login = True
mode = "online"


def setup():
    return types.SimpleNamespace(settings=types.SimpleNamespace(mode=mode))


def login(prompt=True):
    assert not prompt
    return has_login


class Settings:
    model_fields = ("finish_timeout",)

    def __init__(self, finish_timeout):
        assert finish_timeout > 0


class Config(dict):
    def update(self, values, allow_val_change):
        assert allow_val_change
        super().update(values)


class Run:
    starting_step = 0  # as offline, where it is not known

    def __init__(self, run_id):
        self.id, self.rows, self.config, self.summary = run_id, [], Config(), {}

    def log(self, values, step):
        self.rows.append((step, values))

    def finish(self, exit_code):
        calls.append(("finish", exit_code))


def init(project, name, id, resume, settings):
    if error:
        raise error
    calls.append(("init", project, name, id, resume))
    return runs.setdefault(id or "one", Run(id or "one"))
