"""Spectral norm of all kernels of an encoder, which bounds its Lipschitz constant."""

import jax
import jax.numpy as jnp
from flax import traverse_util

from dim_jax.nets import pure

_VECTORS, _STATS = "vectors", "encoder"


def spectral(*, encoder: pure.Net) -> pure.Net:
    """The encoder with every kernel divided by its largest singular value.

    A kernel of a convolution is taken as a matrix f[h*w*c, features]. With strides of the kernel's
    side that makes a layer 1-Lipschitz; where k windows of it share a pixel along each side, its
    constant is at most k. Norms of activations are left as they are, so use an encoder without.
    The values come from one step of power iteration in each application in training mode, with
    vectors in `stats`; with an untrained vector a kernel is divided by too little.

    Source: Miyato et al. 2018. Differs: no.
    """

    def init(rng, images):
        params, stats = encoder.init(rng, images)
        kernels = _kernels(params)
        keys = jax.random.split(jax.random.fold_in(rng, 1), len(kernels))
        vectors = {
            path: _unit(jax.random.normal(key, kernel.shape[-1:]))
            for key, (path, kernel) in zip(keys, kernels.items(), strict=True)
        }
        # Some steps ahead, so that the first scores are within bounds.
        for _ in range(5):
            vectors = {path: _step(kernels[path], vector)[0] for path, vector in vectors.items()}
        state = {_VECTORS: traverse_util.unflatten_dict(vectors)}
        return params, state | ({_STATS: stats} if stats else {})

    def apply(params, stats, images, *, train: bool, rng=None):
        vectors = traverse_util.flatten_dict(stats[_VECTORS])
        flat = traverse_util.flatten_dict(params)
        for path, kernel in _kernels(params).items():
            moved, largest = _step(kernel, vectors[path])
            flat[path] = kernel / largest
            if train:
                vectors[path] = moved
        taps, inner = encoder.apply(
            traverse_util.unflatten_dict(flat),
            stats.get(_STATS, {}),
            images,
            train=train,
            rng=rng,
        )
        state = {_VECTORS: traverse_util.unflatten_dict(vectors)}
        return taps, state | ({_STATS: inner} if inner else {})

    return encoder._replace(init=init, apply=apply)


def _kernels(params) -> dict[tuple[str, ...], jax.Array]:
    flat = traverse_util.flatten_dict(params)
    return {path: leaf for path, leaf in flat.items() if path[-1] == "kernel"}


def _step(kernel: jax.Array, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The vector after a step of power iteration, and the singular value by the given one."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    vector = jax.lax.stop_gradient(vector)
    image = matrix @ vector
    left = jax.lax.stop_gradient(_unit(image))
    moved = jax.lax.stop_gradient(_unit(left @ matrix))
    return moved, left @ image


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)
