"""How a training batch is divided, by three keys of a config's `train` block; 1 leaves it whole.

microbatches: the encoder runs on so many parts of the batch, one after the other, and the loss sees
  the whole batch (`nets.microbatches`): for any method, with one more forward pass.
norm_groups: batch norm has the statistics of so many groups of what it is given
  (`nets.layers.batch_norm`): those of a paper that trained on so many devices, or one for each
  device, which needs no communication. In divided batches, of each part.
accumulate: losses and gradients are means over so many parts of the batch, each computed by itself
  (`steps.accumulated_gradients`): only for losses that do not compare examples.

Evaluations never see any of it.
"""

import math
from collections.abc import Mapping
from typing import Any

from dim_jax import contracts
from dim_jax.nets import layers, microbatches

_KEYS = ("microbatches", "norm_groups", "accumulate")


def divide(method: contracts.Method, train: Mapping[str, Any], devices: int) -> contracts.Method:
    """The method to train: its `loss` with the encoder's and batch norm's batches divided.

    Args:
      train: the config's block. A key that it lacks is 1.
      devices: their number.

    Raises: contracts.UserError: the batch does not divide, on so many devices, or the loss of this
      method cannot be accumulated.
    """
    parts, groups, accumulate = (train.get(key, 1) for key in _KEYS)
    _check(method, train, devices, parts, groups, accumulate)
    if parts == groups == 1:
        return method

    def loss(*arguments):
        with microbatches.count(parts), layers.norm_groups(groups):
            return method.loss(*arguments)

    return method._replace(loss=loss)


def _check(method, train, devices: int, parts: int, groups: int, accumulate: int) -> None:
    for key in _KEYS:
        if train.get(key, 1) < 1:
            raise contracts.UserError(f"train.{key} is {train[key]}; set it to 1 or more")
    if accumulate > 1 and not method.per_example:
        raise contracts.UserError(
            f"train.accumulate is {accumulate} and this method's loss compares the examples of a "
            f"batch, so that its parts have other losses; set train.microbatches={accumulate} and "
            "train.accumulate=1"
        )
    batch, unit = train["batch_size"], accumulate * parts * math.lcm(devices, groups)
    if unit > devices and batch % unit:
        below = batch // unit * unit
        given = ", ".join(f"{key}={train[key]}" for key in _KEYS if train.get(key, 1) > 1)
        raise contracts.UserError(
            f"batch {batch} on {devices} device(s) with {given} does not divide; "
            f"set train.batch_size to {f'{below} or {below + unit}' if below else unit}"
        )
