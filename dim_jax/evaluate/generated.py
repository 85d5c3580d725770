"""Images that a method's generator makes of codes of its prior."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features

_BATCH = 256  # codes at a time


def check_draws(method: contracts.Method | None, evaluation: str) -> None:
    """Raises UserError for a method that draws no codes of a prior, or makes no images of them."""
    generative = method and method.generative
    if not (generative and generative.draw):
        raise contracts.UserError(
            f"the evaluation '{evaluation}' needs images made of codes of a prior, and this method "
            f"draws none; remove '{evaluation}' from evals, or choose a method with a prior and a "
            "generator, such as gan or vae"
        )


def is_points(split: dataset.Split) -> bool:
    """Whether the images f[n,1,1,2] are points of the plane."""
    return split.images.shape[1:] == (1, 1, 2)


def width(frozen: contracts.Frozen, split: dataset.Split) -> int:
    """The number of coordinates of a code."""
    given = frozen.method.generative.width
    return given or features.shapes(frozen, split)["y"][-1]


def codes(frozen: contracts.Frozen, split: dataset.Split, rng: jax.Array, count: int) -> np.ndarray:
    """Codes f[count,d] of the prior."""
    return np.asarray(frozen.method.generative.draw(rng, (count, width(frozen, split))))


def mapped(
    frozen: contracts.Frozen, codes: np.ndarray, function: Callable | None = None
) -> np.ndarray:
    """function(params, state, images) of the images of codes f[n,d]; the images themselves of None.

    One program, compiled for some codes at a time, so that memory does not grow with n.

    Raises:
      UserError: images, or values of them, that are not finite.
    """
    decode = frozen.method.generative.decode

    @jax.jit
    def values(params, state, codes):
        images = decode(params, state, codes)
        return images if function is None else function(params, state, images)

    parts = []
    for start in range(0, len(codes), _BATCH):
        # The last codes are repeated, so that one shape is compiled.
        rows = np.minimum(np.arange(start, start + min(_BATCH, len(codes))), len(codes) - 1)
        parts.append(np.asarray(values(frozen.params, frozen.state, codes[rows])))
    result = np.concatenate(parts)[: len(codes)]
    if not np.isfinite(result).all():
        raise contracts.UserError(
            "generated images, or the network's values of them, are not finite; lower the learning "
            "rate of the generator"
        )
    return result


def real_points(frozen: contracts.Frozen, split: dataset.Split) -> np.ndarray:
    """The points of a split, f[n,d] in the normalised units of generated ones."""
    return np.asarray(frozen.normalise(split.images[:])).reshape(len(split.images), -1)


def counted(splits: Mapping[str, dataset.Split], most: int) -> int:
    """The number of images that are generated for a comparison: that of test images, at most."""
    return min(len(splits["test"].images), most)
