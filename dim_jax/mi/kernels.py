"""Log density ratios by Gaussian kernels on training samples as critics."""

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np

from dim_jax.mi.sides import Side

Coordinates = Callable[[Side, Side], tuple[np.ndarray, np.ndarray]]

_GRID = 256  # points for each of two columns
_LARGEST_RATIO = 1e6
_MIXED = 0.005  # weight of independence in the density ratio, which keeps its log finite


@dataclasses.dataclass(frozen=True)
class Kernel:
    """The log of a density ratio by Gaussian kernels on training samples.

        ratio(x, y) = n sum_k K(x, x_k) K(y, y_k) / (sum_k K(x, x_k) sum_k K(y, y_k))

    coordinates: (x, y) sides -> the columns f64[n,d] that distances are of.
    width: the deviation of the kernels, in the units of the coordinates.
    rows: the columns f64[n,d] of the training samples.
    counts: None, or of one column each f32[b,b], how many samples are nearest to two of the b
      points `rows` f64[b,1] of a grid, which takes less time.
    """

    coordinates: Callable[[Side, Side], tuple[np.ndarray, np.ndarray]]
    width: float
    rows: tuple[np.ndarray, np.ndarray]
    counts: np.ndarray | None

    @classmethod
    def fit(cls, coordinates, width: float, x: Side, y: Side) -> Self:
        """On these training samples."""
        rows = coordinates(x, y)
        if any(side.shape[1] > 1 for side in rows):
            return cls(coordinates, width, rows, None)
        grids = [np.linspace(side.min(), side.max(), _GRID) for side in rows]
        edges = [np.append(grid - grid[1:2] / 2 + grid[:1] / 2, np.inf) for grid in grids]
        counts = np.histogram2d(rows[0][:, 0], rows[1][:, 0], bins=edges)[0]
        return cls(coordinates, width, tuple(g[:, None] for g in grids), counts.astype(np.float32))

    def __call__(self, x: Side, y: Side) -> np.ndarray:
        return self._ratio(*self._sums(self.coordinates(x, y)))

    def without_each(self, x: Side, y: Side) -> np.ndarray:
        """The scores of pairs of training samples without the kernels of these samples."""
        columns = self.coordinates(x, y)
        among = [gaussian(side, side, self.width) for side in columns]
        both, left, right, count = self._sums(columns)
        both = both - among[1] - among[0] + np.eye(len(both), dtype=np.float32)
        return self._ratio(np.maximum(both, 0.0), left - 1, right - 1, count)

    def _sums(self, columns) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        left, right = (gaussian(*pair, self.width) for pair in zip(columns, self.rows, strict=True))
        if self.counts is None:
            return left @ right.T, left.sum(axis=1), right.sum(axis=1), left.shape[1]
        counts = self.counts
        each = left @ counts.sum(axis=1), right @ counts.sum(axis=0)
        return (left @ counts) @ right.T, *each, float(counts.sum())

    def _ratio(self, both, left, right, count) -> np.ndarray:
        expected = np.maximum(left, 1e-15)[:, None] * np.maximum(right, 1e-15)
        ratio = np.minimum(both * np.float32(count) / expected, _LARGEST_RATIO)
        return np.log((1 - _MIXED) * ratio + _MIXED).astype(np.float32)


def gaussian(queries: np.ndarray, rows: np.ndarray, width: float) -> np.ndarray:
    """f32[q,n] of queries f[q,d] and rows f[n,d]."""
    queries, rows = ((side / width).astype(np.float32) for side in (queries, rows))
    squares = np.sum(queries**2, axis=1)[:, None] / 2 + np.sum(rows**2, axis=1) / 2
    return np.exp(np.minimum(queries @ rows.T - squares, 0.0))
