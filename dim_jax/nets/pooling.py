"""Pooling of images f[n,h,w,c] -> f[n,h',w',c], without padding, with output sizes rounded down."""

import functools

import jax
import jax.numpy as jnp
from jax import lax


def max_pool(inputs: jax.Array, window: int, stride: int) -> jax.Array:
    """Max pooling without padding, with output sizes rounded down.

    Of equal maxima the first, by rows, gets the gradient; for windows of 2 without overlap they
    share it, which takes less time.
    """
    if window == stride == 2:
        rows, columns = (side // 2 * 2 for side in inputs.shape[1:3])
        x = jnp.maximum(inputs[:, 0:rows:2], inputs[:, 1:rows:2])
        return jnp.maximum(x[:, :, 0:columns:2], x[:, :, 1:columns:2])
    return _max_along(_max_along(inputs, 2, window, stride), 1, window, stride)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_along(inputs: jax.Array, axis: int, window: int, stride: int) -> jax.Array:
    """Max pooling along one axis.

    JAX's derivative of a window's maximum takes about seven times as long on a CPU as this one,
    which keeps the place of each maximum in a byte.
    """
    return functools.reduce(jnp.maximum, _shifted(inputs, axis, window, stride))


def _shifted(inputs: jax.Array, axis: int, window: int, stride: int) -> list[jax.Array]:
    """The first, second, ... pixels of all windows."""
    last = inputs.shape[axis] - window
    return [
        lax.slice_in_dim(inputs, place, place + last + 1, stride, axis) for place in range(window)
    ]


def _max_along_forward(inputs, axis, window, stride):
    pixels = _shifted(inputs, axis, window, stride)
    most, places = pixels[0], jnp.zeros(pixels[0].shape, jnp.uint8)
    for place, x in enumerate(pixels[1:], 1):
        places = jnp.where(x > most, jnp.uint8(place), places)
        most = jnp.maximum(most, x)
    return most, (places, inputs.shape[axis])


def _max_along_backward(axis, window, stride, residuals, cotangent):
    places, side = residuals
    windows, blocks = cotangent.shape[axis], -(-side // stride)
    zero = jnp.zeros((), cotangent.dtype)
    phases = []  # of the pixels in blocks of the stride; a window is its block and the next ones
    for phase in range(stride):
        total = zero
        for place in range(phase, window, stride):
            edges = [(0, 0, 0)] * cotangent.ndim
            edges[axis] = (place // stride, blocks - windows - place // stride, 0)
            total += lax.pad(jnp.where(places == place, cotangent, zero), zero, edges)
        phases.append(total)
    pixels = jnp.stack(phases, axis + 1)
    shape = (*cotangent.shape[:axis], blocks * stride, *cotangent.shape[axis + 1 :])
    return (lax.slice_in_dim(pixels.reshape(shape), 0, side, axis=axis),)


_max_along.defvjp(_max_along_forward, _max_along_backward)


def average_pool(inputs: jax.Array, window: int, stride: int) -> jax.Array:
    """Average pooling without padding, with output sizes rounded down.

    Computed from blocks of stride x stride pixels, then neighbouring blocks; the stride divides the
    window.

    Raises: ValueError: the stride does not divide the window.
    """
    if window % stride:
        raise ValueError(
            f"window {window} and stride {stride}: the stride has to divide the window"
        )
    n, height, width, channels = inputs.shape
    rows, columns, blocks = height // stride, width // stride, window // stride
    x = inputs[:, : rows * stride, : columns * stride]
    if stride > 1:
        x = x.reshape(n, rows, stride, columns, stride, channels).sum(axis=(2, 4))
    x = sum(x[:, start : rows - blocks + 1 + start] for start in range(blocks))
    x = sum(x[:, :, start : columns - blocks + 1 + start] for start in range(blocks))
    return x / window**2
