"""Joint laws of x and y with known mutual information: draws, log density ratio and truth.

Normal, Student's t, additive uniform noise and mixtures of normal laws, after Czyz et al. 2023
(*Beyond Normal*, appendix on tasks) and 2024 (*Pointwise mutual information profiles*). A bijection
of x or of y (experiments/mi_transforms.py) keeps the information. All numbers are float64.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

DRAWS = 1_000_000  # of a truth that is the mean of the true log ratio
_CHUNK = 100_000


class Truth(NamedTuple):
    """Mutual information in nats, and its standard error where it is a mean over draws."""

    nats: float
    standard_error: float = 0.0


@dataclasses.dataclass(frozen=True)
class Law:
    """A joint law of x and y.

    dims: columns of x and of y.
    sample: (random, n) -> x f64[n,dx], y f64[n,dy].
    log_ratio: (x, y) -> f64[n], log p(x, y) - log p(x) - log p(y).
    truth: () -> the mutual information, computed anew with each call.
    """

    dims: tuple[int, int]
    sample: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    log_ratio: Callable[[np.ndarray, np.ndarray], np.ndarray]
    truth: Callable[[], Truth]


def gaussian(covariance: np.ndarray, dx: int) -> Law:
    """The normal law with mean 0, whose first dx coordinates are x."""
    nats = _gaussian_nats(covariance, dx)
    factor = np.linalg.cholesky(covariance)

    def sample(random, n):
        return _split(random.standard_normal((n, len(factor))) @ factor.T, dx)

    def log_ratio(x, y):
        joint, of_x, of_y = _squares(x, y, covariance)
        return nats + (of_x + of_y - joint) / 2

    return Law((dx, len(covariance) - dx), sample, log_ratio, lambda: Truth(nats))


def student(dispersion: np.ndarray, dx: int, freedom: float) -> Law:
    """Student's t with a dispersion matrix and degrees of freedom.

    Its information is that of the normal law and a term of dimensions and degrees of freedom alone
    (Arellano-Valle et al. 2013), which is positive where the dispersion is the identity.
    """
    nats, factor = _gaussian_nats(dispersion, dx), np.linalg.cholesky(dispersion)
    sizes = np.array([len(dispersion), dx, len(dispersion) - dx])
    # Of the joint law, x and y: log density = constant - power * log(1 + square / freedom) + ...
    constants = special.gammaln((freedom + sizes) / 2) - special.gammaln(freedom / 2)
    powers = (freedom + sizes) / 2
    entropies = powers * (special.digamma(powers) - special.digamma(freedom / 2)) - constants
    truth = Truth(nats + float(entropies[1] + entropies[2] - entropies[0]))

    def sample(random, n):
        normal = random.standard_normal((n, len(factor))) @ factor.T
        return _split(normal / np.sqrt(random.chisquare(freedom, (n, 1)) / freedom), dx)

    def log_ratio(x, y):
        logs = [
            constant - power * np.log1p(square / freedom)
            for constant, power, square in zip(
                constants, powers, _squares(x, y, dispersion), strict=True
            )
        ]
        return nats + logs[0] - logs[1] - logs[2]

    return Law((dx, int(sizes[2])), sample, log_ratio, lambda: truth)


def additive_uniform(half_width: float) -> Law:
    """x uniform on (0, 1), y = x + uniform noise on (-half_width, half_width)."""
    nats = half_width - math.log(2 * half_width) if half_width <= 0.5 else 1 / (4 * half_width)

    def sample(random, n):
        x = random.random((n, 1))
        return x, x + random.uniform(-half_width, half_width, (n, 1))

    def log_ratio(x, y):
        length = np.minimum(1, y + half_width) - np.maximum(0, y - half_width)
        inside = np.abs(y - x) <= half_width + 1e-6  # samples are rounded to float32
        return np.where(inside, -np.log(np.clip(length, 1e-7, None)), -np.inf)[:, 0]

    return Law((1, 1), sample, log_ratio, lambda: Truth(nats))


def independent(dx: int, dy: int, freedom: float = math.inf) -> Law:
    """Coordinates that are all independent, normal or Student's t."""

    def coordinates(random, shape):
        if math.isinf(freedom):
            return random.standard_normal(shape)
        return random.standard_t(freedom, shape)

    def sample(random, n):
        return coordinates(random, (n, dx)), coordinates(random, (n, dy))

    return Law((dx, dy), sample, lambda x, y: np.zeros(len(x)), lambda: Truth(0.0))


def mixture(weights: Sequence[float], means: np.ndarray, covariances: np.ndarray, dx: int) -> Law:
    """A mixture of normal laws; the truth of x and y in one dimension each is by quadrature.

    Else it is the mean over `DRAWS` draws.

    Args:
      means: f64[components,dx+dy].
      covariances: f64[components,dx+dy,dx+dy].
    """
    weights, means, covariances = (np.asarray(a, float) for a in (weights, means, covariances))
    dims = (dx, means.shape[1] - dx)
    factors = np.linalg.cholesky(covariances)

    def sample(random, n):
        which = random.choice(len(weights), size=n, p=weights)
        noise = random.standard_normal((n, means.shape[1]))
        both = means[which] + np.einsum("nij,nj->ni", factors[which], noise)
        return _split(both, dx)

    def density(values, part):
        logs = [
            math.log(weight) + _log_normal(values - mean[part], covariance[part, part])
            for weight, mean, covariance in zip(weights, means, covariances, strict=True)
        ]
        return special.logsumexp(logs, axis=0)

    def joint(x, y):
        return density(np.concatenate([x, y], axis=1), slice(None))

    def log_ratio(x, y):
        return joint(x, y) - density(x, slice(dx)) - density(y, slice(dx, None))

    def truth():
        if dims != (1, 1):
            return mean_log_ratio(sample, log_ratio)
        spread = 10 * np.sqrt(np.max([np.diag(c) for c in covariances], axis=0))
        low, high = means.min(0) - spread, means.max(0) + spread
        return Truth(_integrate(joint, log_ratio, low, high))

    return Law(dims, sample, log_ratio, truth)


def mean_log_ratio(sample: Callable, log_ratio: Callable, draws: int = DRAWS) -> Truth:
    """The mean of the true log ratio over draws, with its standard error."""
    random = np.random.default_rng(2024)
    values = np.concatenate([log_ratio(*sample(random, _CHUNK)) for _ in range(draws // _CHUNK)])
    return Truth(float(values.mean()), float(values.std() / math.sqrt(len(values))))


def padded(law: Law, dx: int, dy: int) -> Law:
    """The law with independent normal columns after those of x and y, dx and dy in all."""

    def sample(random, n):
        x, y = law.sample(random, n)
        return tuple(
            np.concatenate([values, random.standard_normal((n, size - values.shape[1]))], axis=1)
            for values, size in ((x, dx), (y, dy))
        )

    def log_ratio(x, y):
        return law.log_ratio(x[:, : law.dims[0]], y[:, : law.dims[1]])

    return Law((dx, dy), sample, log_ratio, law.truth)


def dense(dx: int, dy: int, correlation: float) -> np.ndarray:
    """The correlation matrix f64[dx+dy,dx+dy] with the same number between any two coordinates."""
    return np.full((dx + dy, dx + dy), correlation) + (1 - correlation) * np.eye(dx + dy)


def sparse(dx: int, dy: int, pairs: int, strength: float) -> np.ndarray:
    """The correlation matrix of noise of deviation 1 and signals of deviation `strength`.

    x_i and y_i share their signal where i < pairs; all other coordinates are independent.
    """
    covariance = np.eye(dx + dy)
    for i in range(pairs):
        covariance[i, dx + i] = covariance[dx + i, i] = strength**2 / (1 + strength**2)
    return covariance


def paired(correlations: Sequence[float]) -> np.ndarray:
    """The correlation matrix of x and y of the same dimension, where x_i and y_i are correlated."""
    d = len(correlations)
    covariance = np.eye(2 * d)
    covariance[range(d), range(d, 2 * d)] = covariance[range(d, 2 * d), range(d)] = correlations
    return covariance


def _split(both: np.ndarray, dx: int) -> tuple[np.ndarray, np.ndarray]:
    return both[:, :dx], both[:, dx:]


def _gaussian_nats(covariance: np.ndarray, dx: int) -> float:
    logs = [
        np.linalg.slogdet(part)[1]
        for part in (covariance[:dx, :dx], covariance[dx:, dx:], covariance)
    ]
    return float(logs[0] + logs[1] - logs[2]) / 2


def _squares(x: np.ndarray, y: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, ...]:
    """Squared Mahalanobis norms of (x, y), of x and of y, f64[n] each."""
    dx = x.shape[1]
    parts = (
        (np.concatenate([x, y], axis=1), covariance),
        (x, covariance[:dx, :dx]),
        (y, covariance[dx:, dx:]),
    )
    return tuple(np.sum(values * np.linalg.solve(c, values.T).T, axis=1) for values, c in parts)


def _log_normal(centred: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    square = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    logdet = np.linalg.slogdet(covariance)[1]
    return -(square + logdet + len(covariance) * math.log(2 * math.pi)) / 2


def _integrate(joint: Callable, log_ratio: Callable, low, high, points: int = 401) -> float:
    """The integral of joint density * log ratio over a rectangle, by the trapezoidal rule."""
    columns = [np.linspace(low[i], high[i], points) for i in range(2)]
    step = math.prod(column[1] - column[0] for column in columns)
    total = 0.0
    for value in columns[0]:
        x, y = np.full((points, 1), value), columns[1][:, None]
        total += float(np.exp(joint(x, y)) @ log_ratio(x, y))
    return float(total * step)
