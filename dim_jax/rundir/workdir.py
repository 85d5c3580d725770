"""The run folder: where things are, and whether it belongs to this config."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from dim_jax import contracts
from dim_jax.rundir import writing

# What is no part of an experiment: where the data lies and how it is read (a run may continue on
# another machine, or on the other road), how long a command may take, and which checkpoints stay.
_FREE = (
    *("data.data_dir", "data.road", "data.worker_threads", "data.worker_processes"),
    *("train.max_minutes", "train.keep", "train.keep_best"),
)
# What is no part of the training, and so may change until the results are there.
_OF_EVALUATION = ("evals", "published", "published_source")
# Keys that folders of older versions lack, and what those did.
_LATER = {
    **{"deterministic": False, "compute_dtype": "float32"},
    **dict.fromkeys(("train.microbatches", "train.norm_groups", "train.accumulate"), 1),
    **{"method.encoder.norm": "batch", "method.method.encoder.norm": "batch"},
    **{"augment.views": 1, "augment.flip_shared": True, "augment.aspect": [3 / 4, 4 / 3]},
    **dict.fromkeys(("augment.resized_crop", "augment.jitter", "augment.randaugment"), None),
    **dict.fromkeys(("augment.translate_rate", "augment.jitter_rate"), 1.0),
    **dict.fromkeys(("augment.translate", "augment.grey", "augment.blur", "augment.solarise"), 0),
    **dict.fromkeys(("augment.affine", "augment.pca", "augment.hsv"), None),
    "augment.hue": 0,
    **dict.fromkeys(("data.shortcut", "data.seeds", "data.patch", "data.context"), None),
}


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

        What is evaluated may be another until there are results: a mistake in `evals` that shows
        late is corrected, and the training is kept.
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
        differences = _differences(_flatten(there), _flatten(_plain(config)))
        training = [text for key, text in differences.items() if not _is_of_evaluation(key)]
        if not training and not (differences and self.results.exists()):
            return
        difference = next(iter(training or differences.values()))
        advice = "use another --workdir, or the config it was made with"
        if not training:
            advice += ", or remove its results.json to evaluate the same training anew"
        raise contracts.UserError(
            f"the workdir {self.path} belongs to another config: {difference}; {advice}"
        )

    def claim(self, config: Mapping[str, Any]) -> None:
        """Creates the folder and writes the resolved config."""
        with writing.writing("the run folder", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(self.config, _plain(config))

    def write_json(self, path: pathlib.Path, content: Any) -> None:
        """Replaces a JSON file in one move, so that no reader sees half of it."""
        draft = path.with_name(path.name + ".new")
        with writing.writing(path.name, path, clean_up=lambda: draft.unlink(missing_ok=True)):
            draft.write_text(json.dumps(content, indent=2) + "\n")
            draft.replace(path)


def _plain(config: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(config))


def _flatten(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {path: tree}
    flat = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{path}.{key}" if path else key)
    return flat


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, str]:
    """The keys of an experiment that are not equal: each difference in words."""
    there = {**{key: value for key, value in _LATER.items() if key in here}, **there}
    unset = "not set"
    return {
        key: f"{key} is {there.get(key, unset)} there and {here.get(key, unset)} here"
        for key in [*here, *(key for key in there if key not in here)]
        if key not in _FREE and there.get(key) != here.get(key)
    }


def _is_of_evaluation(key: str) -> bool:
    return key.partition(".")[0] in _OF_EVALUATION
