"""Division of a training batch: microbatching, ghost batch norm and gradient accumulation.

Three settings of a config's block `train`, each 1 by default:

microbatches: the encoder runs on this number of parts of the batch, one after the other, and the
  loss sees the complete batch (`nets.microbatches`): for any method, with one more forward pass.
norm_groups: ghost batch norm, with the statistics of this number of groups of its input
  (`nets.layers.batch_norm`): those of a paper that trained on this number of devices, or one group
  for each device, which needs no communication. In divided batches, of each part.
accumulate: losses and gradients are means over this number of parts of the batch, each computed
  separately (`train_step.accumulated_gradients`): only for losses that do not compare examples.

Evaluations never use any of them.
"""

import math

from dim_jax import contracts, settings
from dim_jax.nets import layers, microbatches

_SETTINGS = ("microbatches", "norm_groups", "accumulate")


def divide(method: contracts.Method, train: settings.Train, devices: int) -> contracts.Method:
    """The method to train: its `loss` with the encoder's and batch norm's batches divided.

    Args:
      devices: their number.

    Raises: contracts.UserError: the batch does not divide on these devices, or the loss of this
      method cannot be accumulated.
    """
    _check(method, train, devices)
    if train.microbatches == train.norm_groups == 1:
        return method

    def loss(*arguments):
        with microbatches.count(train.microbatches), layers.norm_groups(train.norm_groups):
            return method.loss(*arguments)

    return method._replace(loss=loss)


def _check(method: contracts.Method, train: settings.Train, devices: int) -> None:
    if train.accumulate > 1 and not method.per_example:
        raise contracts.UserError(
            f"train.accumulate is {train.accumulate} and this method's loss compares the examples "
            "of a batch, so that its parts have other losses; set train.microbatches="
            f"{train.accumulate} and train.accumulate=1"
        )
    parts = train.accumulate * train.microbatches
    batch, unit = train.batch_size, parts * math.lcm(devices, train.norm_groups)
    if unit > devices and batch % unit:
        below = batch // unit * unit
        values = {name: getattr(train, name) for name in _SETTINGS}
        given = ", ".join(f"{name}={value}" for name, value in values.items() if value > 1)
        raise contracts.UserError(
            f"batch {batch} on {devices} device(s) with {given} does not divide; "
            f"set train.batch_size to {f'{below} or {below + unit}' if below else unit}"
        )
