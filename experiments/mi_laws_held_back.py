"""Laws of families that no estimator here was tuned on, with known mutual information.

Noisy functions, a noisy circle, a checkerboard, dependent norms, class labels and counts. Their
truth is in closed form or by quadrature in one or two dimensions.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import integrate, special, stats

from experiments.mi_laws import Law, Truth, gaussian, paired

_ROWS = 2000  # samples by nodes are held at once
_LOG_ROOT = math.log(2 * math.pi) / 2
# The standard normal law on a grid.
_NODES = np.linspace(-9, 9, 601)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.sum(np.exp(-(_NODES**2) / 2))


def noisy_function(location: Callable, scale: Callable) -> Law:
    """y = location(x) + scale(x) e with x and e normal, one column each."""
    scales = scale(_NODES) + np.zeros_like(_NODES)

    def sample(random, n):
        x, e = random.standard_normal((2, n, 1))
        return x, location(x) + scale(x) * e

    def given_x(x, y):
        return _log_normal(y, location(x), scale(x))[:, 0]

    components = (_WEIGHTS, location(_NODES), scales)
    return _by_marginal((1, 1), sample, given_x, components, float(_WEIGHTS @ np.log(scales)))


def noisy_product(noise: float) -> Law:
    """y = x_1 x_2 + noise e with x_1, x_2 and e normal; neither x_i alone changes the mean of y."""

    def sample(random, n):
        x, e = random.standard_normal((n, 2)), random.standard_normal((n, 1))
        return x, np.prod(x, axis=1, keepdims=True) + noise * e

    def given_x(x, y):
        return _log_normal(y[:, 0], np.prod(x, axis=1), noise)

    components = (_WEIGHTS, np.zeros_like(_NODES), np.sqrt(_NODES**2 + noise**2))
    return _by_marginal((2, 1), sample, given_x, components, math.log(noise))


def _by_marginal(dims, sample, given_x, components, mean_log_scale) -> Law:
    """The law of y given x, normal, whose marginal is a mixture of normal laws."""

    def log_ratio(x, y):
        return given_x(x, y) - _log_mixture(y[:, 0], *components)

    def truth():
        return Truth(_entropy(components) - mean_log_scale - 0.5 - _LOG_ROOT)

    return Law(dims, sample, log_ratio, truth)


def noisy_circle(noise: float) -> Law:
    """The two coordinates of a point on the unit circle, with normal noise."""
    angles = np.arange(600) * (2 * math.pi / 600)
    components = (np.full(600, 1 / 600), np.cos(angles), np.full(600, noise))

    def sample(random, n):
        angle = random.uniform(0, 2 * math.pi, (n, 1))
        e = noise * random.standard_normal((2, n, 1))
        return np.cos(angle) + e[0], np.sin(angle) + e[1]

    def joint(radius):
        """Log density at a distance from the centre: that of Rice's law / (2 pi radius)."""
        bessel = np.log(special.ive(0, radius / noise**2))  # times exp(-radius / noise^2)
        return bessel - (radius - 1) ** 2 / (2 * noise**2) - math.log(2 * math.pi * noise**2)

    def log_ratio(x, y):
        radius = np.hypot(x, y)[:, 0]
        marginals = (_log_mixture(values[:, 0], *components) for values in (x, y))
        return joint(radius) - sum(marginals)

    def truth():
        def term(radius):
            return -2 * math.pi * radius * math.exp(joint(radius)) * joint(radius)

        low, high = max(0.0, 1 - 12 * noise), 1 + 12 * noise
        entropy = integrate.quad(term, low, high, epsabs=1e-10, limit=400)[0]
        return Truth(2 * _entropy(components) - entropy)

    return Law((1, 1), sample, log_ratio, truth)


def checkerboard(squares: int) -> Law:
    """Uniform on the black squares of a board with an even number of squares a side: log 2."""

    def sample(random, n):
        column = random.integers(squares, size=(n, 1))
        row = 2 * random.integers(squares // 2, size=(n, 1)) + column % 2
        offsets = random.random((2, n, 1))
        return (column + offsets[0]) / squares, (row + offsets[1]) / squares

    def log_ratio(x, y):
        column, row = (np.floor(squares * values[:, 0]) for values in (x, y))
        return np.where((column + row) % 2 == 0, math.log(2), -np.inf)

    return Law((1, 1), sample, log_ratio, lambda: Truth(math.log(2)))


def dependent_norms(d: int, correlation: float) -> Law:
    """Directions independent and uniform; the logarithms of the norms are bivariate normal."""
    norms = gaussian(paired([correlation]), 1)

    def sample(random, n):
        directions = random.standard_normal((2, n, d))
        directions /= np.linalg.norm(directions, axis=2, keepdims=True)
        logs = norms.sample(random, n)
        return tuple(np.exp(0.5 * log) * u for log, u in zip(logs, directions, strict=True))

    def log_ratio(x, y):
        logs = (2 * np.log(np.linalg.norm(v, axis=1, keepdims=True)) for v in (x, y))
        return norms.log_ratio(*logs)

    return Law((d, d), sample, log_ratio, norms.truth)


def gamma_exponential(shape: float) -> Law:
    """x of a gamma law, y exponential with rate x (Kraskov et al. 2004): heavy tails of y."""
    nats = special.digamma(shape + 1) - math.log(shape)

    def sample(random, n):
        x = random.gamma(shape, size=(n, 1))
        return x, random.exponential(size=(n, 1)) / x

    def log_ratio(x, y):
        marginal = math.log(shape) - (shape + 1) * np.log1p(y)
        return (np.log(x) - x * y - marginal)[:, 0]

    return Law((1, 1), sample, log_ratio, lambda: Truth(float(nats)))


def classes(means: np.ndarray) -> Law:
    """x normal in two columns about the mean of its class y, a label; all classes as frequent."""
    count = len(means)

    def scores(x):
        return -np.sum((x[:, None] - means) ** 2, axis=2) / 2

    def sample(random, n):
        y = random.integers(count, size=(n, 1))
        return means[y[:, 0]] + random.standard_normal((n, 2)), y.astype(float)

    def log_ratio(x, y):
        values = scores(x)
        chosen = np.take_along_axis(values, y.astype(int), axis=1)[:, 0]
        return chosen - special.logsumexp(values, axis=1) + math.log(count)

    def truth():
        low, high = means.min(0) - 9, means.max(0) + 9
        columns = [np.linspace(low[i], high[i], 401) for i in range(2)]
        x = np.stack(np.meshgrid(*columns), axis=-1).reshape(-1, 2)
        values = scores(x)
        logs = values - special.logsumexp(values, axis=1, keepdims=True)  # log p(y | x)
        densities = np.exp(values) / (2 * math.pi * count)
        step = math.prod(column[1] - column[0] for column in columns)
        return Truth(math.log(count) + float(np.sum(densities * logs)) * step)

    return Law((2, 1), sample, log_ratio, truth)


def counts(shape: float, mean: float) -> Law:
    """x of a gamma law with that mean, y a Poisson count with mean x."""
    scale = mean / shape
    marginal = stats.nbinom(shape, 1 / (1 + scale))

    def sample(random, n):
        x = random.gamma(shape, scale, size=(n, 1))
        return x, random.poisson(x).astype(float)

    def log_ratio(x, y):
        return (stats.poisson.logpmf(y, x) - marginal.logpmf(y))[:, 0]

    def truth():
        logs = np.linspace(math.log(mean) - 30 / shape, math.log(mean + 40 * mean), 1501)
        x = np.exp(logs)[:, None]
        weights = stats.gamma.pdf(x, shape, scale=scale) * x * (logs[1] - logs[0])
        y = np.arange(int(41 * mean) + 60)
        given_x = stats.poisson.logpmf(y, x)
        return Truth(float(np.sum(weights * np.exp(given_x) * (given_x - marginal.logpmf(y)))))

    return Law((1, 1), sample, log_ratio, truth)


def _log_normal(values, location, scale):
    return -(((values - location) / scale) ** 2) / 2 - np.log(scale) - _LOG_ROOT


def _log_mixture(values: np.ndarray, weights, locations, scales) -> np.ndarray:
    """Log density f64[n] of a mixture of one-dimensional normal laws, given by its components."""
    logs = [
        special.logsumexp(_log_normal(part[:, None], locations, scales), b=weights, axis=1)
        for part in np.array_split(values, 1 + len(values) // _ROWS)
    ]
    return np.concatenate(logs)


def _entropy(components) -> float:
    """Entropy of a mixture, by the trapezoidal rule over log(y + sqrt(y^2 + 1))."""
    u = np.linspace(-12, 12, 4001)
    logs = _log_mixture(np.sinh(u), *components)
    return -float(np.sum(np.exp(logs) * logs * np.cosh(u))) * (u[1] - u[0])
