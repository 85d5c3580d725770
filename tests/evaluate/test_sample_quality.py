"""Measures of generated samples against SciPy, loops, and samples whose quality is known."""

import itertools

import numpy as np
import pytest
from scipy import linalg
from scipy.spatial import distance

from dim_jax import contracts
from dim_jax.evaluate import sample_quality


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Two correlated samples with other means and covariances, f64[n,6]."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(2, 6, 6))
    return tuple(
        random.normal(size=(count, 6)) @ mixing[row] + row for row, count in enumerate((400, 300))
    )


def test_the_frechet_distance_is_that_of_scipy(pair):
    moments = [sample_quality.moments(rows) for rows in pair]
    covariances = [np.cov(rows.T) for rows in pair]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((pair[0].mean(0) - pair[1].mean(0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert sample_quality.frechet_distance(*moments) == pytest.approx(expected, rel=1e-9)
    assert sample_quality.frechet_distance(*moments[::-1]) == pytest.approx(expected, rel=1e-9)
    assert sample_quality.frechet_distance(moments[0], moments[0]) == pytest.approx(0, abs=1e-9)


def test_the_frechet_distance_of_known_gaussians():
    """N(0, I) and N(m, s^2 I) in 3 dimensions: |m|^2 + 3 (1 - s)^2."""
    rows = np.concatenate([np.eye(3), -np.eye(3)])
    rows *= np.sqrt(5 / 2)  # of which the unbiased covariance is I
    one = sample_quality.moments(rows)
    other = sample_quality.moments(4 * rows + np.array([1.0, 2.0, 2.0]))
    assert sample_quality.frechet_distance(one, other) == pytest.approx(9 + 3 * 9, rel=1e-12)


def test_it_is_known_for_fewer_rows_than_features():
    rows = np.random.default_rng(1).normal(size=(5, 40)).astype(np.float32)
    moments = sample_quality.moments(rows)
    assert sample_quality.frechet_distance(moments, moments) == pytest.approx(0, abs=1e-6)
    moved = sample_quality.moments(rows + 1)
    assert sample_quality.frechet_distance(moments, moved) == pytest.approx(40, rel=1e-6)


def test_moments_of_parts_are_those_of_all(pair):
    rows = pair[0].astype(np.float32) + 1e3
    parts = [sample_quality.moments(part) for part in np.split(rows, [1, 7, 150])]
    merged = parts[0]
    for part in parts[1:]:
        merged = sample_quality.merge(merged, part)
    complete = sample_quality.moments(rows)
    assert merged.count == complete.count == 400
    np.testing.assert_allclose(merged.mean, complete.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.scatter, complete.scatter, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(complete.covariance, np.cov(rows.T.astype(float)), rtol=1e-9)


def test_the_kernel_distance_is_that_of_loops(pair):
    x, y = pair[0][:9], pair[1][:9]

    def kernel(a, b):
        return (a @ b / 6 + 1) ** 3

    different = list(itertools.permutations(range(9), 2))
    expected = np.mean([kernel(rows[i], rows[j]) for rows in (x, y) for i, j in different]) * 2
    expected -= 2 * np.mean([kernel(a, b) for a in x for b in y])
    mean, std = sample_quality.kernel_distance(x, y, subsets=3, size=50)
    assert mean == pytest.approx(expected, rel=1e-10) and std == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_of_two_points_and_of_mixtures_of_them():
    """k(a,a) + k(b,b) - 2 k(a,b) of a = (2, 0) and b = (0, 2), and none of equal mixtures."""
    points = np.tile(2 * np.eye(2), (400, 1))  # a, b, a, b, ...
    kinds = dict(subsets=20, size=400)
    mean, std = sample_quality.kernel_distance(points[::2], points[1::2], **kinds)
    assert mean == pytest.approx(2 * 3**3 - 2 * 1) and std == pytest.approx(0, abs=1e-9)
    mixed, std = sample_quality.kernel_distance(points, points[::-1], **kinds)
    assert abs(mixed) < 0.01 * mean


def test_the_kernel_distance_has_no_bias():
    """Of equal distributions its mean is 0 for any number of rows; it can be below 0."""
    random = np.random.default_rng(2)
    values = [
        sample_quality.kernel_distance(*random.normal(size=(2, 10, 4)), subsets=1)[0]
        for _ in range(2_000)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error < 0.2 and min(values) < 0


@pytest.mark.parametrize("classes", [2, 10])
def test_the_inception_score_of_known_probabilities(classes):
    certain = np.tile(np.eye(classes), (20, 1))
    assert sample_quality.inception_score(certain, 10) == pytest.approx((classes, 0))
    uncertain = np.full((20, classes), 1 / classes)
    assert sample_quality.inception_score(uncertain, 4) == pytest.approx((1, 0))
    mixed = 0.5 * certain + 0.5 / classes
    entropy = -np.sum(mixed[0] * np.log(mixed[0]))
    assert sample_quality.inception_score(mixed, 1)[0] == pytest.approx(classes / np.exp(entropy))


def test_precision_and_recall_are_those_of_loops(pair):
    real, generated = pair[0][:60], pair[1][:40]

    def covered(rows, others):
        radii = np.sort(distance.cdist(others, others), axis=1)[:, 3]
        return np.mean((distance.cdist(rows, others) <= radii).any(axis=1))

    expected = covered(generated, real), covered(real, generated)
    assert 0 < expected[0] < 1 and 0 < expected[1] < 1
    assert sample_quality.precision_and_recall(real, generated) == pytest.approx(expected)
    assert sample_quality.precision_and_recall(real + 1e6, generated + 1e6) == pytest.approx(
        expected
    )


def test_precision_and_recall_of_a_mixture_with_missing_modes(monkeypatch):
    """A generator of 4 of 8 modes and a tenth of noise: a few rows lie outside of all balls."""
    monkeypatch.setattr(sample_quality, "_ROWS", 100)
    random = np.random.default_rng(3)
    angles = 2 * np.pi * np.arange(8) / 8
    centres = 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    real = centres[np.arange(800) % 8] + 0.1 * random.normal(size=(800, 2))
    generated = centres[np.arange(720) % 4] + 0.1 * random.normal(size=(720, 2))
    noise = 200 + 50 * random.normal(size=(80, 2))
    precision, recall = sample_quality.precision_and_recall(
        real, np.concatenate([generated, noise])
    )
    assert 0.84 < precision <= 0.9 and 0.46 < recall <= 0.5


ROWS = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_quality.moments(np.ones((2, 3, 4))), r"shape \[2, 3, 4\]"),
        (lambda: sample_quality.moments(np.ones((0, 3))), r"shape \[0, 3\]"),
        (lambda: sample_quality.moments(np.full((2, 3), np.nan)), "not finite"),
        (
            lambda: sample_quality.frechet_distance(
                sample_quality.moments(ROWS), sample_quality.moments(ROWS[:1])
            ),
            "moments of 4 real and 1 generated images",
        ),
        (lambda: sample_quality.kernel_distance(ROWS, ROWS[:, :2]), "width 3 and 2"),
        (lambda: sample_quality.kernel_distance(ROWS, ROWS[:1]), "4 real and 1 generated"),
        (lambda: sample_quality.inception_score(ROWS), "probabilities of classes"),
        (lambda: sample_quality.inception_score(ROWS / 3, 5), "use 1 to 4 splits"),
        (lambda: sample_quality.precision_and_recall(ROWS, ROWS, 4), "fewer neighbours"),
    ],
)
def test_mistakes_are_one_sentence(call, message):
    with pytest.raises(contracts.UserError, match=message):
        call()
