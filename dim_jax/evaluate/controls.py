"""The representations that a trained encoder has to beat: raw pixels and their PCA."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import decomposition

from dim_jax import contracts


def pixels() -> contracts.Frozen:
    """The pixels themselves: {"pixels": f32[n, h*w*c]} in [0, 1]."""

    @jax.jit
    def represent(images):
        return {"pixels": _flat(images)}

    return contracts.Frozen(represent)


def pca(train_images: np.ndarray, dim: int, seed: int = 0) -> contracts.Frozen:
    """The first principal components of the pixels: {"pca": f32[n, dim]}, fitted on train_images.

    The best linear autoencoder with a code of that dimension. Components are not whitened. Where
    there are fewer than `dim` (few pixels or few images), there are as many as there are.

    Args:
      train_images: u8[n,h,w,c].
      dim: that of the representation to be compared with, usually y.
      seed: of the randomised decomposition.
    """
    flat = train_images.reshape(len(train_images), -1).astype(np.float32) / 255
    dim = min(dim, *flat.shape)
    fitted = decomposition.PCA(dim, svd_solver=_solver(flat.shape, dim), random_state=seed)
    fitted.fit(flat)
    mean, components = jnp.asarray(fitted.mean_), jnp.asarray(fitted.components_)

    @jax.jit
    def represent(images):
        return {"pca": (_flat(images) - mean) @ components.T}

    return contracts.Frozen(represent)


def _solver(shape: tuple[int, int], dim: int) -> str:
    # The randomised one is much faster for many pixels, and close for the first few components.
    return "full" if shape[1] <= 512 or dim > min(shape) // 4 else "randomized"


def _flat(images: jax.Array) -> jax.Array:
    return images.reshape(len(images), -1).astype(jnp.float32) / 255
