import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from sklearn import datasets

from dim_jax.evaluate import accuracy, hinge


@pytest.fixture(scope="module")
def problem():
    """Standardised digits f32[400,64] with the labels 0 to 9."""
    rows, labels = datasets.load_digits(return_X_y=True)
    rows, labels = rows[:400].astype(np.float32), labels[:400].astype(np.int32)
    shift, scale = accuracy.statistics(rows)
    return (rows - shift) * scale, labels


def solve(rows, labels, cost, used=None, tolerance=1e-4):
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0).astype(np.float32)
    zeros = hinge.Machines(jnp.zeros((10, rows.shape[1])), jnp.zeros(10))
    used = np.ones(len(rows), np.float32) if used is None else used
    bound = hinge.quadratic_bound(rows)
    problem = hinge.Problem(rows, targets, bound, np.float32(cost), used)
    return hinge.solve(problem, zeros, tolerance=tolerance, steps=2000)


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
        np.testing.assert_allclose(machines.weights[label], best[:-1], atol=5e-3 * size)
        np.testing.assert_allclose(machines.intercepts[label], best[-1], atol=5e-3)


def test_examples_not_used_have_no_influence(problem):
    rows, labels = problem
    rows = np.asarray(rows - rows[:300].mean(0))
    used = (np.arange(400) < 300).astype(np.float32)
    poisoned = np.where(np.arange(400) < 300, labels, 3)
    all_machines = solve(rows, poisoned, 1e-3, used)
    part = solve(rows[:300], labels[:300], 1e-3)
    np.testing.assert_allclose(all_machines.weights, part.weights, atol=2e-4)
    np.testing.assert_allclose(all_machines.intercepts, part.intercepts, atol=2e-3)


@pytest.mark.parametrize("count", [5, 1024, 2500])
def test_quadratic_bound_is_the_spectrum_of_the_gram_matrix(count):
    rows = np.random.default_rng(0).normal(size=(count, 7)).astype(np.float32)
    values, vectors = hinge.quadratic_bound(rows)
    np.testing.assert_allclose(
        vectors @ np.diag(values) @ vectors.T, rows.T @ rows, rtol=1e-3, atol=0.1
    )
