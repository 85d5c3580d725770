"""The critic of classes and columns against SciPy's densities and known information."""

import numpy as np
import pytest
from scipy import stats

from dim_jax.mi import class_densities, held_out
from dim_jax.mi.sides import Side

N = 800


@pytest.fixture(scope="module")
def samples():
    """Classes i[2n], and columns f[2n,2] around a mean for each."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 2 * N)
    means = np.array([[-1.5, 0.0], [0.0, 1.0], [1.5, 0.0]])
    return classes, means[classes] + random.normal(size=(2 * N, 2))


def sides(classes, columns):
    return Side.of(classes[:, None], discrete=True), Side.of(columns)


def fitted(x, y, **options):
    options = dict(swapped=False, separate=False) | options
    return class_densities.ClassDensities.fit(x.take(slice(N)), y.take(slice(N)), **options)


def test_scores_are_log_ratios_of_normal_densities(samples):
    x, y = sides(*samples)
    critic = fitted(x, y)
    rows, classes = y.scores[:N], samples[0][:N]
    means = np.array([rows[classes == each].mean(axis=0) for each in range(3)])
    residuals = rows - means[classes]
    covariance = residuals.T @ residuals / N
    covariance = 0.98 * covariance + 0.02 * np.diag(np.diag(covariance))
    test = y.scores[N : N + 40]
    densities = np.array([stats.multivariate_normal(m, covariance).pdf(test) for m in means])
    shares = (np.bincount(classes) + 0.5) / (N + 1.5)
    ratios = (1 - critic.mixed) * densities / (shares @ densities) + critic.mixed
    few = slice(N, N + 40)
    expected = np.log(ratios)[samples[0][few]]
    np.testing.assert_allclose(critic(x.take(few), y.take(few)), expected, rtol=1e-3, atol=1e-4)


def test_swapped_sides_have_the_transposed_scores(samples):
    x, y = sides(*samples)
    few = slice(N, N + 40)
    given = fitted(y, x, swapped=True)(y.take(few), x.take(few))
    np.testing.assert_array_equal(given, fitted(x, y)(x.take(few), y.take(few)).T)


def test_classes_that_are_wrong_at_random_are_mixed_in(samples):
    classes, columns = samples
    columns = columns + 5.0 * np.eye(3)[classes, :2]
    random = np.random.default_rng(1)
    wrong = np.where(random.random(2 * N) < 0.4, random.integers(0, 3, 2 * N), classes)
    clean, noisy = (fitted(*sides(each, columns)) for each in (classes, wrong))
    assert clean.mixed <= 0.02 < 0.05 <= noisy.mixed


def test_separate_covariances_tell_classes_of_equal_means_apart():
    random = np.random.default_rng(2)
    classes = random.integers(0, 2, 2 * N)
    x, y = sides(classes, random.normal(size=(2 * N, 2)) * np.where(classes, 3.0, 0.5)[:, None])
    test = x.take(slice(N, None)), y.take(slice(N, None))
    shared, separate = (fitted(x, y, separate=each)(*test) for each in (False, True))
    assert held_out.value(shared) < 0.05 and held_out.value(separate) > 0.3
