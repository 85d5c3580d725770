"""Exponential moving averages of parameters: target networks and averaged generators."""

import jax
import jax.numpy as jnp

from dim_jax import contracts

# `with total_steps(k): ...`: the length of the training for `rising_decay`; 0 = not known.
total_steps = jax.make_user_context(0)


def trained_for(method: contracts.Method, steps: int) -> contracts.Method:
    """The method with a `loss` that knows the length of the training."""

    def loss(*arguments):
        with total_steps(steps):
            return method.loss(*arguments)

    return method._replace(loss=loss)


def update(average, params, decay: jax.Array | float):
    """decay * average + (1 - decay) * params, leaf by leaf, without gradient."""

    def move(mean: jax.Array, new: jax.Array) -> jax.Array:
        return decay * mean + (1 - decay) * jax.lax.stop_gradient(new)

    return jax.tree.map(move, average, params)


def rising_decay(decay: float, step: jax.Array | int) -> jax.Array:
    """The decay of a step, from `decay` at step 0 along half a cosine to 1 at the last one.

        1 - (1 - decay) * (1 + cos(pi * step / total)) / 2

    with the total of the context `total_steps`; outside of one it is constant. A decay of 0 stays.

    Source: Grill et al. 2020 (BYOL), App. J.
    """
    total = total_steps.value
    if not total or not decay:
        return jnp.asarray(decay, jnp.float32)
    return 1 - (1 - decay) * (1 + jnp.cos(jnp.pi * step / total)) / 2
