"""The Gaussian critic beside the densities of SciPy."""

import numpy as np
from scipy import stats

from dim_jax.mi.gaussian import Gaussian
from dim_jax.mi.sides import Side

N = 300


def pairs(seed: int = 0, columns: int = 2, rho: float = 0.7, count: int = N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, columns))
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=(count, columns))
    return Side.of(x), Side.of(y)


def test_gaussian_is_the_log_ratio_of_normal_densities():
    x, y = pairs(columns=3)
    fitted = Gaussian.fit(x, y)
    both = np.concatenate([x.scores, y.scores], axis=1)
    mean, covariance = both.mean(axis=0), np.cov(both.T, ddof=0)
    joint = stats.multivariate_normal(mean, covariance)
    alone = [
        stats.multivariate_normal(mean[part], covariance[part, part])
        for part in (slice(3), slice(3, 6))
    ]
    some = 25
    grid = np.concatenate(
        [np.repeat(x.scores[:some], some, axis=0), np.tile(y.scores[:some], (some, 1))], axis=1
    )
    expected = joint.logpdf(grid) - alone[0].logpdf(grid[:, :3]) - alone[1].logpdf(grid[:, 3:])
    given = fitted(x.take(slice(some)), y.take(slice(some)))
    np.testing.assert_allclose(given, expected.reshape(some, some), atol=2e-4, rtol=1e-5)


def test_canonical_variates_have_the_correlations():
    x, y = pairs(columns=3)
    fitted = Gaussian.fit(x, y)
    left, right = fitted.variates(x, y)
    table = np.corrcoef(left.T, right.T)
    expected = np.block(
        [[np.eye(3), np.diag(fitted.correlations)], [np.diag(fitted.correlations), np.eye(3)]]
    )
    np.testing.assert_allclose(table, expected, atol=1e-8)
    assert (np.diff(fitted.correlations) <= 0).all()


def test_selection_keeps_the_pairs_that_validation_shows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * N, 6))
    y = rng.normal(size=(2 * N, 6))
    y[:, 4] = x[:, 1] + 0.5 * y[:, 4]
    sides = Side.of(x), Side.of(y)
    halves = np.split(np.arange(2 * N), 2)
    training, validation = ([side.take(half) for side in sides] for half in halves)
    fitted = Gaussian.fit(*training)
    chosen = fitted.selected(*validation)
    assert len(fitted.correlations) == 6 and len(chosen.correlations) == 1
    assert abs(chosen.correlations[0] - 2 / np.sqrt(5)) < 0.06
    np.testing.assert_array_equal(fitted.truncated(0)(*training), 0.0)


def test_gaussian_of_classes_is_finite():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, N)
    y = classes[:, None] + rng.normal(size=(N, 2))
    sides = Side.of(classes[:, None], discrete=True), Side.of(y)
    fitted = Gaussian.fit(*sides)  # one-hot rows have a singular covariance
    assert np.isfinite(fitted(*sides)).all()
    assert fitted.correlations[0] > 0.5
