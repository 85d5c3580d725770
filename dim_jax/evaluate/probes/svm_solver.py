"""Minimisers of a hinge loss with an L2 penalty: linear SVMs, one class against all.

Accelerated gradient steps in the metric of a quadratic bound. The squared hinge never curves more
than c = 2 cost (x, 1)(x, 1)^T per example, so with M = I + c rows^T rows every step
w - M^-1 gradient lowers the loss, whatever the conditioning of the features. Momentum restarts
where it points uphill. M is factorised anew for each cost (Cholesky), which takes a fraction of the
time of the one eigendecomposition that would serve all of them.

The hinge max(0, u) of the violation u = 1 - t (w.x + b) has a corner. It is the largest a u of
slopes a in [0, 1]; here a u - (a - a0)^2 width / 2 is maximised instead, which is smooth, so that
c = cost / width. Solved again with the resulting slopes as the new a0 (the method of multipliers),
the rounding goes away. The distance of a solution to the least objective follows without it: its
slopes times cost are feasible for the dual problem, and the gap is cost * sum_i (max(0, u_i) -
a_i u_i), plus what `tolerance` leaves. With width 0.1 and five rounds of at most 200 steps the
objective on 400 standardised digits is within 0.9 % of the least where cost * n is up to 100, 0.1 %
up to 10.

Source: Nesterov 1983; O'Donoghue and Candes 2015 (restart); Rockafellar 1976 (multipliers).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import threadpoolctl


class Machines(NamedTuple):
    """Linear scores rows @ weights[k] + intercepts[k] for class k: f[k,d] and f[k]."""

    weights: jax.Array
    intercepts: jax.Array


class Problem(NamedTuple):
    """|w|^2 / 2 + cost * sum_i used_ik loss(1 - t_ik (w.x_i + b)), to be minimised per class k.

    rows: f[n,d], centred: the bound takes weights and intercepts apart.
    targets: +-1, f[n,k].
    squares: rows^T rows, f[d,d].
    cost: f[], positive.
    used: 1 or 0, f[n], or f[n,k] where it depends on the machine.
    width: None: loss(u) = max(0, u)^2. A positive number: the hinge max(0, u), rounded over this
      much of u where slopes is 0.5: half of it on either side.
    slopes: a0 of the hinge, f[] or f[n,k] in [0, 1].
    """

    rows: jax.Array
    targets: jax.Array
    squares: jax.Array
    cost: jax.Array
    used: jax.Array
    width: float | None = None
    slopes: jax.Array | float = 0.5


@jax.jit
def scores(machines: Machines, rows: jax.Array) -> jax.Array:
    """f[n,k], the larger the more of class k."""
    return rows @ machines.weights.T + machines.intercepts


def minimise(
    problem: Problem, start: Machines, *, tolerance: float, steps: int, rounds: int
) -> Machines:
    """The minimisers of the problem; a hinge is solved `rounds` times, rounded less each time."""
    if problem.width is None:
        return solve(problem, start, tolerance=tolerance, steps=steps)
    problem = problem._replace(slopes=jnp.full(problem.targets.shape, 0.5))
    machines = solve(problem, start, tolerance=tolerance, steps=steps)
    for _ in range(rounds - 1):
        problem = problem._replace(slopes=slopes(problem, machines))
        machines = solve(problem, machines, tolerance=tolerance, steps=steps)
    return machines


def solve(problem: Problem, start: Machines, *, tolerance: float, steps: int) -> Machines:
    """The minimisers of the rounded problem, one machine per class, searched from `start`.

    Args:
      tolerance: the gradient's length in the metric of the bound, relative to that at zero, at
        which a machine is good enough; the last of them ends the search.
      steps: the search ends after this many at most.
    """
    # Several BLAS threads are twice as slow here, and tens of times where cores are busy.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        return jax.block_until_ready(_solve(problem, start, tolerance, steps))


@functools.partial(jax.jit, static_argnames=("tolerance", "steps"))
def _solve(problem: Problem, start: Machines, tolerance: float, steps: int) -> Machines:
    factor = _factor(problem)
    zero = _gradient(problem, jax.tree.map(jnp.zeros_like, start))
    enough = tolerance**2 * _inner(zero, _towards_minimum(problem, factor, zero))

    def unfinished(carry) -> jax.Array:
        index, _, _, _, length = carry
        return (index < steps) & jnp.any(length > enough)

    def step(carry):
        index, here, ahead, speed, _ = carry
        gradient = _gradient(problem, ahead)
        move = _towards_minimum(problem, factor, gradient)
        there = jax.tree.map(jnp.subtract, ahead, move)
        difference = jax.tree.map(jnp.subtract, there, here)
        speed = jnp.where(_inner(gradient, difference) > 0, 1.0, speed)
        faster = (1 + jnp.sqrt(1 + 4 * speed**2)) / 2
        momentum = (speed - 1) / faster
        ahead = Machines(
            there.weights + momentum[:, None] * difference.weights,
            there.intercepts + momentum * difference.intercepts,
        )
        return index + 1, there, ahead, faster, _inner(gradient, move)

    carry = (0, start, start, jnp.ones_like(enough), jnp.full_like(enough, jnp.inf))
    return jax.lax.while_loop(unfinished, step, carry)[1]


def _gradient(problem: Problem, at: Machines) -> Machines:
    margins = problem.targets * scores(at, problem.rows)
    used = problem.used if problem.used.ndim == 2 else problem.used[:, None]
    slope = -problem.cost * problem.targets * _slope(problem, 1 - margins) * used
    # This order of the operands is four times as fast on a CPU as the transpose of the other.
    products = jax.lax.dot_general(slope, problem.rows, (((0,), (0,)), ((), ())))
    return Machines(at.weights + products, jnp.sum(slope, axis=0))


@jax.jit
def slopes(problem: Problem, at: Machines) -> jax.Array:
    """The derivative f[n,k] of the loss by the violation: for the hinge the a in [0, 1]."""
    return _slope(problem, 1 - problem.targets * scores(at, problem.rows))


def _slope(problem: Problem, violation: jax.Array) -> jax.Array:
    if problem.width is None:
        return 2 * jnp.maximum(violation, 0)
    return jnp.clip(problem.slopes + violation / problem.width, 0, 1)


def _curvature(problem: Problem) -> jax.Array:
    """The largest curvature of the loss of one example along the score."""
    return problem.cost * (2 if problem.width is None else 1 / problem.width)


def _factor(problem: Problem) -> jax.Array:
    """The lower triangular f[d,d] whose product with its transpose is M."""
    # Rounding may leave M with eigenvalues below 1 by this share of its largest entry.
    spare = 1e-6 * jnp.max(jnp.diagonal(problem.squares))
    identity = jnp.eye(len(problem.squares))
    curvature = _curvature(problem)
    return jnp.linalg.cholesky(identity * (1 + curvature * spare) + curvature * problem.squares)


def _towards_minimum(problem: Problem, factor: jax.Array, gradient: Machines) -> Machines:
    """M^-1 gradient."""
    weights = jax.scipy.linalg.cho_solve((factor, True), gradient.weights.T).T
    return Machines(weights, gradient.intercepts / (_curvature(problem) * len(problem.rows)))


def _inner(one: Machines, other: Machines) -> jax.Array:
    return jnp.sum(one.weights * other.weights, axis=-1) + one.intercepts * other.intercepts
