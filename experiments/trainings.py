"""The trainings of experiments, each in its own process, and those that several tables share."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from dim_jax import commandline, settings
from dim_jax.processes import stop_signals
from dim_jax.rundir import provenance, workdir


def run(arguments: Sequence[str]) -> None:
    """Runs `python -m dim_jax.main` to its end.

    Signals that would end this process are left to the run, which saves its progress first.

    Raises: SystemExit: with the run's exit status, if that is not 0; the run has said why.
    """
    process = subprocess.Popen([sys.executable, "-m", "dim_jax.main", *arguments])
    handlers = {
        number: signal.signal(number, lambda number, frame: process.send_signal(number))
        for number in stop_signals.numbers()
    }
    try:
        status = process.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def reuse(command: Sequence[str], runs: pathlib.Path, folder: pathlib.Path) -> pathlib.Path | None:
    """Copies a finished training that differs from a command in its evaluations alone.

    The copy has no results, so that the command evaluates without training. Evaluations that both
    have are not repeated.

    Args:
      command: the program and its arguments.
      runs: the run folders are those below it, at any depth.
      folder: that of the command; nothing is copied if it exists.
    Returns: the folder of the training, None if there is none.
    """
    results = workdir.Workdir(".").results.name
    others = [workdir.Workdir(path.parent) for path in sorted(runs.rglob(results))]
    if folder.exists() or not others:
        return None
    wanted = commandline.parse(command).config
    for there in others:
        if not there.config.exists():
            continue
        differences = provenance.differences(json.loads(there.config.read_text()), wanted)
        if all(settings.scope(key) == "evaluation" for key in differences):
            _copy(there, folder)
            return there.path
    return None


def _copy(there: workdir.Workdir, folder: pathlib.Path) -> None:
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for path in (there.config, there.data, there.metrics):
        shutil.copy2(path, draft)
    for path in (there.checkpoints, there.tensorboard, there.evaluations):
        if path.exists():
            shutil.copytree(path, draft / path.name)
    draft.replace(folder)
