"""The representations that a trained encoder has to beat: raw pixels and their PCA."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.data.pixel_range import PixelRange, to_unit
from dim_jax.evaluate import gram


def pixels(pixel_range: PixelRange | None = None) -> contracts.Frozen:
    """The pixels themselves, u8 or of a range: {"pixels": f32[n, h*w*c]} in [0, 1]."""

    @jax.jit
    def represent(images):
        return {"pixels": _flat(images, pixel_range)}

    return contracts.Frozen(represent)


def pca(
    train_images: np.ndarray, dim: int, pixel_range: PixelRange | None = None
) -> contracts.Frozen:
    """The first principal components of the pixels: {"pca": f32[n, dim]}, fitted on train_images.

    The best linear autoencoder with a code of that dimension. Components are not whitened. Where
    there are fewer than `dim` (few pixels or few images), all of them. They are fitted when the
    first image is represented.

    Args:
      train_images: u8[n,h,w,c], or with a range raw pixels.
      dim: that of the representation to be compared with, usually y.
    """
    return contracts.Frozen(_Components(train_images, dim, pixel_range))


def beside(
    trained: contracts.Frozen, untrained: contracts.Frozen, data: dataset.Dataset
) -> dict[str, contracts.Frozen]:
    """An encoder and the representations beside it, for the images of a data set.

    Of PCA there are as many components as y has coordinates.
    """
    one = jax.ShapeDtypeStruct((1, *data.facts.shape), data.facts.dtype)
    width = jax.eval_shape(trained.represent, one)["y"].shape[-1]
    train = data.splits["train"]
    return {
        "trained": trained,
        "untrained": untrained,
        "pixels": pixels(data.facts.pixel_range),
        "pca": pca(train.images, width, train.pixel_range),
    }


class _Components:
    """The function `represent` of `pca`, and the shapes of its taps, known without the fit."""

    def __init__(self, train_images: np.ndarray, dim: int, pixel_range: PixelRange | None):
        self._images, self._range = train_images, pixel_range
        count, *image = train_images.shape
        self._dim = min(dim, count, math.prod(image))
        self.shapes = {"pca": (self._dim,)}

    def __call__(self, images) -> contracts.Taps:
        return self._represent(images)

    @functools.cached_property
    def _represent(self):
        flat = functools.partial(_flat, pixel_range=self._range)
        rows = flat(jnp.asarray(self._images))
        mean = jnp.mean(rows, axis=0)
        with threadpoolctl.threadpool_limits(1, user_api="blas"):  # as in svm_solver.solve
            components = _components(rows - mean, self._dim)
        return jax.jit(lambda images: {"pca": (flat(images) - mean) @ components})


def _components(rows: jax.Array, count: int) -> np.ndarray:
    """The first `count` principal directions f32[p,count] of centred rows f32[n,p]."""
    if rows.shape[0] >= rows.shape[1]:
        return _leading(np.asarray(gram.gram(rows)), count)
    # For fewer images than pixels by products of images: 49,152 pixels are 128x128x3, and the
    # square of that is too much.
    combined = np.asarray(rows.T @ _leading(np.asarray(gram.gram(rows.T)), count))
    return combined / np.maximum(np.linalg.norm(combined, axis=0), 1e-12)


def _leading(matrix: np.ndarray, count: int) -> np.ndarray:
    """The eigenvectors f32[p,count] of the largest eigenvalues of a symmetric matrix f[p,p]."""
    matrix = matrix.astype(np.float64)
    if len(matrix) < 4 * count or not matrix.any():
        return np.linalg.eigh(matrix)[1][:, : -count - 1 : -1].astype(np.float32)
    from scipy.sparse import linalg  # takes a sixth of a second to import

    # Lanczos for a few of many; a fixed start, so that two runs agree.
    start = np.random.default_rng(0).normal(size=len(matrix))
    return linalg.eigsh(matrix, count, v0=start)[1][:, ::-1].astype(np.float32)


def _flat(images: jax.Array, pixel_range: PixelRange | None) -> jax.Array:
    return to_unit(images, pixel_range).reshape(len(images), -1)
