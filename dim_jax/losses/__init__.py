"""Losses other than the mutual information bounds: float32 scalars, minimised; and related parts.

Holds cross-entropies, likelihoods, discrimination and coordinate tasks (re-exported here), priors,
memory banks, assignments, the information of manifold layers, metrics of score matrices, and
bounds with these metrics in blocks. May import `contracts` and `bounds`, but no networks, data,
optimizers or configs.
"""

from dim_jax.losses.classification import (
    batch_entropy,
    classification_loss,
    soft_clip,
    surrogate_split,
)
from dim_jax.losses.coordinates import (
    CoordinateTask,
    absolute_coordinates,
    coordinate_loss,
    coordinate_task,
    relative_coordinates,
)
from dim_jax.losses.discrimination import adversarial_losses, nce_loss
from dim_jax.losses.likelihoods import (
    gaussian_kl,
    gaussian_log_density,
    image_log_density,
    squared_errors,
)

__all__ = [
    "CoordinateTask",
    "absolute_coordinates",
    "adversarial_losses",
    "batch_entropy",
    "classification_loss",
    "coordinate_loss",
    "coordinate_task",
    "gaussian_kl",
    "gaussian_log_density",
    "image_log_density",
    "nce_loss",
    "relative_coordinates",
    "soft_clip",
    "squared_errors",
    "surrogate_split",
]
