"""A critic of classes and columns: Gaussian densities of the columns in each class."""

import dataclasses
from typing import Self

import numpy as np

from dim_jax.mi.sides import Side

_SHRUNK, _SMALLEST = 0.02, 1e-6  # weight of the variances in a covariance, and a variance added
_SHARED = 30.0  # samples' worth of the covariance of all classes in that of one
_MIXED = (0.002, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # weights of independence, candidates


@dataclasses.dataclass(frozen=True)
class ClassDensities:
    """The log of (1 - e) p(b | class) / p(b) + e, p(b) the mixture of all classes, of scores b.

    swapped: the classes are y, and b is x.
    means: f64[k,d]. maps: f64[k,d,d], to whitened scores. log_scales: f64[k]. shares: f64[k].
    """

    swapped: bool
    means: np.ndarray
    maps: np.ndarray
    log_scales: np.ndarray
    shares: np.ndarray
    mixed: float

    @classmethod
    def fit(cls, x: Side, y: Side, *, swapped: bool, separate: bool) -> Self:
        """On training samples, with one covariance for all classes or `separate` ones.

        The mixed part is that of the largest likelihood on one half by densities of the other.
        """
        half = len(x.scores) // 2
        first, second = ((side.take(slice(half)), side.take(slice(half, None))) for side in (x, y))
        tried = cls._fit(first[0], second[0], swapped, separate)
        hot, rows = _pair(first[1], second[1], swapped)
        ratios = np.sum(hot * tried._ratios(rows).T, axis=1)
        likelihoods = [np.mean(np.log((1 - mixed) * ratios + mixed)) for mixed in _MIXED]
        mixed = _MIXED[int(np.argmax(likelihoods))]
        return dataclasses.replace(cls._fit(x, y, swapped, separate), mixed=mixed)

    @classmethod
    def _fit(cls, x: Side, y: Side, swapped: bool, separate: bool) -> Self:
        hot, rows = _pair(x, y, swapped)
        counts = hot.sum(axis=0)
        means = (hot.T @ rows) / np.maximum(counts, 1.0)[:, None]
        residuals = rows - hot @ means
        size = rows.shape[1]
        shared = residuals.T @ residuals / len(rows)
        covariances = np.repeat(shared[None], hot.shape[1], axis=0)
        if separate:
            sums = np.einsum("nk,nd,ne->kde", hot, residuals, residuals, optimize=True)
            weights = (counts + _SHARED)[:, None, None]
            covariances = (sums + _SHARED * shared) / weights
        ridge = _SHRUNK * np.diag(np.diag(shared)) + _SMALLEST * np.eye(size)
        covariances = (1 - _SHRUNK) * covariances + ridge
        values, vectors = np.linalg.eigh(covariances)
        maps = vectors / np.sqrt(values)[:, None]
        # A class of validation samples alone has no density: all classes have a share.
        shares = (counts + 0.5) / (counts + 0.5).sum()
        return cls(swapped, means, maps, -0.5 * np.sum(np.log(values), axis=1), shares, 0.0)

    def __call__(self, x: Side, y: Side) -> np.ndarray:
        left, right = self.terms(x, y)
        return (left[:, 1:] @ right[:, 1:].T).astype(np.float32)

    def terms(self, x: Side, y: Side) -> tuple[np.ndarray, np.ndarray]:
        """Rows a, b f64[n,1+k] of both sides: the score of a pair is a0 + b0 + a1 b1 + a2 b2..."""
        hot, rows = _pair(x, y, self.swapped)
        ratios = np.log((1 - self.mixed) * self._ratios(rows) + self.mixed).T
        sides = ratios, hot
        left, right = sides if self.swapped else sides[::-1]
        return tuple(np.pad(each, ((0, 0), (1, 0))) for each in (left, right))

    def _ratios(self, rows: np.ndarray) -> np.ndarray:
        """f64[k,n]: p(b | class) / p(b) of every class."""
        classes = zip(self.means, self.maps, self.log_scales, strict=True)
        logs = np.stack(
            [
                scale - np.sum(((rows - mean) @ to_white) ** 2, axis=1) / 2
                for mean, to_white, scale in classes
            ]
        )
        densities = np.exp(logs - logs.max(axis=0))
        return densities / (self.shares @ densities)


def _pair(x: Side, y: Side, swapped: bool) -> tuple[np.ndarray, np.ndarray]:
    classes, other = (y, x) if swapped else (x, y)
    return classes.features.astype(np.float64), other.scores
