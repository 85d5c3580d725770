import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.measures import prior_fit
from dim_jax.losses import priors


def evaluate(rows, rng, **options):
    """The evaluation of a representation whose test features are `rows` f[n,d]."""
    index = np.arange(len(rows), dtype=np.uint8).reshape(-1, 1, 1, 1)
    split = dataset.Split(index, np.full(len(rows), -1, np.int32))
    table = jnp.asarray(rows, jnp.float32)
    frozen = contracts.Frozen(jax.jit(lambda images: {"y": table[images[:, 0, 0, 0]]}))
    return prior_fit.evaluate(frozen, {"test": split}, rng, **options)


def test_exact_quantiles_reach_the_smallest_distance(rng):
    levels = (np.arange(200) + 0.5) / 200
    rows = np.stack([special.logit(levels), special.logit(levels[::-1])], axis=1)
    found = evaluate(rows, rng)
    assert found == {
        "y/kolmogorov_uniform": pytest.approx(0.5 / 200, rel=1e-3),
        "y/kolmogorov_uniform_passed": 1.0,
    }
    gaussian = evaluate(stats.norm.ppf(levels)[:, None], rng, prior="gaussian")
    assert gaussian["y/kolmogorov_gaussian"] == pytest.approx(0.5 / 200, rel=1e-3)


def test_mean_over_coordinates_of_the_textbook_statistic(rng):
    rows = np.random.default_rng(0).normal([0.0, 2.0, 0.0], [1.0, 1.0, 5.0], (150, 3))
    for prior, height in (("uniform", special.expit), ("gaussian", stats.norm.cdf)):
        distances = []
        for column in height(rows).T:
            column, ranks = np.sort(column), np.arange(151) / 150
            distances.append(max((ranks[1:] - column).max(), (column - ranks[:-1]).max()))
        found = evaluate(rows, rng, prior=prior)[f"y/kolmogorov_{prior}"]
        assert found == pytest.approx(np.mean(distances), rel=1e-4)


def test_a_collapsed_representation_is_half_off(rng):
    assert evaluate(np.zeros((50, 4)), rng)["y/kolmogorov_uniform"] == pytest.approx(0.5)


def test_the_level_of_the_test_is_the_share_of_a_true_sample_that_fails():
    """2,000 coordinates of samples of 500; a deviation of 1.5 is nearly always found."""
    rows = np.random.default_rng(0).normal(size=(500, 2000))
    assert np.mean(prior_fit.p_values(rows, "gaussian") > 0.01) == pytest.approx(0.99, abs=0.01)
    assert np.mean(prior_fit.p_values(1.5 * rows, "gaussian") > 0.01) < 0.05


def test_passed_is_the_share_above_the_level_of_one_percent(rng):
    """Of 300 coordinates with deviations between 1 and 1.5, by SciPy's asymptotic test."""
    scales = np.linspace(1, 1.5, 300)
    rows = (scales * np.random.default_rng(0).normal(size=(200, 300))).astype(np.float32)
    levels = [stats.ks_1samp(column, stats.norm.cdf, method="asymp").pvalue for column in rows.T]
    passed = evaluate(rows, rng, prior="gaussian")["y/kolmogorov_gaussian_passed"]
    assert passed == pytest.approx(np.mean(np.array(levels) > 0.01))
    assert np.mean(np.array(levels) > 0.05) < passed - 0.05


def test_the_distance_is_of_all_images_and_the_test_of_500(rng, monkeypatch):
    seen = []
    textbook = prior_fit._tests
    monkeypatch.setattr(
        prior_fit, "_tests", lambda rows, prior: seen.append(len(rows)) or textbook(rows, prior)
    )
    monkeypatch.setattr(prior_fit.features, "extract", lambda *_: {"y": np.zeros((700, 2))})
    prior_fit.evaluate(None, {"test": None}, rng)
    assert seen == [700, 500]


def test_normality_is_of_any_mean_and_variance(rng):
    """One column of each law; that of the normal one is shifted and scaled."""
    draws = np.random.default_rng(1)
    columns = (3 * draws.normal(size=200) + 5, draws.uniform(size=200), draws.exponential(size=200))
    rows = np.stack([*columns, np.full(200, 7.0)], axis=1)
    expected = [stats.normaltest(column).pvalue for column in columns]
    np.testing.assert_allclose(prior_fit.normality(rows)[:3], expected)
    assert expected[0] > 0.05 > max(expected[1:])
    found = evaluate(rows, rng, prior="gaussian")
    assert found["y/normality_passed"] == 0.25 and found["y/kolmogorov_gaussian_passed"] == 0
    assert "y/normality_passed" not in evaluate(rows, rng)
    assert "y/normality_passed" not in evaluate(rows[:19], rng, prior="gaussian")


def test_the_share_of_normal_columns_that_pass():
    rows = np.random.default_rng(0).normal(size=(500, 2000))
    assert np.mean(prior_fit.normality(rows) > 0.05) == pytest.approx(0.95, abs=0.015)


def test_unknown_prior(rng):
    with pytest.raises(contracts.UserError, match="did you mean 'uniform'"):
        evaluate(np.zeros((3, 1)), rng, prior="unifrom")


def test_marginals_in_a_ball_and_on_a_sphere_are_those_of_closed_forms(rng):
    """Arcsine law on a circle, uniform on a sphere of three coordinates, semicircle in a disc."""
    rows = np.random.default_rng(0).normal(size=(60, 3))
    circle = rows[:, :2] / np.linalg.norm(rows[:, :2], axis=1, keepdims=True)
    globe = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    disc = rows[:, :2] / np.sqrt(1 + np.sum(rows[:, :2] ** 2, axis=1, keepdims=True))
    semicircle = 0.5 + (disc * np.sqrt(1 - disc**2) + np.arcsin(disc)) / np.pi
    for prior, given, heights in (
        ("sphere", rows[:, :2], 0.5 + np.arcsin(circle) / np.pi),
        ("sphere", rows, (1 + globe) / 2),
        ("ball", rows[:, :2], semicircle),
    ):
        expected = [stats.kstest(column, "uniform").statistic for column in heights.T]
        np.testing.assert_allclose(prior_fit.distances(given, prior), expected, rtol=1e-9)
    with pytest.raises(contracts.UserError, match="one coordinate and the prior 'sphere'"):
        evaluate(rows[:, :1], rng, prior="sphere")


@pytest.mark.parametrize("prior", ["ball", "sphere"])
def test_draws_from_ball_and_sphere_pass(prior):
    drawn = getattr(priors, prior)().sample(jax.random.key(0), (500, 64))
    # The inverse of the squashing: y / sqrt(1 - |y|^2) in the ball, any length on the sphere.
    lengths = np.linalg.norm(drawn, axis=1, keepdims=True)
    rows = 3 * drawn if prior == "sphere" else drawn / np.sqrt(1 - lengths**2)
    assert np.mean(prior_fit.p_values(np.asarray(rows), prior) > 0.01) >= 0.95
    assert np.mean(prior_fit.p_values(np.asarray(rows) + 0.1 * 3, prior) > 0.01) < 0.2
