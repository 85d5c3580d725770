import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from sklearn import datasets, svm as sklearn_svm

from dim_jax import contracts
from dim_jax.evaluate import accuracy, controls, protocols, svm

SETTINGS = protocols.PROTOCOLS["svm-v1"]


@pytest.fixture(scope="module")
def problem():
    """Standardised digits f32[400,64] with the labels 0 to 9."""
    rows, labels = datasets.load_digits(return_X_y=True)
    rows, labels = rows[:400].astype(np.float32), labels[:400].astype(np.int32)
    shift, scale = accuracy.statistics(rows)
    return (rows - shift) * scale, labels


def solve(rows, labels, cost, used=None, tolerance=1e-4):
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0).astype(np.float32)
    costs = jnp.asarray([cost], jnp.float32)
    zeros = svm.Machines(jnp.zeros((1, 10, rows.shape[1])), jnp.zeros((1, 10)))
    used = np.ones(len(rows), np.float32) if used is None else used
    bound = svm.quadratic_bound(rows)
    return svm.solve(rows, targets, costs, bound, used, zeros, tolerance=tolerance, steps=2000)


def minimum(rows, target, cost):
    """The minimiser and the minimum of the objective in float64, by another algorithm."""
    rows = np.asarray(rows, np.float64)

    def objective(variables):
        weights, intercept = variables[:-1], variables[-1]
        violation = np.maximum(0, 1 - target * (rows @ weights + intercept))
        slope = -2 * cost * target * violation
        gradient = np.append(weights + rows.T @ slope, slope.sum())
        return weights @ weights / 2 + cost * np.sum(violation**2), gradient

    start = np.zeros(rows.shape[1] + 1)
    options = {"maxiter": 20000, "maxfun": 20000, "gtol": 1e-10, "ftol": 1e-15}
    return optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x


@pytest.mark.parametrize("cost", [1e-5, 1e-3, 3e-2])
def test_reaches_the_minimum_of_the_objective(problem, cost):
    rows, labels = problem
    machines = solve(rows, labels, cost)
    for label in (0, 7):
        best = minimum(rows, np.where(labels == label, 1.0, -1.0), cost)
        size = np.abs(best[:-1]).max()
        np.testing.assert_allclose(machines.weights[0, label], best[:-1], atol=2e-3 * size)
        np.testing.assert_allclose(machines.intercepts[0, label], best[-1], atol=2e-3)


def test_examples_not_used_have_no_influence(problem):
    rows, labels = problem
    rows = np.asarray(rows - rows[:300].mean(0))
    used = (np.arange(400) < 300).astype(np.float32)
    poisoned = np.where(np.arange(400) < 300, labels, 3)
    all_machines = solve(rows, poisoned, 1e-3, used)
    part = solve(rows[:300], labels[:300], 1e-3)
    np.testing.assert_allclose(all_machines.weights, part.weights, atol=2e-4)
    np.testing.assert_allclose(all_machines.intercepts, part.intercepts, atol=2e-3)


def test_quadratic_bound_is_the_spectrum_of_the_gram_matrix():
    rows = np.random.default_rng(0).normal(size=(2500, 7)).astype(np.float32)
    values, vectors = svm.quadratic_bound(rows)
    np.testing.assert_allclose(
        vectors @ np.diag(values) @ vectors.T, rows.T @ rows, rtol=1e-3, atol=0.1
    )


@pytest.mark.parametrize("centred", [True, False])
def test_compact_keeps_all_inner_products(centred):
    random = np.random.default_rng(0)
    rows, others = random.normal(size=(6, 20)), random.normal(size=(4, 20))
    mean = rows.mean(0)
    if centred:
        rows, mean = rows - mean, np.zeros(20)
    small, to_small = svm._compact(jnp.asarray(rows, jnp.float32), centred)
    assert small.shape == (6, 6)
    expected = (others - mean) @ (rows - mean).T
    found = to_small(jnp.asarray(others, jnp.float32)) @ small.T
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_parts_are_stratified():
    labels = np.repeat(np.arange(3), [10, 25, 2])
    part = svm.stratified(labels, 5, np.random.default_rng(0))
    for label, most in ((0, 2), (1, 5), (2, 1)):
        counts = np.bincount(part[labels == label], minlength=5)
        assert counts.max() == most and counts.sum() == np.sum(labels == label)
    assert not np.array_equal(part, svm.stratified(labels, 5, np.random.default_rng(1)))


def test_as_good_as_the_best_linear_svc_on_digits(digits, rng):
    found = svm.evaluate(controls.pixels(), digits.splits, rng, taps=("pixels",))
    train, test = (digits.splits[name] for name in ("train", "test"))
    rows = [
        split.images.reshape(len(split.images), -1).astype(np.float64) for split in (train, test)
    ]
    shift, scale = accuracy.statistics(rows[0].astype(np.float32))
    rows = [np.asarray((each - shift) * scale) for each in rows]
    costs = np.array(SETTINGS.strengths) / len(rows[0])
    scores = [
        sklearn_svm.LinearSVC(C=cost, dual=False, intercept_scaling=10.0)
        .fit(rows[0], train.labels)
        .score(rows[1], test.labels)
        for cost in costs
    ]
    assert min(abs(found["pixels/accuracy"] - score) for score in scores) < 0.004
    assert found["pixels/accuracy"] > max(scores) - 0.015
    assert found["pixels/accuracy_fits"] == 1 and "pixels/accuracy_std" not in found


def test_strength_is_chosen_on_held_out_training_examples():
    # 30 examples, 200 features, 1 of them informative: only a strong penalty generalises.
    random = np.random.default_rng(0)
    labels = np.arange(30, dtype=np.int32) % 2
    rows = random.normal(size=(30, 200))
    rows[:, :20] += 2.0 * (labels[:, None] - 0.5)
    rows = jnp.asarray(rows - rows.mean(0), jnp.float32)
    compact, _ = svm._compact(rows, centred=True)
    settings = SETTINGS._replace(strengths=(1e-9, 1.0))
    _, best = svm._select(settings, compact, labels, 2, seed=0)
    assert settings.strengths[best] == 1.0


def test_few_labels_and_permuted_labels(digits, rng):
    frozen = controls.pixels()
    few = svm.evaluate(frozen, digits.splits, rng, taps=("pixels",), labels_per_class=5, subsets=2)
    assert few["pixels/accuracy_fits"] == 2 and 0.6 < few["pixels/accuracy"] < 0.95
    train = digits.splits["train"]
    labels = np.random.default_rng(0).permutation(train.labels)
    splits = {**digits.splits, "train": train._replace(labels=labels)}
    found = svm.evaluate(frozen, splits, rng, taps=("pixels",))
    assert abs(found["pixels/accuracy"] - 0.1) < 0.05


def test_unknown_protocol(digits, rng):
    with pytest.raises(contracts.UserError, match="unknown SVM protocol"):
        svm.evaluate(controls.pixels(), digits.splits, rng, protocol="svm", taps=("pixels",))
