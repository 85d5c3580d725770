"""The embedded data set of points: eight Gaussians on a ring, for generators without images."""

import math

import numpy as np

from dim_jax import contracts, settings
from dim_jax.data import dataset, facts, fingerprint

MODES = 8
DEVIATION = 0.05  # of each Gaussian along either axis; the ring has radius 1
_COUNTS = {"train": 16_000, "test": 4_000}


def load(block: settings.Data) -> dataset.Dataset:
    """Points as images f32[n,1,1,2], whose channels are x and y; the label is the Gaussian's.

    The Gaussians are those of `MODES` angles, with equal numbers of points, in random order. The
    points are the same ones for every seed of an experiment.

    Raises:
      UserError: an image size, which points do not have.
    """
    if block.image_size not in (None, 1):
        raise contracts.UserError(
            f"data.image_size is {block.image_size} and the ring consists of points, which are "
            "images of one pixel: set data.image_size to None"
        )
    classes = tuple(f"{360 * mode // MODES} degrees" for mode in range(MODES))
    splits = {role: _draw(seed, count) for seed, (role, count) in enumerate(_COUNTS.items())}
    return dataset.Dataset(
        facts.Facts("ring", (1, 1, 2), classes, None, None, dtype="float32"),
        splits,
        fingerprint=fingerprint.of("ring", classes, _COUNTS),
    )


def _draw(seed: int, count: int) -> dataset.Split:
    random = np.random.RandomState(seed)  # its streams are the same in every version of NumPy
    labels = random.permutation(np.arange(count, dtype=np.int32) % MODES)
    angles = labels * (2 * math.pi / MODES)
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    points = centres + DEVIATION * random.standard_normal((count, 2))
    return dataset.Split(points.astype(np.float32).reshape(count, 1, 1, 2), labels)
