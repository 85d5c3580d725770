"""A Gaussian copula of low rank as a critic."""

import dataclasses
from collections.abc import Callable
from typing import Self

import numpy as np

from dim_jax.mi import held_out
from dim_jax.mi.sides import Side

Critic = Callable[[Side, Side], np.ndarray]  # scores f32[m,m'] of all pairs

_LARGEST_CORRELATION = 1 - 1e-7
_PATIENCE = 3  # canonical pairs without gain after which no more are tried
_GAIN = 1e-4  # nats, of a canonical pair that is kept


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """The log density ratio of Gaussians with these canonical correlations.

    correlations: f64[r], in falling order, and the maps f64[dx,r], f64[dy,r] to the canonical
      variates, which have deviation 1.
    waves: of the modulated scores that the maps take.
    """

    correlations: np.ndarray
    means: tuple[np.ndarray, np.ndarray]
    maps: tuple[np.ndarray, np.ndarray]
    waves: int = 0

    @classmethod
    def fit(cls, x: Side, y: Side, waves: int = 0) -> Self:
        """By the canonical correlations of the normal scores."""
        x, y = x.modulated(waves), y.modulated(waves)
        means = x.scores.mean(axis=0), y.scores.mean(axis=0)
        left, right = (side.scores - mean for side, mean in zip((x, y), means, strict=True))
        roots = [_inverse_root(side.T @ side / len(side)) for side in (left, right)]
        cross = roots[0] @ (left.T @ right / len(left)) @ roots[1]
        u, correlations, v = np.linalg.svd(cross, full_matrices=False)
        correlations = np.clip(correlations, 0.0, _LARGEST_CORRELATION)
        return cls(correlations, means, (roots[0] @ u, roots[1] @ v.T), waves)

    def truncated(self, rank: int) -> Self:
        """With its `rank` largest correlations."""
        maps = self.maps[0][:, :rank], self.maps[1][:, :rank]
        return dataclasses.replace(self, correlations=self.correlations[:rank], maps=maps)

    def selected(self, x: Side, y: Side) -> Self:
        """With as many correlations as give the largest value on these validation samples."""
        best, rank = 0.0, 0
        for candidate in range(1, len(self.correlations) + 1):
            value = held_out.limited_value(self.truncated(candidate)(x, y))
            if value > best + _GAIN:
                best, rank = value, candidate
            elif candidate - rank >= _PATIENCE:
                break
        return self.truncated(rank)

    def variates(self, x: Side, y: Side) -> tuple[np.ndarray, np.ndarray]:
        """The canonical variates f64[n,r] of both sides."""
        return tuple(
            (side.modulated(self.waves).scores - mean) @ to_variates
            for side, mean, to_variates in zip((x, y), self.means, self.maps, strict=True)
        )

    def __call__(self, x: Side, y: Side) -> np.ndarray:
        left, right = self.terms(x, y)
        return (left[:, 0, None] + left[:, 1:] @ right[:, 1:].T + right[:, 0]).astype(np.float32)

    def terms(self, x: Side, y: Side) -> tuple[np.ndarray, np.ndarray]:
        """Rows a, b f64[n,1+r] of both sides: the score of a pair is a0 + b0 + a1 b1 + a2 b2..."""
        u, v = self.variates(x, y)
        squares = self.correlations**2
        precision = squares / (1 - squares)
        constant = -0.5 * np.sum(np.log1p(-squares))
        left = np.concatenate(
            [constant - (u**2 @ precision / 2)[:, None], u * (self.correlations / (1 - squares))],
            axis=1,
        )
        return left, np.concatenate([-(v**2 @ precision / 2)[:, None], v], axis=1)


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * values.max()  # one-hot rows and copied columns have directions without
    roots = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return (vectors * roots) @ vectors.T
