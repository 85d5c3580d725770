"""Estimators by name against closed forms, other implementations and the bounds themselves."""

import math

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn import feature_selection

from dim_jax import bounds, contracts, mi
from dim_jax.mi import gaussian_copula, methods, named_bounds, nearest_neighbours

RHO = 0.8
TRUTH = -0.5 * math.log(1 - RHO**2)


def correlated(count, columns=1, rho=RHO, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, columns))
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=(count, columns))


# The scores that a method takes, as those of the bound: "nwj" is trained and valued at 1 + T.
VALUES = {
    "infonce": bounds.infonce,
    "symmetric_infonce": bounds.symmetric_infonce,
    "donsker_varadhan": bounds.donsker_varadhan,
    "mine": bounds.donsker_varadhan,
    "nwj": lambda scores: bounds.nwj(scores + 1),
    "tuba": lambda scores: bounds.tuba(scores, log_baseline=0.0),
    "js_nwj": bounds.js_nwj,
    "smile": lambda scores: bounds.smile(scores, tau=5.0),
    "club": bounds.club,
}


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    return 2 * rng.normal(size=(40, 40)) + 3 * np.eye(40)


def test_the_shares_of_samples_have_the_bound_as_their_mean(scores):
    assert VALUES.keys() == methods.BOUNDS.keys()
    expected = jax.jit(lambda s: {name: of(s) for name, of in VALUES.items()})(scores)
    for name, bound in methods.BOUNDS.items():
        np.testing.assert_allclose(bound.shares(scores).mean(), expected[name], rtol=1e-4)


@pytest.mark.parametrize("name", VALUES)
def test_the_shares_are_the_influence_of_samples(scores, name):
    shares = methods.BOUNDS[name].shares
    without = [
        shares(np.delete(np.delete(scores, i, axis=0), i, axis=1)).mean()
        for i in range(len(scores))
    ]
    # To first order in 1 / n: a sample less changes the mean by (mean - share) / (n - 1).
    assert np.corrcoef(shares(scores), without)[0, 1] < -0.98
    slope = np.polyfit(shares(scores), without, 1)[0] * (1 - len(scores))
    assert 0.8 < slope < 1.25


def test_shares_of_large_scores_do_not_overflow_where_a_log_is():
    for name in ("donsker_varadhan", "infonce", "smile"):
        assert np.isfinite(methods.BOUNDS[name].shares(1000.0 * np.eye(5) + 900)).all()


@pytest.fixture
def small(monkeypatch):
    """Networks that are fitted in little time."""
    monkeypatch.setattr(named_bounds, "_STEPS", 120)


def test_a_bound_with_a_memory(small):
    x, y = correlated(400)
    estimate = mi.estimate(x, y, method="mine", permutations=50)
    assert abs(estimate.nats - TRUTH) < 0.15
    assert estimate.p_value == 1 / 51 and estimate.null.max() < estimate.nats
    assert estimate.guaranteed is None and "bound" not in estimate.label
    assert estimate.method == "mine" and len({point.fold for point in estimate.curve}) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["infonce", "club"])
def test_bounds_of_correlated_normals(small, name):
    x, y = correlated(500)
    estimate = mi.estimate(x, y, method=name, permutations=50)
    truth = RHO**2 / (1 - RHO**2) if name == "club" else TRUTH
    assert abs(estimate.nats - truth) < (0.6 if name == "club" else 0.12)
    facts = getattr(bounds, name).facts[0]
    assert (estimate.guaranteed is not None) == (facts.kind == "lower bound")
    assert ("bound" in estimate.label) == ("bound" in facts.kind)
    assert estimate.reliable == (name != "club")
    if name == "infonce":
        assert "log n = 4.61" in estimate.label


@pytest.mark.slow
def test_what_a_bound_adds_given_another_column(small):
    z, a, b = np.random.default_rng(0).normal(size=(3, 500))
    estimate = mi.estimate(z + a, z + b, given=z, method="tuba", permutations=50)
    assert abs(estimate.nats) < 0.1 and estimate.p_value > 0.02
    assert estimate.guaranteed is None and "difference" in estimate.label


def test_a_value_that_is_not_finite_is_said_not_to_be_reliable(monkeypatch):
    class Huge:
        curve = ()

        def score(self, x, y):
            return 1000.0 * (x[:, :1] + y[:, 0])

    monkeypatch.setattr(named_bounds.network, "fit", lambda *_, **__: Huge())
    estimate = mi.estimate(*correlated(100), method="nwj", permutations=20)
    assert estimate.nats == -math.inf and estimate.guaranteed == 0
    assert not estimate.reliable and "not finite" in estimate.why
    assert 0 < estimate.p_value <= 1


def test_neighbours_are_those_of_scikit_learn():
    x, y = correlated(500)
    expected = feature_selection.mutual_info_regression(
        x, y[:, 0], n_neighbors=nearest_neighbours.NEIGHBOURS, random_state=0
    )
    estimate = mi.estimate(x, y, method="knn", permutations=20)
    np.testing.assert_allclose(estimate.nats, expected[0], atol=1e-6)
    assert estimate.p_value == 1 / 21 and abs(estimate.null.mean()) < 0.05
    assert abs(estimate.nats - TRUTH) < 3 * estimate.standard_error


def test_neighbours_given_another_column():
    x, y = correlated(1000, seed=2)
    z = np.random.default_rng(1).normal(size=1000)
    estimate = mi.estimate(x + 2 * z[:, None], y + 2 * z[:, None], given=z, method="knn")
    assert abs(estimate.nats - TRUTH) < 0.15
    chain = mi.estimate(x, z, given=y, method="knn", permutations=100)
    assert abs(chain.nats) < 0.1


def test_equal_values_have_neighbours():
    x, y = correlated(500)
    estimate = mi.estimate(np.round(x, 1), y, method="knn", permutations=200)
    assert abs(estimate.nats - TRUTH) < 0.2
    assert any("noise of 1e-10" in note for note in estimate.notes)
    assert any(note.startswith("permutations: 99") for note in estimate.notes)
    assert estimate.nats == mi.estimate(np.round(x, 1), y, method="knn", permutations=0).nats


def test_neighbours_of_many_columns_are_not_reliable():
    estimate = mi.estimate(*correlated(300, 5), method="knn", permutations=0)
    assert not estimate.reliable and "10 columns" in estimate.why


def test_gaussian_of_any_margins():
    x, y = correlated(2000, 3)
    estimate = mi.estimate(np.exp(x), y**3, method="gaussian", permutations=100)
    assert abs(estimate.nats - 3 * TRUTH) < 3 * estimate.standard_error < 0.3
    assert estimate.p_value == 1 / 101 and not estimate.reliable


def test_gaussian_has_no_bias_and_the_error_that_it_says():
    values, errors, p_values = [], [], []
    for seed in range(120):
        x, y = correlated(60, 2, rho=0.5, seed=seed)
        estimate = gaussian_copula.measure(x, y)
        values.append(estimate.value)
        errors.append(np.hypot(np.std(estimate.influence) / np.sqrt(60), estimate.noise))
        x, y = correlated(60, 2, rho=0.0, seed=seed)
        random = np.random.default_rng(seed)
        null = gaussian_copula.measure(x, y, permutations=99, random=random)
        p_values.append(np.mean(null.null >= null.value))
    assert abs(np.mean(values) + math.log(1 - 0.5**2)) < 3 * np.std(values) / np.sqrt(120)
    assert 0.75 < np.mean(errors) / np.std(values) < 1.25
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_gaussian_given_another_column():
    x, y = correlated(2000)
    z = np.random.default_rng(1).normal(size=2000)
    estimate = mi.estimate(x + z[:, None], y + z[:, None], given=z, method="gaussian")
    assert abs(estimate.nats - TRUTH) < 3 * estimate.standard_error


def test_columns_that_depend_on_others_count_once():
    x, y = correlated(300, 2)
    twice = np.concatenate([x, x[:, :1]], axis=1)
    once = gaussian_copula.measure(x, y).value
    np.testing.assert_allclose(gaussian_copula.measure(twice, y).value, once, rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "y", "message"),
    [
        ("nwjj", None, "unknown method 'nwjj': did you mean 'nwj'"),
        ("jensen_shannon", None, "unknown method 'jensen_shannon'"),
        ("knn", np.arange(60) % 3, "method knn is for continuous columns, and y has classes"),
        ("club", np.arange(60) % 3, "method club is for continuous columns, and y has classes"),
        ("gaussian", np.random.default_rng(1).normal(size=(60, 60)), "60 samples of 60 columns"),
    ],
)
def test_mistakes(method, y, message):
    x, other = correlated(60)
    with pytest.raises(contracts.UserError, match=message):
        mi.estimate(x, other if y is None else y, method=method)
