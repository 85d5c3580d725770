"""An encoder trained so that no linear classifier of its codes can tell the classes apart.

A game: the classifier is the ridge regression of one-hot labels on standardised codes, fitted in
closed form to fresh images before every few steps of the encoder; the encoder lowers the covariance
of its outputs and the labels. Where it is 0 for every classifier, the classes have one mean, and no
affine classifier is better than a constant (Belrose et al. 2023). A bijective encoder loses no
information by it.

Source: Tschannen et al. 2020, section 3.1, for the question. The game is ours: maximising the
cross-entropy of a classifier trained by gradients, as in the paper from memory, let codes grow
without limit.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.halves_of_digits import Encoder, Halves

Tree = Any
CLASSES = 10


class Plan(NamedTuple):
    """How the game is played.

    points: the steps of the encoder after which it is measured.
    batch: examples of a step. fitted: examples a classifier is fitted to, every `every` steps.
    ridge: added to the variances, as a multiple. limit: above this magnitude a code costs `cost`
      times the square of the rest, so that codes do not grow without limit.
    """

    points: tuple[int, ...]
    batch: int = 128
    fitted: int = 2048
    every: int = 2
    learning_rate: float = 5e-4
    ridge: float = 1e-3
    limit: float = 2.0
    cost: float = 0.1


def train(encoder: Encoder, halves: Halves, plan: Plan, seed: int) -> Iterator[tuple[int, Tree]]:
    """(step, parameters of the encoder) at each point of the plan."""
    key = jax.random.key(seed)
    params = jax.jit(encoder.init)(key, halves.x[:2])
    state = params, _optimizer(plan).init(params)
    chunk, step = math.gcd(*plan.points), 0
    for point in plan.points:
        for start in range(step, point, chunk):
            state = _steps(encoder, plan, state, halves, jax.random.fold_in(key, start), chunk)
        step = point
        yield step, state[0]


def _optimizer(plan: Plan) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(plan.learning_rate, plan.points[-1]))


@functools.partial(jax.jit, static_argnums=(0, 1, 5))
def _steps(encoder: Encoder, plan: Plan, state, halves: Halves, key: jax.Array, steps: int):
    """The state, (params, optimizer), after `steps` steps, a multiple of `plan.every`."""

    def drawn(key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
        rows = jax.random.randint(key, (count,), 0, len(halves.labels))
        return halves.x[rows], jax.nn.one_hot(halves.labels[rows], CLASSES)

    def fit_and_move(state, key):
        of_fit, of_steps = jax.random.split(key)
        x, targets = drawn(of_fit, plan.fitted)
        centre, weights = classifier(encoder.encode(state[0], x), targets, plan.ridge)

        def move(state, key):
            params, optimizer = state
            gradient = jax.grad(cost)(params, *drawn(key, plan.batch))
            updates, optimizer = _optimizer(plan).update(gradient, optimizer)
            return (optax.apply_updates(params, updates), optimizer), None

        def cost(params, x, targets):
            codes = encoder.encode(params, x)
            outside = jax.nn.relu(jnp.abs(codes) - plan.limit)
            covariance = jnp.sum(((codes - centre) @ weights) * (targets - targets.mean(0)))
            return (covariance + plan.cost * jnp.sum(outside**2)) / len(x)

        return jax.lax.scan(move, state, jax.random.split(of_steps, plan.every))[0], None

    return jax.lax.scan(fit_and_move, state, jax.random.split(key, steps // plan.every))[0]


def classifier(codes: jax.Array, targets: jax.Array, ridge: float) -> tuple[jax.Array, jax.Array]:
    """Centre f[d] and weights f[d,k] of the ridge regression of targets f[n,k] on codes f[n,d].

    Args:
      ridge: added to the variances of the standardised codes, which are 1.
    """
    centre = codes.mean(0)
    centred = codes - centre
    covariance = centred.T @ centred / len(codes)
    scale = jax.lax.rsqrt(jnp.diagonal(covariance) + 1e-6)
    matrix = covariance * scale[:, None] * scale + ridge * jnp.eye(len(scale))
    product = centred.T @ (targets - targets.mean(0)) / len(codes)
    return centre, scale[:, None] * jnp.linalg.solve(matrix, scale[:, None] * product)
