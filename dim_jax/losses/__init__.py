"""Losses other than the mutual information bounds: float32 scalars, minimised; and related parts.

Holds cross-entropies, likelihoods, discrimination, coordinate tasks, codes over prototypes,
decorrelation of views and distance to a normal distribution (re-exported here), priors, memory
banks, assignments, the information of manifold layers, metrics of score matrices, and bounds with
these metrics in blocks. May import `contracts` and `bounds`, but no networks, data, optimizers or
configs.
"""

from dim_jax.losses.classification import (
    batch_entropy,
    classification_loss,
    soft_clip,
    surrogate_split,
)
from dim_jax.losses.clustering import sinkhorn, swap_loss
from dim_jax.losses.coordinates import (
    CoordinateTask,
    absolute_coordinates,
    coordinate_loss,
    coordinate_task,
    relative_coordinates,
)
from dim_jax.losses.discrimination import adversarial_losses, nce_loss
from dim_jax.losses.gaussianity import sigreg, sigreg_level
from dim_jax.losses.likelihoods import (
    gaussian_kl,
    gaussian_log_density,
    image_log_density,
    squared_errors,
)
from dim_jax.losses.redundancy import barlow_twins, vicreg

__all__ = [
    "CoordinateTask",
    "absolute_coordinates",
    "adversarial_losses",
    "barlow_twins",
    "batch_entropy",
    "classification_loss",
    "coordinate_loss",
    "coordinate_task",
    "gaussian_kl",
    "gaussian_log_density",
    "image_log_density",
    "nce_loss",
    "relative_coordinates",
    "sigreg",
    "sigreg_level",
    "sinkhorn",
    "soft_clip",
    "squared_errors",
    "surrogate_split",
    "swap_loss",
    "vicreg",
]
