"""Optimizers and learning rate schedules from a config's `players` block, partitioned by player."""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dim_jax import contracts, settings


def adam_l2(
    learning_rate: optax.ScalarOrSchedule,
    b1: float,
    b2: float,
    l2: float,
    eps: float = 1e-8,
    mask: Any = None,
) -> optax.GradientTransformation:
    """Adam with L2 regularisation of all parameters, as `weight_decay` in PyTorch's Adam.

    l2 times the parameters is added to the gradient. The decay of `adamw` is added after Adam's
    scaling instead and does not depend on the size of the gradient.
    """
    return optax.chain(
        optax.add_decayed_weights(l2, mask), optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)
    )


def sgd_l2(
    learning_rate: optax.ScalarOrSchedule, momentum: float, l2: float, mask: Any = None
) -> optax.GradientTransformation:
    """SGD with momentum and L2 regularisation of all parameters, as `weight_decay` in PyTorch."""
    return optax.chain(optax.add_decayed_weights(l2, mask), optax.sgd(learning_rate, momentum))


def _is_matrix(params: contracts.Tree) -> contracts.Tree:
    """Whether each parameter has several axes; biases and the scales of norms have one."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


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
    rate: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: float,
    end: float = 0.0,
) -> optax.Schedule:
    """Linear warm-up from 0 over `warmup_epochs`, then cosine decay to `end` at the last step.

    `end` is a fraction of the rate.
    """
    warmup = round(warmup_epochs * steps_per_epoch)
    if warmup and warmup >= total_steps:
        raise contracts.UserError(
            f"warmup_epochs is {warmup_epochs:g} and the training has "
            f"{total_steps / steps_per_epoch:g} epochs, so that the rate would never fall; set "
            "fewer warmup_epochs or more train.epochs"
        )
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup else rate, rate, warmup, total_steps, end * rate
    )


def multistep(
    rate: float,
    total_steps: int,
    steps_per_epoch: int,
    *,
    at_epochs: tuple[float, ...],
    factor: float,
    warmup_steps: int = 0,
) -> optax.Schedule:
    """The learning rate, multiplied by `factor` at each of the given epochs.

    With a linear warm-up, step t, from 0, has the fraction (t + 1) / warmup_steps of it, at most 1.
    """
    if warmup_steps > total_steps:
        raise contracts.UserError(
            f"warmup_steps is {warmup_steps} and the training has {total_steps} steps; set fewer "
            "warmup_steps or more train.epochs"
        )
    stepwise = optax.piecewise_constant_schedule(
        rate, {round(epoch * steps_per_epoch): factor for epoch in at_epochs}
    )
    if not warmup_steps:
        return stepwise
    return lambda step: stepwise(step) * jnp.minimum(1.0, (step + 1) / warmup_steps)


# The masks of the optimizers that decay weights or scale the step of each parameter.
_MASKS = {
    **dict.fromkeys(("adam_l2", "adamw", "lamb", "sgd_l2"), ("mask",)),
    "lars": ("weight_decay_mask", "trust_ratio_mask"),
}
_SCHEDULES = {"constant": constant, "cosine": cosine, "multistep": multistep}
# Of a player's settings, beside the name, the schedule and the optimizer's arguments.
_PLAYER = {
    **{"learning_rate": float, "every": int, "offset": int, "clip_norm": float},
    "exclude_vectors": bool,
}
OF_LENGTH = ("cosine",)  # those that depend on the number of all steps


def schedule(
    spec: Mapping[str, Any],
    rate: float,
    total_steps: int,
    steps_per_epoch: int,
    place: str = "schedule",
) -> optax.Schedule:
    """The learning rate as a function of the step, from {"name": ..., **arguments}.

    Args:
      place: the key of the block in the config, for messages.
    """
    arguments = dict(_block(spec, place))
    name = arguments.pop("name")
    if name not in _SCHEDULES:
        raise contracts.unknown("schedule", name, _SCHEDULES)
    return _call(place, "schedule", name, rate, total_steps, steps_per_epoch, **arguments)


def player(
    spec: Mapping[str, Any], total_steps: int, steps_per_epoch: int, place: str = "player"
) -> optax.GradientTransformation:
    """The gradient transformation of one player.

    Args:
      spec: `name` (an optax optimizer, `adam_l2` or `sgd_l2`), `learning_rate`, `schedule`, `every`
        (the player is updated only in every k-th step), and the arguments of the optimizer.
        Optional: `offset`, the first step, from 0, in which it is updated, less than `every`;
        `clip_norm`, to which the norm of the player's gradient is clipped; and `exclude_vectors`,
        True: biases and the scales of norms have no weight decay, and with LARS the plain step.
      place: the key of the block in the config, for messages.
    """
    arguments = dict(_block(spec, place))
    for key in ("learning_rate", "schedule", "every"):
        if key not in arguments:
            raise contracts.UserError(
                f"a player's optimizer has no {key}; set it beside {', '.join(arguments)}"
            )
    for key, kind in _PLAYER.items():
        parameter = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
        if key in arguments:
            settings.arguments.check(f"{place}.{key}", "player", parameter, arguments[key])
    name, every = arguments.pop("name"), arguments.pop("every")
    offset, clip_norm = arguments.pop("offset", 0), arguments.pop("clip_norm", None)
    if name not in _OPTIMIZERS:
        raise contracts.unknown("optimizer", name, _OPTIMIZERS)
    if arguments.pop("exclude_vectors", False):
        if name not in _MASKS:
            raise contracts.UserError(
                f"{place}.exclude_vectors is True and the optimizer '{name}' has no weight decay; "
                f"set it to False, or the name to one of {', '.join(_MASKS)}"
            )
        arguments |= dict.fromkeys(_MASKS[name], _is_matrix)
    if offset >= every:
        raise contracts.UserError(
            f"{place}.offset is {offset} and {place}.every is {every}, so that the player would "
            f"be updated in no step: set offset to {every - 1} or less"
        )
    # The schedule is a function of the optimizer's number of updates, which `every` scales.
    rate = schedule(
        arguments.pop("schedule"),
        arguments.pop("learning_rate"),
        max(total_steps // every, 1),
        max(steps_per_epoch // every, 1),
        f"{place}.schedule",
    )
    transformation = _call(place, "optimizer", name, rate, **arguments)
    if clip_norm is not None:
        transformation = optax.chain(optax.clip_by_global_norm(clip_norm), transformation)
    if every == 1:
        return transformation
    return optax.transforms.conditionally_mask(transformation, lambda step: step % every == offset)


def make(
    players: Mapping[str, Mapping[str, Any]], total_steps: int, steps_per_epoch: int
) -> optax.GradientTransformation:
    """The transformation of all players; each receives only its part of `params`."""
    transformations = {
        name: player(spec, total_steps, steps_per_epoch, f"players.{name}")
        for name, spec in players.items()
    }
    return optax.partition(transformations, {name: name for name in players})


def _block(spec: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(spec, Mapping) or "name" not in spec:
        wanted = "a block with name, learning_rate, schedule and every"
        if place.endswith("schedule"):
            wanted = "a block with a name, such as constant or cosine"
        raise contracts.UserError(f"{place} is {spec!r}; set it to {wanted}")
    return spec


def _call(place: str, kind: str, name: str, *positional, **arguments):
    function = {"optimizer": _OPTIMIZERS, "schedule": _SCHEDULES}[kind][name]
    what, parameters = f"{kind} '{name}'", inspect.signature(function).parameters
    for key, value in arguments.items():
        if key not in parameters:
            raise contracts.unknown(f"argument of the {what}", key, parameters)
        settings.arguments.check(f"{place}.{key}", name, parameters[key], value)
    try:
        return function(*positional, **arguments)
    except TypeError as error:
        raise contracts.UserError(f"the {what} cannot be built: {error}") from error
