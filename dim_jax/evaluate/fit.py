"""The small training loop of the probes: one jitted pass over the data, several fits at once."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax.training import optimizers

Tree = Any


class Fits(NamedTuple):
    """Independent fits, stacked along the first axis of every leaf."""

    params: Tree
    state: Tree
    optimizer: Tree


def duration(settings: Any, examples: int) -> tuple[int, int]:
    """Steps a pass and passes, by a protocol's `batch`, `epochs` and `min_steps`."""
    per_pass = max(1, examples // settings.batch)
    return per_pass, max(settings.epochs, math.ceil(settings.min_steps / per_pass))


@functools.cache  # one transformation for equal settings, so that equal fits are compiled once
def adam(
    learning_rate: float,
    betas: tuple[float, float],
    milestones: tuple[int, ...] | None,
    per_pass: int,
    passes: int,
    factor: float = 0.1,
    l2: float = 0.0,
) -> optax.GradientTransformation:
    """Adam for `passes` passes of `per_pass` steps.

    Args:
      milestones: passes at which the rate is multiplied by `factor`; None = half a cosine down to
        zero.
      l2: as of `optimizers.adam_l2`.
    """
    if milestones is None:
        rate = optax.cosine_decay_schedule(learning_rate, per_pass * passes)
    else:
        falls = {epoch * per_pass: factor for epoch in milestones}
        rate = optax.piecewise_constant_schedule(learning_rate, falls)
    return optimizers.adam_l2(rate, *betas, l2=l2) if l2 else optax.adam(rate, *betas)


def start(params: Tree, state: Tree, transformation: optax.GradientTransformation) -> Fits:
    """Fits before their first step, given the stacked parameters and states."""
    params, state = jax.tree.map(jnp.asarray, (params, state))
    return Fits(params, state, jax.vmap(transformation.init)(params))


def orders(members: np.ndarray, batch: int, random: np.random.Generator) -> Iterable[np.ndarray]:
    """Endlessly one pass over the examples: positions i32[steps, batch] or i32[steps, fits, batch].

    Each pass is shuffled anew and leaves out the last, smaller batch.

    Args:
      members: positions i32[m] that all fits see in one order, or i32[fits, m], each its own.
    """
    size = min(batch, members.shape[-1])
    steps = members.shape[-1] // size
    while True:
        rows = random.permuted(members, axis=-1)[..., : steps * size]
        rows = rows.reshape(*members.shape[:-1], steps, size)
        yield np.moveaxis(rows, -2, 0)


@functools.partial(jax.jit, static_argnames=("loss", "transformation"), donate_argnames=("fits",))
def one_pass(
    fits: Fits,
    examples: tuple[jax.Array, jax.Array],
    order: jax.Array,
    keys: jax.Array,
    *,
    loss: Callable[..., tuple[jax.Array, Tree]],
    transformation: optax.GradientTransformation,
) -> Fits:
    """All fits after the steps of one pass.

    Args:
      fits: their memory is reused.
      examples: features f32[n,d] and labels i32[n] (or other targets [n,...]), held once for
        all fits.
      order: as from `orders`.
      keys: one random key for each fit.
      loss: loss(params, state, features f32[b,d], labels i32[b], key) -> (loss, state).
    """

    def move(fit: Fits, rows: jax.Array, labels: jax.Array, key: jax.Array) -> Fits:
        gradient, state = jax.grad(loss, has_aux=True)(fit.params, fit.state, rows, labels, key)
        updates, optimizer = transformation.update(gradient, fit.optimizer, fit.params)
        return Fits(optax.apply_updates(fit.params, updates), state, optimizer)

    def step(fits: Fits, scanned: tuple[jax.Array, jax.Array]) -> tuple[Fits, None]:
        index, picked = scanned
        rows, labels = (array[picked] for array in examples)
        # One batch for all fits stays one matrix; only batches of their own are stacked.
        axis = None if picked.ndim == 1 else 0
        moved = jax.vmap(move, in_axes=(0, axis, axis, 0))(
            fits, rows, labels, jax.vmap(jax.random.fold_in, (0, None))(keys, index)
        )
        return moved, None

    return jax.lax.scan(step, fits, (np.arange(len(order)), order))[0]
