"""Finished evaluations on disk, so that an interrupted run does not repeat them."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.rundir import writing


class Finished(NamedTuple):
    """The results of one evaluation of one representation, and the seconds that it took.

    rows: those of results.json. figures: the fields of each `results.Figure`.
    """

    rows: list[dict[str, Any]]
    figures: list[dict[str, Any]]
    seconds: float


class Store:
    """`<evaluation>-<representation>.json` and `.png` files in a folder; none without a folder.

    Each is stored with what it depends on: the evaluation and its options, the representation's
    weights, the data and the random key. It is loaded only if all of that is the same.
    """

    def __init__(self, folder: Path | None = None, training: str = ""):
        """`training` is the digest of the run's config, on which all evaluations depend."""
        self._folder = folder
        self._training = training
        self.seconds = 0.0  # that the evaluations which were loaded took when they ran

    def find(self, name: str, depends: Mapping[str, Any]) -> Finished | None:
        """The evaluation as an earlier command finished it, None if it did not."""
        if self._folder is None:
            return None
        try:
            content = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            if content["depends"] != self._all(depends):
                return None
            for figure in content["figures"]:
                with Image.open(self._folder / f"{name}-{figure['file']}") as image:
                    figure["image"] = np.asarray(image)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self.seconds += content["seconds"]
        return Finished(content["rows"], content["figures"], content["seconds"])

    def keep(self, name: str, depends: Mapping[str, Any], finished: Finished) -> None:
        """Writes it down; the JSON file comes last and in one move, and counts."""
        if self._folder is None:
            return
        with writing.explain_failed_write(f"the evaluation {name}", self._folder):
            self._folder.mkdir(exist_ok=True)
            figures = []
            for figure in finished.figures:
                image = Image.fromarray(np.asarray(figure["image"]))
                image.save(self._folder / f"{name}-{figure['file']}")
                figures.append({key: value for key, value in figure.items() if key != "image"})
            content = {"depends": self._all(depends), **finished._asdict(), "figures": figures}
            path = self._folder / f"{name}.json"
            writing.replace_text(path, json.dumps(content, indent=1) + "\n")

    def remove(self) -> None:
        """Deletes what was kept, and its folder; files that `keep` did not write stay."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*.json"):
                remove_files(path)
            self._folder.rmdir()

    def _all(self, depends: Mapping[str, Any]) -> Any:
        return json.loads(json.dumps({"training": self._training, **depends}))


def remove_files(path: Path) -> None:
    """Removes the evaluation that a JSON file describes, unless it describes none."""
    for file in _files(path):
        file.unlink(missing_ok=True)


def _files(path: Path) -> list[Path]:
    """The files of the evaluation that a JSON file describes, itself last; [] of other files."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not content.keys() >= {"depends", *Finished._fields}:
            return []
        return [
            *(path.with_name(f"{path.stem}-{figure['file']}") for figure in content["figures"]),
            path,
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def depends(frozen: contracts.Frozen, data: dataset.Dataset, rng: jax.Array) -> dict[str, Any]:
    """All that the results of an evaluation of `frozen` follow from, besides the evaluation."""
    return {
        "weights": weights(frozen),
        "data": [data.facts.name, *(len(split.images) for split in data.splits.values())],
        "rng": np.asarray(jax.random.key_data(rng)).tolist(),
    }


def weights(frozen: contracts.Frozen) -> str | None:
    """The SHA-256 of a representation's parameters and state; None where there are none."""
    leaves = jax.tree.leaves((frozen.params, frozen.state))
    if not leaves:
        return None
    digest = hashlib.sha256()
    for leaf in jax.device_get(leaves):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
