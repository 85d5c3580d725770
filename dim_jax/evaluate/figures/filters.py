"""A picture of the filters of the encoder's first convolution."""

import math
from collections.abc import Mapping

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.figures import drawing

_FIGURES = {
    "filters": (
        "First-layer filters",
        "The kernels of the first convolution; each is scaled by itself, mid-grey is zero.",
    )
}

_WIDTH, _GAP = 960, 8  # pixels: of the picture at most, and between filters


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
) -> dict[str, np.ndarray]:
    """{"filters": u8[h,w,3]}: the filters of the encoder's first convolution as a grid.

    Raises:
      UserError: the encoder has no convolution over the images' channels.
    """
    del rng
    kernel = first_kernel(frozen.params, splits["test"].images.shape[-1])
    return {"filters": grid(kernel)}


def first_kernel(params: contracts.Tree, channels: int) -> np.ndarray:
    """The first kernel [h,w,channels,filters], in order of names, among the encoder's parameters.

    The number of channels tells it from the kernels of critics, which see feature maps.

    Raises:
      UserError: there is none.
    """
    leaves = jax.tree.leaves((params or {}).get("encoder", {}))
    kernels = [leaf for leaf in leaves if leaf.ndim == 4 and leaf.shape[2] == channels]
    if not kernels:
        raise contracts.UserError(
            f"the encoder has no convolution over the {channels} image channels, so there are no "
            "filters to draw; remove 'filters' from evals"
        )
    return np.asarray(kernels[0])


def check_frozen(frozen: contracts.Frozen, splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError if there are no filters to draw."""
    first_kernel(frozen.params, splits["test"].images.shape[-1])


EVALUATION = Evaluation(
    evaluate,
    representations="trained",
    taps=(),
    figures=_FIGURES,
    check_frozen=check_frozen,
)


def as_pixels(kernel: np.ndarray) -> np.ndarray:
    """The filters of a kernel f[h,w,c,filters] as images u8[filters,h,w,3].

    Three channels are shown as colour, any other number as their mean. Each filter is divided by
    its largest magnitude, so that mid-grey is zero.
    """
    filters = np.moveaxis(kernel.astype(np.float32), -1, 0)
    if filters.shape[-1] != 3:
        filters = np.repeat(filters.mean(axis=-1, keepdims=True), 3, axis=-1)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return np.round(127.5 + 127.5 * filters / np.maximum(largest, 1e-12)).astype(np.uint8)


def grid(kernel: np.ndarray) -> np.ndarray:
    """The filters of a kernel f[h,w,c,filters] side by side, u8[h,w,3] on white."""
    shown = as_pixels(kernel)
    columns = _columns(len(shown))
    rows = math.ceil(len(shown) / columns)
    factor = max(1, (_WIDTH // columns - _GAP) // kernel.shape[1])
    tile = np.array(kernel.shape[:2]) * factor + _GAP
    canvas = np.full((*(tile * (rows, columns) + _GAP), 3), 255, np.uint8)
    for index, image in enumerate(shown):
        top, left = np.array(divmod(index, columns)) * tile + _GAP
        large = drawing.enlarged(image, factor)
        canvas[top : top + large.shape[0], left : left + large.shape[1]] = large
    return canvas


def _columns(count: int) -> int:
    """About twice as many columns as rows, with a full last row where that is possible."""
    wide = math.sqrt(2 * count)
    even = [n for n in range(1, count + 1) if count % n == 0 and wide / 1.5 < n < wide * 1.5]
    return max(even, default=math.ceil(wide))
