"""Bijections of the columns of x or y, which keep mutual information, with their inverses.

Half-cube, asinh, normal CDF, wiggly, two modes, Swiss roll and spiral are those of Czyz et al. 2023
(*Beyond Normal*, appendix on transforms); rotation and Moebius transform are further ones.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from experiments.mi_laws import Law


class Transform(NamedTuple):
    """f64[n,d] -> f64[n,d'] and back, and d' - d."""

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    added: int = 0


def _same(values: np.ndarray) -> np.ndarray:
    return values


IDENTITY = Transform(_same, _same)


def transformed(law: Law, of_x: Transform = IDENTITY, of_y: Transform = IDENTITY) -> Law:
    """The law of of_x(x) and of_y(y); its information is the same."""

    def sample(random, n):
        x, y = law.sample(random, n)
        return of_x.forward(x), of_y.forward(y)

    def log_ratio(x, y):
        return law.log_ratio(of_x.inverse(x), of_y.inverse(y))

    dims = (law.dims[0] + of_x.added, law.dims[1] + of_y.added)
    return dataclasses.replace(law, dims=dims, sample=sample, log_ratio=log_ratio)


def chain(*transforms: Transform) -> Transform:
    """One transform after the other, the first one first."""

    def forward(values):
        for transform in transforms:
            values = transform.forward(values)
        return values

    def inverse(values):
        for transform in reversed(transforms):
            values = transform.inverse(values)
        return values

    return Transform(forward, inverse, sum(transform.added for transform in transforms))


HALF_CUBE = Transform(lambda x: x * np.sqrt(np.abs(x)), lambda x: np.sign(x) * np.abs(x) ** (2 / 3))
ASINH = Transform(np.arcsinh, np.sinh)
# Samples are rounded to float32, and may be rounded to 1.
NORMAL_CDF = Transform(special.ndtr, lambda u: special.ndtri(np.clip(u, 2.0**-60, 1 - 2.0**-26)))


def _tabled(function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> Callable:
    """The inverse of an increasing function on an interval, by a table of its values."""
    arguments = np.linspace(low, high, 200_001)
    values = function(arguments)
    return lambda wanted: np.interp(wanted, values, arguments)


def wiggly(side: str) -> Transform:
    """The identity with three sine waves, other ones for "x" and "y"."""
    waves = {
        "x": ((0.4, 1.0, 0.0), (0.2, 1.7, 1.0), (0.03, 3.3, -2.5)),
        "y": ((-0.4, 0.4, 0.0), (0.17, 1.3, 3.5), (0.02, 4.3, -2.5)),
    }[side]

    def forward(x):
        return x + sum(height * np.sin(rate * x + phase) for height, rate, phase in waves)

    return Transform(forward, _tabled(forward, -12, 12))


def bimodal(weight: float, first: float, second: float) -> Transform:
    """Standard normal to a mixture of two normal laws of deviation 1, by their quantiles."""

    def inverse(x):
        lower = weight * special.ndtr(x - first) + (1 - weight) * special.ndtr(x - second)
        upper = weight * special.ndtr(first - x) + (1 - weight) * special.ndtr(second - x)
        return np.where(lower < 0.5, special.ndtri(lower), -special.ndtri(upper))

    return Transform(_tabled(inverse, first - 9, second + 9), inverse)


def _roll(u: np.ndarray) -> np.ndarray:
    angle = 1.5 * np.pi * (1 + 2 * u)
    return np.concatenate([angle * np.cos(angle), angle * np.sin(angle)], axis=1) / 21


def _unroll(values: np.ndarray) -> np.ndarray:
    angle = 21 * np.linalg.norm(values, axis=1, keepdims=True)
    return (angle / (1.5 * np.pi) - 1) / 2


SWISS_ROLL = Transform(_roll, _unroll, added=1)  # of one column in (0, 1)


def spiral(first: int, second: int) -> Transform:
    """Turns two coordinates by the mean square of all, as an angle."""

    def turn(values, sign):
        angle = sign * np.mean(values**2, axis=1)
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = np.array(values)
        turned[:, first] = cosine * values[:, first] - sine * values[:, second]
        turned[:, second] = sine * values[:, first] + cosine * values[:, second]
        return turned

    return Transform(lambda x: turn(x, 1), lambda x: turn(x, -1))


def rotation(d: int, seed: int) -> Transform:
    """A random orthogonal matrix."""
    matrix = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    return Transform(lambda x: x @ matrix, lambda x: x @ matrix.T)


def moebius(c: complex) -> Transform:
    """z / (1 + c z) of two columns as one complex number; heavy tails near its pole."""

    def apply(values, constant):
        z = values[:, 0] + 1j * values[:, 1]
        w = z / (1 + constant * z)
        return np.stack([w.real, w.imag], axis=1)

    return Transform(lambda x: apply(x, c), lambda x: apply(x, -c))
