"""The run folder: where things are, and whether it belongs to this config."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from dim_jax import contracts, settings
from dim_jax.rundir import writing

# Arguments of methods that folders of older versions lack, and the behaviour of those versions.
_LATER_ARGUMENTS = {"method.encoder.norm": "batch", "method.method.encoder.norm": "batch"}


class Workdir:
    """Paths of one run; `claim` ties it to a config."""

    def __init__(self, path: str):
        self.path = pathlib.Path(path).expanduser()
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.encoder = self.path / "encoder"
        self.best_encoder = self.path / "encoder_best"
        self.evaluations = self.path / "evaluations"
        self.lock = self.path / "lock"
        self.figures = self.path / "figures"
        self.results = self.path / "results.json"
        self.report = self.path / "report.html"
        self.profile = self.path / "profile"

    def check(self, config: Mapping[str, Any]) -> None:
        """Raises UserError if the folder holds a run of another config, or something else.

        Settings of the evaluation may change until there are results, so that a mistake in `evals`
        that shows late does not cost the training.
        """
        if self.path.exists() and not self.path.is_dir():
            raise contracts.UserError(f"the workdir {self.path} is a file; use another --workdir")
        if not self.config.exists():
            return
        try:
            there = json.loads(self.config.read_text())
        except ValueError as error:
            raise contracts.UserError(
                f"{self.config} is not readable JSON; use another --workdir or delete this one"
            ) from error
        differences = _differences(there, _plain(config))
        training = [text for key, text in differences.items() if settings.scope(key) == "training"]
        if not training and not (differences and self.results.exists()):
            return
        difference = next(iter(training or differences.values()))
        advice = "use another --workdir, or the config that it was created with"
        if not training:
            advice += ", or remove its results.json to evaluate the same training anew"
        raise contracts.UserError(
            f"the workdir {self.path} belongs to another config: {difference}; {advice}"
        )

    def claim(self, config: Mapping[str, Any]) -> None:
        """Creates the folder and writes the resolved config."""
        with writing.explain_full_disk("the run folder", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(self.config, _plain(config))

    def write_json(self, path: pathlib.Path, content: Any) -> None:
        """Replaces a JSON file in one move, so that no reader sees half of it."""
        with writing.explain_full_disk(path.name, path):
            writing.replace_text(path, json.dumps(content, indent=2) + "\n")


def _plain(config: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(config))


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, str]:
    """The keys whose values differ, but for those of the machine: each difference in words."""
    there, here = (settings.flatten(_plain(settings.with_defaults(one))) for one in (there, here))
    there = {**{key: value for key, value in _LATER_ARGUMENTS.items() if key in here}, **there}
    unset = "not set"
    return {
        key: f"{key} is {there.get(key, unset)} there and {here.get(key, unset)} here"
        for key in [*here, *(key for key in there if key not in here)]
        if settings.scope(key) != "machine" and there.get(key) != here.get(key)
    }
