"""Convolutions and their transposes: operands in the compute dtype, float32 results.

As `products`, in the forward and the backward pass. There are three forms of the same convolution:
oneDNN's on a CPU, or else products of patches, and XLA's.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax.nets import onednn, products

_CHANNELS = 16  # with fewer, the gradient of a kernel is a product of patches


def conv(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Convolution of images f[n,h,w,c] with kernel f[k,k,c,d], the same padding on all sides."""
    # In bfloat16, the derivatives of the forms below would be of another dtype than their operands.
    inputs, kernel = (x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in (inputs, kernel))
    positions = inputs[..., 0].size // stride**2
    form = _conv_by_lax
    if _suits_onednn(positions, kernel, stride, padding):
        form = _conv_by_onednn
    elif products.on_cpu() and not products.forward_only.value:
        form = _conv_by_matmul
    return form(products.compute_dtype.value, stride, padding, inputs, kernel)


def conv_transposed(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Transposed convolution: output[stride * i + k - padding] += input[i] @ kernel[k]."""
    if _suits_onednn(inputs[..., 0].size, kernel, stride, padding):
        return _transposed_by_onednn(
            products.compute_dtype.value, stride, padding, inputs, kernel.swapaxes(2, 3)
        )
    height, width = _transposed_sides(inputs, kernel, stride, padding)
    outputs = _spread(inputs, kernel, stride)
    return outputs[:, padding : padding + height, padding : padding + width]


def _transposed_sides(inputs, kernel, stride: int, padding: int) -> list[int]:
    return [stride * (side - 1) + len(kernel) - 2 * padding for side in inputs.shape[1:3]]


def _suits_onednn(positions: int, kernel: jax.Array, stride: int, padding: int) -> bool:
    """Whether oneDNN is to compute a convolution with this kernel at this many positions."""
    operations, dtype = 2 * positions * kernel.size, products.compute_dtype.value
    return padding + stride <= len(kernel) and onednn.suits(operations, dtype)


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
    outputs = products.contract(rows, _as_matrix(kernel, stride), 1, 0)
    return outputs.reshape(*patches.shape[:-1], -1), (inputs, kernel)


def _conv_by_matmul_backward(dtype, stride, padding, residuals, cotangent):
    inputs, kernel = residuals
    cotangent = cotangent.astype(dtype)
    d_kernel = _kernel_gradient_by_matmul(inputs, cotangent, kernel.shape, stride, padding)
    with products.compute_dtype(dtype):
        d_inputs = _spread(cotangent, kernel.swapaxes(2, 3), stride)
    _, height, width, _ = inputs.shape
    d_inputs = d_inputs[:, padding : padding + height, padding : padding + width]
    # No window reaches the last pixels if the stride does not divide the size.
    _, rows, columns, _ = d_inputs.shape
    d_inputs = jnp.pad(d_inputs, ((0, 0), (0, height - rows), (0, width - columns), (0, 0)))
    return d_inputs, d_kernel


def _kernel_gradient_by_matmul(inputs, cotangent, shape, stride: int, padding: int) -> jax.Array:
    patches = _patches(inputs, shape[0], stride, padding)
    rows = patches.reshape(-1, patches.shape[-1])
    matrix = products.contract(rows, cotangent.reshape(-1, cotangent.shape[-1]), 0, 0)
    return _as_kernel(matrix, shape, stride)


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
    return products.concatenate(slices, inputs.dtype, -1)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _conv_by_onednn(
    dtype: str, stride: int, padding: int, inputs: jax.Array, kernel: jax.Array
) -> jax.Array:
    """The convolution and both its derivatives as convolutions by oneDNN."""
    return _conv_by_onednn_forward(dtype, stride, padding, inputs, kernel)[0]


def _conv_by_onednn_forward(dtype, stride, padding, inputs, kernel):
    inputs, kernel = inputs.astype(dtype), kernel.astype(dtype)
    return _windowed(stride, ((padding,) * 2,) * 2, 1, inputs, kernel), (inputs, kernel)


def _conv_by_onednn_backward(dtype, stride, padding, residuals, cotangent):
    inputs, kernel = residuals
    cotangent = cotangent.astype(dtype)
    d_inputs = _inputs_gradient(cotangent, kernel, stride, padding, inputs.shape[1:3])
    return d_inputs, _kernel_gradient(inputs, cotangent, kernel.shape, stride, padding)


_conv_by_onednn.defvjp(_conv_by_onednn_forward, _conv_by_onednn_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _transposed_by_onednn(
    dtype: str, stride: int, padding: int, inputs: jax.Array, kernel: jax.Array
) -> jax.Array:
    """The transposed convolution with the kernel f[k,k,d,c] of the convolution it transposes."""
    return _transposed_by_onednn_forward(dtype, stride, padding, inputs, kernel)[0]


def _transposed_by_onednn_forward(dtype, stride, padding, inputs, kernel):
    inputs, kernel = inputs.astype(dtype), kernel.astype(dtype)
    sides = _transposed_sides(inputs, kernel, stride, padding)
    outputs = _inputs_gradient(inputs, kernel, stride, padding, sides)
    return outputs, (inputs, kernel)


def _transposed_by_onednn_backward(dtype, stride, padding, residuals, cotangent):
    inputs, kernel = residuals
    cotangent = cotangent.astype(dtype)
    d_inputs = _windowed(stride, ((padding,) * 2,) * 2, 1, cotangent, kernel)
    return d_inputs, _kernel_gradient(cotangent, inputs, kernel.shape, stride, padding)


_transposed_by_onednn.defvjp(_transposed_by_onednn_forward, _transposed_by_onednn_backward)


def _inputs_gradient(cotangent, kernel, stride: int, padding: int, sides) -> jax.Array:
    return _images_gradient(cotangent, kernel, stride, (padding,) * 2, 1, sides)


def _kernel_gradient(inputs, cotangent, shape, stride: int, padding: int) -> jax.Array:
    # Each channel is an image of the convolution: with few, there is little to compute at a time.
    if inputs.shape[-1] < _CHANNELS:
        return _kernel_gradient_by_matmul(inputs, cotangent, shape, stride, padding)
    return _filters_gradient(inputs, cotangent, shape[:2], stride, (padding,) * 2, 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _windowed(
    stride: int, padding: onednn.Padding, dilation: int, images: jax.Array, filters: jax.Array
) -> jax.Array:
    """`onednn.conv`, whose derivatives of any order are convolutions by oneDNN too."""
    return onednn.conv(stride, padding, dilation, images, filters)


def _windowed_forward(stride, padding, dilation, images, filters):
    return _windowed(stride, padding, dilation, images, filters), (images, filters)


def _windowed_backward(stride, padding, dilation, residuals, cotangent):
    images, filters = residuals
    sides = images.shape[1:3]
    # Of the methods' convolutions only these have derivatives of this form.
    if (stride == 1 or dilation == 1) and _fits(stride, padding, dilation, filters.shape):
        cotangent = cotangent.astype(images.dtype)
        starts = [before for before, _ in padding]
        d_images = _images_gradient(cotangent, filters, stride, starts, dilation, sides)
        d_filters = _filters_gradient(
            images, cotangent, filters.shape[:2], stride, starts, dilation
        )
    else:
        plain = functools.partial(onednn.plain_conv, stride, padding, dilation)
        d_images, d_filters = jax.vjp(plain, images, filters)[1](cotangent)
    return d_images.astype(images.dtype), d_filters.astype(filters.dtype)


def _fits(stride: int, padding: onednn.Padding, dilation: int, shape: tuple[int, ...]) -> bool:
    """Whether the paddings of `_images_gradient` are not negative."""
    spans = [dilation * (size - 1) + 1 for size in shape[:2]]
    return all(max(pads) + stride <= span for pads, span in zip(padding, spans, strict=True))


def _images_gradient(
    cotangent: jax.Array,
    filters: jax.Array,
    stride: int,
    starts: Sequence[int],
    dilation: int,
    sides: Sequence[int],
) -> jax.Array:
    """The gradient f[n,h,w,c] of `_windowed` by its images, from that f[n,h',w',d] by its outputs.

    One convolution for the pixels of each of the stride x stride phases, then interleaved. Every
    phase sees the entries of the filters that are the stride apart. The paddings are not negative
    if padding + stride is at most the extent of the filters.

    Args:
      starts: the padding before the first row and the first column.
      dilation: 1, unless the stride is.
      sides: (h, w).
    """
    counts = [-(-side // stride) for side in sides]
    phases = []
    for phase in np.ndindex(stride, stride):
        taps, window = [], []
        axes = zip(phase, starts, counts, cotangent.shape[1:3], filters.shape[:2], strict=True)
        for first, before, count, outputs, size in axes:
            shift, start = divmod(first + before, stride)
            entries = range(start, size, stride)
            taps.append(slice(start, None, stride))
            reach = dilation * (len(entries) - 1)
            window.append((reach - shift, count - outputs + shift))
        part = filters[tuple(taps)][::-1, ::-1].swapaxes(2, 3)
        phases.append(_windowed(1, tuple(window), dilation, cotangent, part))
    n, *_, channels = phases[0].shape
    blocks = jnp.stack(phases, 3).reshape(n, *counts, stride, stride, channels)
    pixels = blocks.transpose(0, 1, 3, 2, 4, 5)
    pixels = pixels.reshape(n, *(stride * count for count in counts), channels)
    return pixels[:, : sides[0], : sides[1]]


def _filters_gradient(
    images: jax.Array,
    cotangent: jax.Array,
    sizes: Sequence[int],
    stride: int,
    starts: Sequence[int],
    dilation: int,
) -> jax.Array:
    """The gradient f[k,l,c,d] of `_windowed` by its filters, from that f[n,h',w',d] by its outputs.

    A convolution of each channel's images, with examples as channels, by the cotangent.

    Args:
      sizes: (k, l).
      starts: the padding before the first row and the first column.
    """
    n, *sides, channels = images.shape
    ends, window = [], []
    axes = zip(sides, cotangent.shape[1:3], sizes, starts, strict=True)
    for side, outputs, size, before in axes:
        span = stride * (outputs - 1) + dilation * (size - 1) + 1  # of the padded images
        ends.append(min(side, span - before))
        window.append((before, span - before - ends[-1]))
    examples_last = products.transpose(images.reshape(n, -1)).reshape(*sides, channels, n)
    parts = examples_last.transpose(2, 0, 1, 3)[:, : ends[0], : ends[1]]
    filters = cotangent.transpose(1, 2, 0, 3)
    return _windowed(dilation, tuple(window), stride, parts, filters).transpose(1, 2, 0, 3)


_windowed.defvjp(_windowed_forward, _windowed_backward)
