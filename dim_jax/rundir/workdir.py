"""The run folder: where things are, and whether it belongs to this config."""

import collections
import contextlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from dim_jax import contracts, settings
from dim_jax.rundir import exported_encoder, lock, paths, provenance, writing

_NOT_OF_USERS = "lost+found"  # at the root of a file system; file managers' files are hidden


class Workdir:
    """Paths of one run; `claim` ties it to a config."""

    def __init__(self, path: str | os.PathLike):
        if not os.fspath(path):
            raise contracts.UserError("--workdir is empty; name a folder, or omit it for runs/NAME")
        self.path = paths.expand(path, "--workdir")
        self.config = self.path / "config.json"
        self.data = self.path / "data.json"
        self.metrics = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.encoder = self.path / "encoder"
        self.best_encoder = self.path / "encoder_best"
        self.evaluations = self.path / "evaluations"
        self.lock = self.path / "lock"
        self.tracker = self.path / "tracker.json"
        self.figures = self.path / "figures"
        self.samples = self.path / "samples"
        self.results = self.path / "results.json"
        self.report = self.path / "report.html"
        self.profile = self.path / "profile"

    def check(self, config: Mapping[str, Any]) -> None:
        """Raises UserError if the folder holds a run of another config, or something else.

        A folder without the config of a run has to be empty: nothing is replaced that no run wrote.
        Settings of the evaluation may change until there are results, so that a mistake in `evals`
        that shows late does not cost the training. The length of the training may change.
        """
        with writing.explain_failed_write("the run folder", self.path):
            self._check_kinds()
            if not self.config.exists():
                self.check_is_new(f"{self.config.name} of a run")
                return
            there = self._read_config()
        differences = provenance.differences(there, config)
        by_scope = collections.defaultdict(list)
        for key, text in differences.items():
            by_scope[settings.scope(key)].append(text)
        training, evaluation = by_scope["training"], by_scope["evaluation"]
        # A longer training gets other results.
        is_judged = self.results.exists() and not by_scope["length"]
        if not training and not (evaluation and is_judged):
            self._check_parts(config)
            return
        difference = (training or evaluation)[0]
        advice = "use another --workdir, or the config that it was created with"
        if not training:
            advice += ", or remove its results.json to evaluate the same training anew"
        raise contracts.UserError(
            f"the workdir {self.path} belongs to another config: {difference}; {advice}"
        )

    def _check_parts(self, config: Mapping[str, Any]) -> None:
        encoders = (self.encoder, self.best_encoder)
        cards = {folder / exported_encoder.CARD: ("training",) for folder in encoders}
        part = provenance.foreign({self.results: ("run", "training"), **cards}, config)
        if part is not None:
            raise contracts.UserError(
                f"{part} is of another training than {self.config}; move it out of this folder, or "
                "use another --workdir"
            )

    def claim(self, config: Mapping[str, Any]) -> None:
        """Creates the folder and writes the resolved config."""
        with writing.explain_failed_write("the run folder", self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(self.config, provenance.plain(config))

    def check_exists(self) -> None:
        """Raises UserError if the folder was deleted or moved since `claim`."""
        if not self.config.exists():
            raise contracts.UserError(
                f"the run folder {self.path} is gone: it was deleted or moved while the run wrote "
                "to it; put it back to continue, and run the same command again"
            )

    def write_json(self, path: pathlib.Path, content: Any) -> None:
        """Replaces a JSON file in one move, so that no reader sees half of it."""
        with writing.explain_failed_write(path.name, path):
            writing.replace_text(path, json.dumps(content, indent=2) + "\n")

    def _check_kinds(self) -> None:
        folders = (self.path, self.tensorboard, self.checkpoints, self.encoder, self.best_encoder)
        files = (self.config, self.data, self.metrics, self.results, self.report)
        files = (*files, self.lock, self.tracker)
        for path in (*folders, self.evaluations, self.figures, self.samples, self.profile, *files):
            kind, is_right = (
                ("file", path.is_file()) if path in files else ("folder", path.is_dir())
            )
            if os.path.lexists(path) and not is_right:
                raise contracts.UserError(
                    f"the workdir {self.path} cannot be used: {path} is no {kind}; move it away or "
                    "use another --workdir"
                )

    def check_is_new(self, missing: str) -> None:
        """Raises UserError if the folder cannot be made, or holds something without what it needs.

        Args:
          missing: the file by which the command knows its folders, such as "config.json of a run".
        """
        parents = self.path.absolute().parents
        existing = next(path for path in (self.path, *parents) if os.path.lexists(path))
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise contracts.UserError(
                f"the workdir {self.path} cannot be made: {existing} is no folder that may be "
                "written to; use another --workdir"
            )
        entries = self.path.iterdir() if self.path.exists() else ()
        names = sorted(path.name for path in entries if not self._is_harmless(path))
        if names:
            raise contracts.UserError(
                f"the workdir {self.path} holds {contracts.abridged(names, 3)} and no "
                f"{missing}; use a new or empty --workdir, or put this file back"
            )

    def _is_harmless(self, path: pathlib.Path) -> bool:
        """Hidden files, a log of this command, and what a run killed at its start leaves."""
        name = path.name
        if name.startswith(".") or name == _NOT_OF_USERS:
            return True
        if path == self.lock:
            return lock.is_lock(path)
        with contextlib.suppress(OSError):
            return any(os.path.samestat(path.stat(), os.fstat(output)) for output in (1, 2))
        return False

    def _read_config(self) -> Mapping[str, Any]:
        try:
            there = json.loads(self.config.read_text())
        except ValueError:
            there = None
        if not isinstance(there, dict) or not isinstance(there.get("train"), dict):
            raise contracts.UserError(
                f"{self.config} is not the config of a run, or damaged; use another --workdir"
            )
        return there
