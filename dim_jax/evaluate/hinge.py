"""The minimiser of the squared hinge loss with an L2 penalty: linear SVMs, one class against all.

Accelerated gradient steps in the metric of a quadratic bound. The squared hinge never curves more
than 2 cost (x, 1)(x, 1)^T per example, so with M = I + 2 cost rows^T rows every step
w - M^-1 gradient lowers the loss, whatever the conditioning of the features. Momentum restarts
where it points uphill.

Source: Nesterov 1983; O'Donoghue and Candes 2015 (restart).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import threadpoolctl

from dim_jax.evaluate import gram


class Machines(NamedTuple):
    """Linear scores rows @ weights[k] + intercepts[k] for class k: f[k,d] and f[k]."""

    weights: jax.Array
    intercepts: jax.Array


class Bound(NamedTuple):
    """Eigenvalues f[d] and eigenvectors f[d,d] of rows^T rows."""

    values: jax.Array
    vectors: jax.Array


class Problem(NamedTuple):
    """|w|^2 / 2 + cost * sum_i used[i] max(0, 1 - t_ik (w.x_i + b))^2, to be minimised per class.

    rows: f[n,d], centred: the bound takes weights and intercepts apart.
    targets: +-1, f[n,k].
    bound: of rows, as from `quadratic_bound`.
    cost: f[], positive.
    used: 1 or 0, f[n].
    """

    rows: jax.Array
    targets: jax.Array
    bound: Bound
    cost: jax.Array
    used: jax.Array


def quadratic_bound(rows: jax.Array) -> Bound:
    """The bound of centred rows f[n,d]; it serves every cost and every part of the rows."""
    # Several BLAS threads are twice as slow here, and tens of times where cores are busy.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        values, vectors = jax.block_until_ready(jnp.linalg.eigh(gram.gram(rows)))
    return Bound(jnp.maximum(values, 0.0), vectors)


@jax.jit
def scores(machines: Machines, rows: jax.Array) -> jax.Array:
    """f[n,k], the larger the more of class k."""
    return rows @ machines.weights.T + machines.intercepts


@functools.partial(jax.jit, static_argnames=("tolerance", "steps"))
def solve(problem: Problem, start: Machines, *, tolerance: float, steps: int) -> Machines:
    """The minimisers, one machine per class, found from `start`.

    Args:
      tolerance: the gradient's length in the metric of the bound, relative to that at zero, at
        which a machine is good enough; the last of them ends the search.
      steps: the search ends after so many, come what may.
    """
    zero = _gradient(problem, jax.tree.map(jnp.zeros_like, start))
    enough = tolerance**2 * _inner(zero, _towards_minimum(problem, zero))

    def unfinished(carry) -> jax.Array:
        index, _, _, _, length = carry
        return (index < steps) & jnp.any(length > enough)

    def step(carry):
        index, here, ahead, speed, _ = carry
        gradient = _gradient(problem, ahead)
        move = _towards_minimum(problem, gradient)
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
    violation = jnp.maximum(1 - margins, 0) * problem.used[:, None]
    slope = -2 * problem.cost * problem.targets * violation
    # This order of the operands is four times as fast on a CPU as the transpose of the other.
    products = jax.lax.dot_general(slope, problem.rows, (((0,), (0,)), ((), ())))
    return Machines(at.weights + products, jnp.sum(slope, axis=0))


def _towards_minimum(problem: Problem, gradient: Machines) -> Machines:
    """M^-1 gradient."""
    values, vectors = problem.bound
    turned = gradient.weights @ vectors / (1 + 2 * problem.cost * values)
    intercepts = gradient.intercepts / (2 * problem.cost * len(problem.rows))
    return Machines(turned @ vectors.T, intercepts)


def _inner(one: Machines, other: Machines) -> jax.Array:
    return jnp.sum(one.weights * other.weights, axis=-1) + one.intercepts * other.intercepts
