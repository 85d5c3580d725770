"""Results of control representations in the user's cache folder, which runs share."""

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import cache
from dim_jax.evaluate.evaluation import Evaluation

REUSED = "Results of earlier runs with equal data, weights and code"
_MOST = 1000  # evaluations in the folder; the oldest are removed
_PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "scikit-learn", "optax", "flax")


class Results:
    """Finished evaluations under a name that is the digest of all that they follow from.

    That is the content of the data, the representation, the evaluation with its options and the
    settings of its protocol, the random key, the source code of this package, the versions of
    others, and the kind of device. A folder that cannot be read or written is no error: results
    are then computed, and not kept. None: neither read nor written.

    reused: a line for each evaluation that was reused.
    """

    def __init__(self, folder: Path | None = None, described: Mapping[str, Any] | None = None):
        """`described`: of the run's config, all that its untrained encoder follows from."""
        self._folder = folder
        self._described = described or {}
        self.reused: list[str] = []

    def depends(
        self, frozen: contracts.Frozen, data: dataset.Dataset, shapes: Mapping[str, tuple]
    ) -> dict[str, Any] | None:
        """All that evaluations of `frozen` follow from; None if they are not to be shared.

        Those of streamed images are not, nor are those of a network that another package defines,
        whose source code is not part of the digest.
        """
        streamed = any(dataset.is_streamed(split) for split in data.splits.values())
        foreign = frozen.method is not None and _has_foreign_parts(self._described)
        if self._folder is None or streamed or foreign:
            return None
        return {
            "code": _code(),
            "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
            "device": [jax.default_backend(), jax.devices()[0].device_kind],
            "numbers": [jax.config.jax_enable_x64, str(jax.config.jax_default_matmul_precision)],
            "data": [data.facts, {name: _digest(split) for name, split in data.splits.items()}],
            "weights": cache.weights(frozen),
            "network": None if frozen.method is None else self._described,
            "shapes": shapes,
        }

    def find(self, depends: Mapping[str, Any]) -> cache.Finished | None:
        """The evaluation as an earlier run finished it, None if none did."""
        name = _name(depends)
        store = cache.Store(self._folder)
        finished = store.find(name, depends)
        if finished is not None:
            path = self._folder / f"{name}.json"
            with contextlib.suppress(OSError):
                day = datetime.date.fromtimestamp(path.stat().st_mtime)
                self.reused.append(f"{depends['entry'][0]} of {depends['representation']} ({day})")
        return finished

    def keep(self, depends: Mapping[str, Any], finished: cache.Finished) -> None:
        """Writes it down if it can, for later runs."""
        with contextlib.suppress(OSError, contracts.UserError):
            self._folder.mkdir(parents=True, exist_ok=True)
            cache.Store(self._folder).keep(_name(depends), depends, finished)
            every = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in every[:-_MOST]:
                cache.remove_files(path)


def entry(
    key: str,
    name: str,
    evaluation: Evaluation,
    options: Mapping[str, Any],
    taps: tuple[str, ...],
    data: Mapping[str, Any] | None = None,
) -> list[Any]:
    """All that the results of an evaluation follow from besides the representation.

    `data`: of `plan.Entry`, which the rows name.
    """
    settings = None
    if evaluation.protocols is not None:
        protocol = options.get("protocol", evaluation.defaults["protocol"])
        settings = repr(evaluation.protocols.find(protocol))
    return [key, name, dict(options), taps, settings, data]


def _name(depends: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:40]


@functools.cache
def _code() -> str:
    """The digest of the source code of this package."""
    root, digest = Path(__file__).parent.parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(os.fspath(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def _digest(split: dataset.Split) -> str:
    digest = hashlib.sha256()
    for array in (split.images, split.labels, split.attributes, split.told, split.uncut):
        if array is not None:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _has_foreign_parts(tree: Any) -> bool:
    """Whether a part of the config is named by the path of another package's function."""
    if isinstance(tree, Mapping):
        return "." in str(tree.get("name", "")) or any(map(_has_foreign_parts, tree.values()))
    return isinstance(tree, list | tuple) and any(map(_has_foreign_parts, tree))
