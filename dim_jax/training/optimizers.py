"""Optimizers and learning rate schedules from a config's `players` block, partitioned by player."""

import inspect
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from dim_jax import contracts


def adam_l2(
    learning_rate: optax.ScalarOrSchedule, b1: float, b2: float, l2: float, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam with L2 regularisation of all parameters, as `weight_decay` in PyTorch's Adam.

    l2 times the parameters is added to the gradient. The decay of `adamw` is added after Adam's
    scaling instead and does not depend on the size of the gradient.
    """
    return optax.chain(
        optax.add_decayed_weights(l2), optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)
    )


def sgd_l2(
    learning_rate: optax.ScalarOrSchedule, momentum: float, l2: float
) -> optax.GradientTransformation:
    """SGD with momentum and L2 regularisation of all parameters, as `weight_decay` in PyTorch."""
    return optax.chain(optax.add_decayed_weights(l2), optax.sgd(learning_rate, momentum))


_OPTIMIZERS = {
    "adam_l2": adam_l2,
    "sgd_l2": sgd_l2,
    **{name: getattr(optax, name) for name in ("adam", "adamw", "lamb", "lars", "rmsprop", "sgd")},
}


def constant(rate: float, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """The same learning rate at every step."""
    del total_steps, steps_per_epoch
    return optax.constant_schedule(rate)


def cosine(
    rate: float, total_steps: int, steps_per_epoch: int, *, warmup_epochs: float
) -> optax.Schedule:
    """Linear warm-up from 0 over `warmup_epochs`, then cosine decay to 0 at the last step."""
    warmup = round(warmup_epochs * steps_per_epoch)
    return optax.warmup_cosine_decay_schedule(0.0 if warmup else rate, rate, warmup, total_steps)


def multistep(
    rate: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    at_epochs: tuple,
    factor: float,
    warmup_steps: int = 0,
) -> optax.Schedule:
    """The learning rate, multiplied by `factor` at each of the given epochs.

    With a linear warm-up, step t, from 0, has the fraction (t + 1) / warmup_steps of it, at most 1.
    """
    del total_steps
    stepwise = optax.piecewise_constant_schedule(
        rate, {round(epoch * steps_per_epoch): factor for epoch in at_epochs}
    )
    if not warmup_steps:
        return stepwise
    return lambda step: stepwise(step) * jnp.minimum(1.0, (step + 1) / warmup_steps)


_SCHEDULES = {"constant": constant, "cosine": cosine, "multistep": multistep}


def schedule(
    spec: Mapping[str, Any], rate: float, total_steps: int, steps_per_epoch: int
) -> optax.Schedule:
    """The learning rate as a function of the step, from {"name": ..., **arguments}."""
    arguments = dict(spec)
    name = arguments.pop("name")
    if name not in _SCHEDULES:
        raise contracts.unknown("schedule", name, _SCHEDULES)
    return _call(
        f"schedule '{name}'", _SCHEDULES[name], rate, total_steps, steps_per_epoch, **arguments
    )


def player(
    spec: Mapping[str, Any], total_steps: int, steps_per_epoch: int
) -> optax.GradientTransformation:
    """The gradient transformation of one player.

    Args:
      spec: `name` (an optax optimizer, `adam_l2` or `sgd_l2`), `learning_rate`, `schedule`, `every`
        (the player is updated only in every k-th step, starting with the first one), and the
        arguments of the optimizer.
    """
    arguments = dict(spec)
    for key in ("name", "learning_rate", "schedule", "every"):
        if key not in arguments:
            raise contracts.UserError(
                f"a player's optimizer has no {key}; set it beside {', '.join(arguments)}"
            )
    name, every = arguments.pop("name"), arguments.pop("every")
    if name not in _OPTIMIZERS:
        raise contracts.unknown("optimizer", name, _OPTIMIZERS)
    # The schedule is a function of the optimizer's number of updates, which `every` scales.
    rate = schedule(
        arguments.pop("schedule"),
        arguments.pop("learning_rate"),
        max(total_steps // every, 1),
        max(steps_per_epoch // every, 1),
    )
    transformation = _call(f"optimizer '{name}'", _OPTIMIZERS[name], rate, **arguments)
    if every == 1:
        return transformation
    return optax.transforms.conditionally_mask(transformation, lambda step: step % every == 0)


def make(
    players: Mapping[str, Mapping[str, Any]], total_steps: int, steps_per_epoch: int
) -> optax.GradientTransformation:
    """The transformation of all players; each receives only its part of `params`."""
    transformations = {
        name: player(spec, total_steps, steps_per_epoch) for name, spec in players.items()
    }
    return optax.partition(transformations, {name: name for name in players})


def _call(what: str, function, *positional, **arguments):
    parameters = inspect.signature(function).parameters
    for key in arguments:
        if key not in parameters:
            raise contracts.unknown(f"argument of the {what}", key, parameters)
    try:
        return function(*positional, **arguments)
    except TypeError as error:
        raise contracts.UserError(f"the {what} cannot be built: {error}") from error
