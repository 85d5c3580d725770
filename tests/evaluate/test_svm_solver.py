import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize
from sklearn import datasets
from sklearn import svm as sklearn_svm

from dim_jax.evaluate import gram
from dim_jax.evaluate.probes import labelled, svm_solver


@pytest.fixture(scope="module")
def problem():
    """Standardised digits f32[400,64] with the labels 0 to 9."""
    rows, labels = datasets.load_digits(return_X_y=True)
    rows, labels = rows[:400].astype(np.float32), labels[:400].astype(np.int32)
    shift, scale = labelled.statistics(rows)
    return (rows - shift) * scale, labels


def solve(rows, labels, cost, used=None, tolerance=1e-4):
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0).astype(np.float32)
    zeros = svm_solver.Machines(jnp.zeros((10, rows.shape[1])), jnp.zeros(10))
    used = np.ones(len(rows), np.float32) if used is None else used
    squares = gram.gram(rows)
    problem = svm_solver.Problem(rows, targets, squares, np.float32(cost), used)
    return svm_solver.solve(problem, zeros, tolerance=tolerance, steps=2000)


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


@pytest.mark.parametrize("shape", [(5, 7), (1024, 7), (2500, 7), (300, 2100)])
def test_the_gram_matrix_in_chunks_of_rows_and_blocks_of_columns(shape):
    rows = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(gram.gram(rows), rows.T @ rows, rtol=1e-3, atol=1e-3)


HINGE = {"tolerance": 1e-3, "steps": 200, "rounds": 5}  # of "svm-hinge-v1"


def hinge_problem(rows, labels, cost, width=0.1):
    targets = np.where(labels[:, None] == np.arange(10), 1.0, -1.0).astype(np.float32)
    used = np.ones(len(rows), np.float32)
    squares = gram.gram(rows)
    return svm_solver.Problem(rows, targets, squares, np.float32(cost), used, width)


def zeros(rows, count=10):
    return svm_solver.Machines(jnp.zeros((count, rows.shape[1])), jnp.zeros(count))


def violations(problem, machines):
    rows, targets, weights, intercepts = (
        np.asarray(array, np.float64) for array in (problem.rows, problem.targets, *machines)
    )
    return 1 - targets * (rows @ weights.T + intercepts)


def hinge_objective(problem, machines):
    """|w|^2 / 2 + cost * sum of max(0, u), in float64, for each class."""
    losses = np.maximum(0, violations(problem, machines)).sum(0)
    weights = np.asarray(machines.weights, np.float64)
    return np.sum(weights**2, axis=1) / 2 + float(problem.cost) * losses


def exact(problem):
    """The machines of LIBSVM's dual solver, whose intercept is free as ours."""
    rows = np.asarray(problem.rows, np.float64)
    made = [
        sklearn_svm.SVC(C=float(problem.cost), kernel="linear", tol=1e-6).fit(rows, target)
        for target in np.asarray(problem.targets).T
    ]
    return svm_solver.Machines(
        np.stack([machine.coef_[0] for machine in made]),
        np.array([machine.intercept_[0] for machine in made]),
    )


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0, 100.0])
def test_hinge_objective_is_within_one_percent_of_the_least(problem, strength):
    made = hinge_problem(*problem, strength / 400)
    least = hinge_objective(made, exact(made))
    found = hinge_objective(made, svm_solver.minimise(made, zeros(made.rows), **HINGE))
    assert np.all(found > least * (1 - 1e-4))
    assert np.max(found / least) < 1.01
    squared = svm_solver.minimise(made._replace(width=None), zeros(made.rows), **HINGE)
    assert np.max(hinge_objective(made, squared) / least) > 1.02  # another problem


def test_rounds_remove_what_the_rounding_of_the_hinge_costs(problem):
    made = hinge_problem(*problem, 100 / 400, width=0.3)
    least = hinge_objective(made, exact(made))
    options = {"tolerance": 1e-4, "steps": 2000}
    excess = [
        np.max(
            hinge_objective(
                made, svm_solver.minimise(made, zeros(made.rows), rounds=rounds, **options)
            )
            / least
            - 1
        )
        for rounds in (1, 4, 16)
    ]
    assert excess[0] > 0.05 and excess[1] < excess[0] / 3 and excess[2] < excess[1] / 2


def test_the_stated_gap_bounds_the_excess_of_the_hinge(problem):
    made = hinge_problem(*problem, 10 / 400)._replace(slopes=jnp.full((400, 10), 0.5))
    machines = svm_solver.solve(made, zeros(made.rows), tolerance=1e-5, steps=5000)
    slopes, violation = np.asarray(svm_solver.slopes(made, machines)), violations(made, machines)
    assert slopes.min() == 0 and slopes.max() == 1
    gap = float(made.cost) * np.sum(np.maximum(0, violation) - slopes * violation, axis=0)
    excess = hinge_objective(made, machines) - hinge_objective(made, exact(made))
    assert np.all(excess > 0) and np.all(excess < gap * 1.02) and np.all(gap < 5 * excess)


@pytest.mark.parametrize("width", [None, 0.1])
def test_machines_with_examples_of_their_own_are_as_if_alone(problem, width):
    rows, labels = problem
    made = hinge_problem(rows, labels, 1e-2, width)
    parts = np.arange(400) % 2
    options = {**HINGE, "tolerance": 1e-5, "steps": 3000}
    alone = [
        svm_solver.minimise(made._replace(used=np.float32(parts != part)), zeros(rows), **options)
        for part in (0, 1)
    ]
    both = made._replace(
        targets=np.tile(made.targets, (1, 2)),
        used=np.repeat(np.float32(parts[:, None] != [0, 1]), 10, axis=1),
    )
    together = svm_solver.minimise(both, zeros(rows, 20), **options)
    for index, one in enumerate(alone):
        mine = slice(10 * index, 10 * index + 10)
        np.testing.assert_allclose(together.weights[mine], one.weights, atol=2e-3)
        np.testing.assert_allclose(together.intercepts[mine], one.intercepts, atol=1e-2)
