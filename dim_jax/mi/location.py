"""A critic of one column that is a smooth function of the other side, plus or times noise."""

import dataclasses
from typing import Self

import numpy as np
from scipy import ndimage

from dim_jax.mi import kernels
from dim_jax.mi.sides import Side

_WIDTHS = (0.1, 0.2, 0.4)  # deviations of the regression's kernels, in normal scores
_SHARPNESS = 2.0  # divides Silverman's width of the noise's kernels, for densities with edges
_GRID = 4096  # points of the noise's density
_POINTS = 256  # of a grid in place of the rows of one column
_MARGIN = 4.0  # deviations beyond the largest residual
_MIXED = 0.005  # weight of independence in the density ratio
_CENTRES = 512  # samples over which the density of the column is averaged


@dataclasses.dataclass(frozen=True)
class Location:
    """The log ratio of p((b - m(a)) / s(a)) / s(a) to its mean over training samples a.

    a are the normal scores of one side, b is the standardised column of the other. The mean m and
    the deviation s are local averages, the noise's density is a sum of kernels.

    swapped: a is y, and b is x.
    rows, values: a f64[n,d] and b f64[n] of the training samples.
    width: of the local averages. varying: whether s is not the same everywhere.
    squares: f64[n], squared distances of b from m.
    density: f64[g] on `grid` f64[g]. centres: m and s f64[c,2] of training samples.
    """

    swapped: bool
    rows: np.ndarray
    values: np.ndarray
    width: float
    varying: bool
    squares: np.ndarray
    grid: np.ndarray
    density: np.ndarray
    centres: np.ndarray

    @classmethod
    def fit(cls, x: Side, y: Side, *, swapped: bool, varying: bool, width: float) -> Self:
        """On training samples."""
        rows, values = _pair(x, y, swapped)
        squares = (values - _average(rows, rows, values, width)) ** 2
        unfitted = cls(swapped, rows, values, width, varying, squares, *[np.empty(0)] * 3)
        mean, deviation = unfitted._moments(rows, values)
        noise = (values - mean) / deviation
        spread = np.subtract(*np.quantile(noise, (0.75, 0.25))) / 1.34
        # Of tied values half can have no spread.
        step = (
            min(noise.std(), spread if spread > 0 else np.inf)
            * 0.9
            * len(noise) ** -0.2
            / _SHARPNESS
        )
        edges = np.linspace(noise.min() - _MARGIN, noise.max() + _MARGIN, _GRID + 1)
        counts = np.histogram(noise, edges)[0] / len(noise) / (edges[1] - edges[0])
        smooth = ndimage.gaussian_filter1d(counts, step / (edges[1] - edges[0]), mode="constant")
        few = slice(None, None, -(-len(rows) // _CENTRES))
        return dataclasses.replace(
            unfitted,
            grid=(edges[1:] + edges[:-1]) / 2,
            density=smooth,
            centres=np.stack([mean[few], deviation[few]], axis=1),
        )

    def __call__(self, x: Side, y: Side, seen: bool = False) -> np.ndarray:
        rows, values = _pair(x, y, self.swapped)
        mean, deviation = self._moments(rows, values if seen else None)
        given = self._densities(values, mean, deviation)
        expected = self._densities(values, *self.centres.T).mean(axis=0)
        ratio = given / np.maximum(expected, 1e-12)
        scores = np.log((1 - _MIXED) * ratio + _MIXED).astype(np.float32)
        return scores.T if self.swapped else scores

    def without_each(self, x: Side, y: Side) -> np.ndarray:
        """The scores of training samples, whose local averages are without themselves."""
        return self(x, y, seen=True)

    def _moments(self, rows, seen: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """m and s at rows f[m,d]; `seen` f[m]: their values if they are training samples."""
        mean = _average(rows, self.rows, self.values, self.width, seen)
        if not self.varying:
            return mean, np.ones(len(mean))
        width = max(self.width, 0.2)
        if seen is not None:
            seen = (seen - _average(rows, self.rows, self.values, self.width)) ** 2
        variance = _average(rows, self.rows, self.squares, width, seen)
        return mean, np.sqrt(np.maximum(variance, 1e-6))

    def _densities(self, values, mean, deviation) -> np.ndarray:
        """f32[m,n] of values f[n] at means and deviations f[m]."""
        start, step = self.grid[0], self.grid[1] - self.grid[0]
        scale = (1 / (deviation * step)).astype(np.float32)[:, None]
        offset = (-mean / (deviation * step) - start / step + 0.5).astype(np.float32)[:, None]
        places = np.clip(values.astype(np.float32) * scale + offset, 0, _GRID - 1).astype(np.int32)
        return self.density.astype(np.float32)[places] / deviation.astype(np.float32)[:, None]


def choose_width(x: Side, y: Side, *, swapped: bool) -> float:
    """Of the local averages: that with the smallest error of half of the samples on the others."""
    rows, values = _pair(x, y, swapped)
    half = len(rows) // 2
    errors = [
        np.mean((values[half:] - _average(rows[half:], rows[:half], values[:half], width)) ** 2)
        for width in _WIDTHS
    ]
    return _WIDTHS[int(np.argmin(errors))]


def _pair(x: Side, y: Side, swapped: bool) -> tuple[np.ndarray, np.ndarray]:
    given, other = (y, x) if swapped else (x, y)
    return given.scores, other.standard[:, 0]


def _average(queries, rows, values, width: float, seen=None) -> np.ndarray:
    """f64[q]: local linear fits of values f[n] at rows f[n,d].

    `seen` f[q] are the values of queries that are rows themselves, and are left out of their fits.

    Far from all rows it is the mean of all values.
    """
    size = rows.shape[1]
    centre = values.mean()
    powers = _powers(rows, values - centre)
    if size == 1:  # sums over the rows that are nearest to a point of a grid take less time
        grid = np.linspace(rows.min(), rows.max(), _POINTS)[:, None]
        step = grid[1, 0] - grid[0, 0]
        nearest = np.round((rows[:, 0] - grid[0, 0]) / step).astype(int)
        sums = [np.bincount(nearest, column, minlength=_POINTS) for column in powers.T]
        rows, powers = grid, np.stack(sums, axis=1).astype(np.float32)
    sums = kernels.gaussian(queries, rows, width) @ powers
    if seen is not None:
        sums -= _powers(queries, seen - centre)
    weight, mean, position, product, square = np.split(
        sums.astype(np.float64), np.cumsum([1, 1, size, size]), axis=1
    )
    weight = np.maximum(weight, 0) + 1e-6
    mean, position, product = mean / weight, position / weight, product / weight
    spread = (square / weight).reshape(-1, size, size) - position[:, :, None] * position[:, None]
    spread += 0.05 * width**2 * np.eye(size)
    slopes = np.linalg.solve(spread, (product - mean * position)[..., None])[..., 0]
    return centre + mean[:, 0] + np.sum(slopes * (queries - position), axis=1)


def _powers(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """f32[n,p]: 1, value, columns, value times columns, and products of two columns."""
    parts = [np.ones((len(rows), 1)), values[:, None], rows, values[:, None] * rows]
    squares = (rows[:, :, None] * rows[:, None]).reshape(len(rows), -1)
    return np.concatenate([*parts, squares], axis=1).astype(np.float32)
