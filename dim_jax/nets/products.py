"""Mixed-precision matrix products: operands in the compute dtype, float32 results.

With `computed_in(f, "bfloat16")` both operands of every product are rounded to bfloat16 and the
products are summed in float32, in the forward and the backward pass (where the cotangent is rounded
too); everything else stays float32. With "float32", the default, nothing is rounded.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from dim_jax import contracts
from dim_jax.nets import onednn

DTYPES = ("float32", "bfloat16")
# `with compute_dtype(name): ...`: the dtype of the operands of products traced inside it.
compute_dtype = jax.make_user_context("float32")
# `with forward_only(True): ...`: what is traced inside it is neither differentiated nor part of a
# `lax.scan`, so that XLA's convolution is the faster form on a CPU too.
forward_only = jax.make_user_context(False)


def computed_in(function: Callable, name: str) -> Callable:
    """The same function, always traced with this compute dtype, one of `DTYPES`."""
    if name not in DTYPES:
        raise contracts.unknown("compute_dtype", name, DTYPES)

    @functools.wraps(function)
    def computed(*arguments, **named):
        with compute_dtype(name):
            return function(*arguments, **named)

    return computed


def dot(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """inputs f[..., c] times kernel f[c, d] -> f[..., d]."""
    return dot_of_parts((inputs,), (kernel,))


def dot_of_parts(parts: Sequence[jax.Array], kernels: Sequence[jax.Array]) -> jax.Array:
    """The sum of parts f[..., c_i] times kernels f[c_i, d], f[..., d].

    Computed as one product of the concatenated parts, which stores one result instead of several.
    """
    dtype = compute_dtype.value
    if dtype == "float32":
        inputs, kernel = jnp.concatenate(parts, -1), jnp.concatenate(kernels)
        if not onednn.suits(2 * inputs.size * kernel.shape[1]):
            return inputs @ kernel  # with all its axes, of which several devices may share any
        outputs = contract(inputs.reshape(-1, inputs.shape[-1]), kernel, 1, 0)
        return outputs.reshape(*inputs.shape[:-1], -1)
    rows = tuple(part.reshape(-1, part.shape[-1]) for part in parts)
    ends = tuple(itertools.accumulate(len(kernel) for kernel in kernels))[:-1]
    return _dot(dtype, ends, rows, tuple(kernels)).reshape(*parts[0].shape[:-1], -1)


def concatenate(arrays: Sequence[jax.Array], dtype: str, axis: int) -> jax.Array:
    """The arrays, rounded to this dtype, along an axis."""
    arrays = tuple(array.astype(dtype) for array in arrays)
    return arrays[0] if len(arrays) == 1 else _concatenate_bits(axis, arrays)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _concatenate_bits(axis: int, arrays: tuple[jax.Array, ...]) -> jax.Array:
    """As bits: XLA would move the rounding after the concatenation, and copy float32."""
    bits = [lax.bitcast_convert_type(array, _bits(array)) for array in arrays]
    return lax.bitcast_convert_type(jnp.concatenate(bits, axis), arrays[0].dtype)


# Bits have no derivative, and second derivatives go through the forward passes of products.
_concatenate_bits.defjvp(
    lambda axis, primals, tangents: (
        _concatenate_bits(axis, *primals),
        jnp.concatenate(tangents[0], axis),
    )
)


def _bits(array: jax.Array) -> str:
    return f"uint{8 * array.dtype.itemsize}"


def dot_of_rows(left: jax.Array, right: jax.Array) -> jax.Array:
    """left f[n, d], right f[m, ..., d] -> f[n, m, ...], the dot products of all pairs."""
    rows = right.reshape(-1, right.shape[-1])
    dtype = compute_dtype.value
    product = contract(left, rows, 1, 1) if dtype == "float32" else _dot_rows(dtype, left, rows)
    return product.reshape(len(left), *right.shape[:-1])


def dot_by_location(left: jax.Array, right: jax.Array) -> jax.Array:
    """left f[n, *l, d], right f[m, *l, d] -> f[n, m, *l], the dot products location by location."""
    locations = left.shape[1:-1]
    left, right = (x.reshape(len(x), -1, x.shape[-1]) for x in (left, right))
    scores = jax.vmap(dot_of_rows, in_axes=1, out_axes=2)(left, right)
    return scores.reshape(*scores.shape[:2], *locations)


def on_cpu() -> bool:
    """Whether programs run on a CPU."""
    return jax.default_backend() == "cpu"


def contract(left: jax.Array, right: jax.Array, left_axis: int, right_axis: int) -> jax.Array:
    """The product of two matrices over these axes, summed in float32 (float64 of float64)."""
    sums = jnp.promote_types(left.dtype, jnp.float32)
    operations = 2 * left.size * right.shape[1 - right_axis]
    if sums == jnp.float32 and onednn.suits(operations, left.dtype):
        return onednn.dot(left, right, left_axis, right_axis)
    if left_axis == 0 and left.dtype == jnp.bfloat16 and on_cpu():
        (rows, many), few = left.shape, right.shape[1]
        if right_axis == 0 and rows * few + 2 * many * few < rows * many:  # less to transpose
            return transpose(contract(right, left, 0, 0))
        left, left_axis = transpose(left), 1
    dimensions = (((left_axis,), (right_axis,)), ((), ()))
    return lax.dot_general(left, right, dimensions, preferred_element_type=sums)


@jax.custom_jvp
def transpose(matrix: jax.Array) -> jax.Array:
    """A transposed copy of a matrix, which XLA does not fold into a product that uses it.

    XLA's CPU backend has a fast product of bfloat16 operands if the left one is not transposed. A
    plain transpose is folded into the product, which then converts both operands to float32 and
    takes more than twice as long (measured, 4096 x 2048 by 4096 x 2048: 103 against 41 ms).
    """
    rows, columns = matrix.shape
    down, across = math.gcd(rows, 64), math.gcd(columns, 64)
    bits = lax.bitcast_convert_type(matrix, _bits(matrix))
    tiles = bits.reshape(rows // down, down, columns // across, across)
    transposed = tiles.transpose(2, 3, 0, 1).reshape(columns, rows)
    return lax.bitcast_convert_type(transposed, matrix.dtype)


transpose.defjvp(lambda primals, tangents: (transpose(*primals), tangents[0].T))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _dot(
    dtype: str,
    ends: tuple[int, ...],
    parts: tuple[jax.Array, ...],
    kernels: tuple[jax.Array, ...],
) -> jax.Array:
    """The product of the concatenated parts; `ends` are the end indices of all but the last."""
    return _dot_forward(dtype, ends, parts, kernels)[0]


def _dot_forward(dtype, ends, parts, kernels):
    del ends
    rows, kernel = concatenate(parts, dtype, 1), concatenate(kernels, dtype, 0)
    return contract(rows, kernel, 1, 0), (rows, kernel)


def _dot_backward(dtype, ends, residuals, cotangent):
    rows, kernel = residuals
    cotangent = cotangent.astype(dtype)
    d_rows = contract(cotangent, kernel, 1, 1)
    d_kernel = contract(rows, cotangent, 0, 0)
    return tuple(jnp.split(d_rows, ends, axis=1)), tuple(jnp.split(d_kernel, ends))


_dot.defvjp(_dot_forward, _dot_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _dot_rows(dtype: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return _dot_rows_forward(dtype, left, right)[0]


def _dot_rows_forward(dtype, left, right):
    left, right = left.astype(dtype), right.astype(dtype)
    return contract(left, right, 1, 1), (left, right)


def _dot_rows_backward(dtype, residuals, cotangent):
    left, right = residuals
    cotangent = cotangent.astype(dtype)
    return contract(cotangent, right, 1, 0), contract(cotangent, left, 0, 0)


_dot_rows.defvjp(_dot_rows_forward, _dot_rows_backward)
