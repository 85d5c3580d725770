"""Mixed-precision matrix products and convolutions: operands in the compute dtype, float32 results.

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

DTYPES = ("float32", "bfloat16")
# `with compute_dtype(name): ...`: the dtype of the operands of products traced inside it.
compute_dtype = jax.make_user_context("float32")


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
        return jnp.concatenate(parts, -1) @ jnp.concatenate(kernels)
    rows = tuple(part.reshape(-1, part.shape[-1]) for part in parts)
    ends = tuple(itertools.accumulate(len(kernel) for kernel in kernels))[:-1]
    return _dot(dtype, ends, rows, tuple(kernels)).reshape(*parts[0].shape[:-1], -1)


def _concatenate(arrays: Sequence[jax.Array], dtype: str, axis: int) -> jax.Array:
    arrays = [array.astype(dtype) for array in arrays]
    if len(arrays) == 1:
        return arrays[0]
    # As bits: XLA would move the rounding after the concatenation, and copy float32.
    bits = [lax.bitcast_convert_type(array, _bits(array)) for array in arrays]
    return lax.bitcast_convert_type(jnp.concatenate(bits, axis), arrays[0].dtype)


def _bits(array: jax.Array) -> str:
    return f"uint{8 * array.dtype.itemsize}"


def dot_of_rows(left: jax.Array, right: jax.Array) -> jax.Array:
    """left f[n, d], right f[m, ..., d] -> f[n, m, ...], the dot products of all pairs."""
    rows = right.reshape(-1, right.shape[-1])
    dtype = compute_dtype.value
    product = _contract(left, rows, 1, 1) if dtype == "float32" else _dot_rows(dtype, left, rows)
    return product.reshape(len(left), *right.shape[:-1])


def dot_by_location(left: jax.Array, right: jax.Array) -> jax.Array:
    """left f[n, *l, d], right f[m, *l, d] -> f[n, m, *l], the dot products location by location."""
    locations = left.shape[1:-1]
    left, right = (x.reshape(len(x), -1, x.shape[-1]) for x in (left, right))
    scores = jax.vmap(dot_of_rows, in_axes=1, out_axes=2)(left, right)
    return scores.reshape(*scores.shape[:2], *locations)


def conv(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolution of images f[n,h,w,c] with kernel f[k,k,c,d], the same padding on all sides."""
    form = _conv_by_matmul if _on_cpu() else _conv_by_lax
    return form(compute_dtype.value, stride, padding, inputs, kernel)


def conv_transposed(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Transposed convolution: output[stride * i + k - padding] += input[i] @ kernel[k]."""
    outputs = _spread(inputs, kernel, stride)
    height, width = (
        stride * (side - 1) + kernel.shape[0] - 2 * padding for side in inputs.shape[1:3]
    )
    return outputs[:, padding : padding + height, padding : padding + width]


def _spread(inputs: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The transposed convolution without padding, with a few more zeros at the end.

    Computed as a plain convolution that gives stride x stride pixels for each position, then
    unfolded. No zeros are multiplied if the stride divides the kernel. The backward pass of
    `lax.conv_transpose` is very slow on a CPU.
    """
    n, _, _, channels = inputs.shape
    size, features = kernel.shape[0], kernel.shape[-1]
    taps = -(-size // stride)  # input pixels that reach an output pixel, along one side
    missing = taps * stride - size
    blocks = jnp.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
    blocks = blocks.reshape(taps, stride, taps, stride, channels, features)[::-1, :, ::-1]
    blocks = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(taps, taps, channels, -1)
    outputs = conv(inputs, blocks, 1, taps - 1)
    rows, columns = outputs.shape[1:3]
    outputs = outputs.reshape(n, rows, columns, stride, stride, features)
    outputs = outputs.transpose(0, 1, 3, 2, 4, 5)
    return outputs.reshape(n, rows * stride, columns * stride, features)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _contract(left: jax.Array, right: jax.Array, left_axis: int, right_axis: int) -> jax.Array:
    """The product of two matrices over these axes, summed in float32."""
    if left_axis == 0 and left.dtype == jnp.bfloat16 and _on_cpu():
        (rows, many), few = left.shape, right.shape[1]
        if right_axis == 0 and rows * few + 2 * many * few < rows * many:  # less to transpose
            return _transpose(_contract(right, left, 0, 0))
        left, left_axis = _transpose(left), 1
    dimensions = (((left_axis,), (right_axis,)), ((), ()))
    return lax.dot_general(left, right, dimensions, preferred_element_type=jnp.float32)


def _transpose(matrix: jax.Array) -> jax.Array:
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
    rows, kernel = _concatenate(parts, dtype, 1), _concatenate(kernels, dtype, 0)
    return _contract(rows, kernel, 1, 0), (rows, kernel)


def _dot_backward(dtype, ends, residuals, cotangent):
    rows, kernel = residuals
    cotangent = cotangent.astype(dtype)
    d_rows = _contract(cotangent, kernel, 1, 1)
    d_kernel = _contract(rows, cotangent, 0, 0)
    return tuple(jnp.split(d_rows, ends, axis=1)), tuple(jnp.split(d_kernel, ends))


_dot.defvjp(_dot_forward, _dot_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _dot_rows(dtype: str, left: jax.Array, right: jax.Array) -> jax.Array:
    return _dot_rows_forward(dtype, left, right)[0]


def _dot_rows_forward(dtype, left, right):
    left, right = left.astype(dtype), right.astype(dtype)
    return _contract(left, right, 1, 1), (left, right)


def _dot_rows_backward(dtype, residuals, cotangent):
    left, right = residuals
    cotangent = cotangent.astype(dtype)
    return _contract(cotangent, right, 1, 0), _contract(cotangent, left, 0, 0)


_dot_rows.defvjp(_dot_rows_forward, _dot_rows_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _conv_by_matmul(
    dtype: str, stride: int, padding: int, inputs: jax.Array, kernel: jax.Array
) -> jax.Array:
    """The convolution as one matmul over patches.

    XLA's CPU convolution runs on one thread inside `lax.scan`, which was measured to be 40 times
    slower for the DIM step; this form is as fast inside a scan as outside.
    """
    return _conv_by_matmul_forward(dtype, stride, padding, inputs, kernel)[0]


def _conv_by_matmul_forward(dtype, stride, padding, inputs, kernel):
    inputs, kernel = inputs.astype(dtype), kernel.astype(dtype)
    patches = _patches(inputs, kernel.shape[0], stride, padding)
    rows = patches.reshape(-1, patches.shape[-1])
    outputs = _contract(rows, _as_matrix(kernel, stride), 1, 0)
    return outputs.reshape(*patches.shape[:-1], -1), (inputs, kernel)


def _conv_by_matmul_backward(dtype, stride, padding, residuals, cotangent):
    inputs, kernel = residuals
    cotangent = cotangent.astype(dtype)
    patches = _patches(inputs, kernel.shape[0], stride, padding)
    rows = patches.reshape(-1, patches.shape[-1])
    d_kernel = _contract(rows, cotangent.reshape(-1, cotangent.shape[-1]), 0, 0)
    with compute_dtype(dtype):
        d_inputs = _spread(cotangent, kernel.swapaxes(2, 3), stride)
    _, height, width, _ = inputs.shape
    d_inputs = d_inputs[:, padding : padding + height, padding : padding + width]
    # No window reaches the last pixels if the stride does not divide the size.
    _, rows, columns, _ = d_inputs.shape
    d_inputs = jnp.pad(d_inputs, ((0, 0), (0, height - rows), (0, width - columns), (0, 0)))
    return d_inputs, _as_kernel(d_kernel, kernel.shape, stride)


_conv_by_matmul.defvjp(_conv_by_matmul_forward, _conv_by_matmul_backward)


def _has_blocks(size: int, stride: int) -> bool:
    """Whether a kernel divides into blocks of stride x stride pixels."""
    return stride > 1 and size % stride == 0


def _patches(inputs: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """The input patch at each position of the kernel, f[n,h',w',size * size * c].

    If the stride divides the kernel, blocks of pixels become channels first, which gives larger
    and fewer slices.
    """
    padded = jnp.pad(inputs, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    if _has_blocks(size, stride):
        return _patches(_space_to_depth(padded, stride), size // stride, 1, 0)
    n, height, width, channels = padded.shape
    last_row, last_column = height - size, width - size
    slices = [
        lax.slice(
            padded,
            (0, row, column, 0),
            (n, row + last_row + 1, column + last_column + 1, channels),
            (1, stride, stride, 1),
        )
        for row in range(size)
        for column in range(size)
    ]
    return _concatenate(slices, inputs.dtype, -1)


def _space_to_depth(images: jax.Array, block: int) -> jax.Array:
    """Blocks of pixels as channels, f[n,h,w,c] -> f[n,h/b,w/b,b*b*c]; the remainder is cut off."""
    n, height, width, channels = images.shape
    height, width = height // block, width // block
    blocks = images[:, : height * block, : width * block]
    blocks = blocks.reshape(n, height, block, width, block, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, -1)


def _as_matrix(kernel: jax.Array, stride: int) -> jax.Array:
    """The kernel f[k,k,c,d] as f[k*k*c,d], in the order of `_patches`."""
    size, _, channels, features = kernel.shape
    if _has_blocks(size, stride):
        blocks = kernel.reshape(size // stride, stride, size // stride, stride, channels, features)
        kernel = blocks.transpose(0, 2, 1, 3, 4, 5)
    return kernel.reshape(-1, features)


def _as_kernel(matrix: jax.Array, shape: tuple[int, ...], stride: int) -> jax.Array:
    """The inverse of `_as_matrix`."""
    size, _, channels, features = shape
    if not _has_blocks(size, stride):
        return matrix.reshape(shape)
    taps = size // stride
    blocks = matrix.reshape(taps, taps, stride, stride, channels, features)
    return blocks.transpose(0, 2, 1, 3, 4, 5).reshape(shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _conv_by_lax(
    dtype: str, stride: int, padding: int, inputs: jax.Array, kernel: jax.Array
) -> jax.Array:
    """XLA's convolution, with a derivative for mixed precision.

    JAX's derivative would multiply a float32 cotangent with bfloat16 operands, which is an error.
    """
    return _conv_by_lax_forward(dtype, stride, padding, inputs, kernel)[0]


def _conv_by_lax_forward(dtype, stride, padding, inputs, kernel):
    inputs, kernel = inputs.astype(dtype), kernel.astype(dtype)
    outputs = lax.conv_general_dilated(
        inputs,
        kernel,
        (stride, stride),
        ((padding, padding),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        preferred_element_type=jnp.float32,
    )
    return outputs, (inputs, kernel)


def _conv_by_lax_backward(dtype, stride, padding, residuals, cotangent):
    inputs, kernel = residuals
    cotangent = cotangent.astype(dtype)
    size = kernel.shape[0]
    spans = [stride * (side - 1) + 1 for side in cotangent.shape[1:3]]
    sides = list(zip(inputs.shape[1:3], spans, strict=True))
    d_inputs = lax.conv_general_dilated(
        cotangent,
        kernel[::-1, ::-1].swapaxes(2, 3),
        (1, 1),
        [(size - 1 - padding, side - span + padding) for side, span in sides],
        lhs_dilation=(stride, stride),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        preferred_element_type=jnp.float32,
    )
    d_kernel = lax.conv_general_dilated(
        inputs,
        cotangent,
        (1, 1),
        [(padding, size - 1 + span - side - padding) for side, span in sides],
        rhs_dilation=(stride, stride),
        dimension_numbers=("CHWN", "IHWO", "HWNC"),
        preferred_element_type=jnp.float32,
    )
    return d_inputs, d_kernel


_conv_by_lax.defvjp(_conv_by_lax_forward, _conv_by_lax_backward)
