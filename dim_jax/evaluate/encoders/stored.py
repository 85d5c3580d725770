"""Features in memory as a representation: those of every split, computed before by any program."""

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features

Shapes = Mapping[str, tuple[int, ...]]


class Stored:
    """In the place of `contracts.Frozen.represent`: `features.extract` asks it for complete splits.

    shapes: of one image's features, by tap.
    """

    def __init__(self, shapes: Shapes):
        self.shapes = dict(shapes)
        self._rows: dict[features.Images, features.Features] = {}

    def keep(self, split: dataset.Split, taps: Mapping[str, np.ndarray]) -> None:
        """Stores the features f[n,...] of a split at all taps, flattened."""
        flat = {
            tap: np.ascontiguousarray(taps[tap], np.float32).reshape(-1, math.prod(shape))
            for tap, shape in self.shapes.items()
        }
        self._rows[features.Images(split)] = flat

    def stored(self, split: dataset.Split, taps: Iterable[str]) -> features.Features:
        """The features of a split that was kept, {tap: f32[n,d]}.

        Raises:
          UserError: those of other images are asked for.
        """
        rows = self._rows.get(features.Images(split))
        if rows is None:
            raise contracts.UserError(
                f"an evaluation asks for the features of {len(split.images):,} images of a split, "
                "and only those of complete splits are known; remove it from --evals"
            )
        return {tap: rows[tap] for tap in taps}

    def frozen(self) -> contracts.Frozen:
        """The representation; in the place of weights, which are not known, the features' digest.

        By it the results of other features are told apart, and from those of controls without
        weights.
        """
        digest = hashlib.sha256()
        for taps in self._rows.values():
            for tap, rows in taps.items():
                digest.update(f"{tap}{rows.shape}".encode())
                digest.update(rows)
        return contracts.Frozen(self, params={"digest": np.frombuffer(digest.digest(), np.uint8)})
