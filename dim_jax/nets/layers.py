"""Layers with the initialisation and the normalisation constants behind the published numbers.

The originals are PyTorch code; its defaults differ from Flax's:
weights AND biases are uniform within +-1/sqrt(fan_in), batch norm averages with weight 0.1 and
eps 1e-5, layer norm has eps 1e-5.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# variance_scaling's uniform limit is sqrt(3 * scale / fan_in); 1/3 makes it 1/sqrt(fan_in).
fan_in_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _uniform_within(limit: float):
    return lambda rng, shape, dtype=jnp.float32: jax.random.uniform(
        rng, shape, dtype, -limit, limit
    )


def noisy_identity(rng: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """Uniform within +-0.01 with ones on the diagonal: a shortcut that starts as a copy.

    Source: official DIM code, mi_networks.py.
    """
    noise = jax.random.uniform(rng, shape, dtype, -0.01, 0.01)
    return jnp.where(jnp.eye(*shape, dtype=bool), jnp.ones((), dtype), noise)


class Linear(nn.Module):
    """Affine map of the last axis, f[..., c] -> f[..., features]; a 1x1 convolution on maps."""

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = fan_in_uniform

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        fan_in = inputs.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (fan_in, self.features))
        outputs = inputs @ kernel
        if not self.use_bias:
            return outputs
        limit = 1 / math.sqrt(fan_in)
        return outputs + self.param("bias", _uniform_within(limit), (self.features,))


class Conv(nn.Module):
    """Square convolution without bias (batch norm follows), f[n,h,w,c] -> f[n,h',w',features].

    Padding is explicit on both sides, as in the originals: "SAME" differs for k=3, s=2.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, inputs.shape[-1], self.features)
        kernel = self.param("kernel", fan_in_uniform, shape)
        return _conv(inputs, kernel, self.stride, self.padding)


class ConvTranspose(nn.Module):
    """Square transposed convolution without bias, f[n,h,w,c] -> f[n,h',w',features].

    output[stride * i + k - padding] += input[i] @ kernel[k] along each side, so that
    h' = stride * (h - 1) + kernel - 2 * padding; kernel 4, stride 2, padding 1 doubles the size.

    Source: PyTorch, ConvTranspose2d (output_padding 0, no dilation).
    Differs: the kernel is stored f[k,k,c,features]. Its initial limit is the original's, where
    the fan-in counts the output channels: 1/sqrt(features * kernel^2).
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, inputs.shape[-1], self.features)
        limit = 1 / math.sqrt(self.features * self.kernel**2)
        kernel = self.param("kernel", _uniform_within(limit), shape)
        return _conv_transposed(inputs, kernel, self.stride, self.padding)


def _conv_transposed(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """A plain convolution that gives stride x stride pixels for each position, then unfolded.

    No zeros are multiplied, except where stride does not divide the kernel. The backward pass of
    `lax.conv_transpose` is pathologically slow on a CPU.
    """
    n, height, width, channels = inputs.shape
    size, features = kernel.shape[0], kernel.shape[-1]
    taps = -(-size // stride)  # input pixels that reach an output pixel, along one side
    missing = taps * stride - size
    blocks = jnp.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
    blocks = blocks.reshape(taps, stride, taps, stride, channels, features)[::-1, :, ::-1]
    blocks = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(taps, taps, channels, -1)
    outputs = _conv(inputs, blocks, 1, taps - 1)
    rows, columns = outputs.shape[1:3]
    outputs = outputs.reshape(n, rows, columns, stride, stride, features)
    outputs = outputs.transpose(0, 1, 3, 2, 4, 5)
    outputs = outputs.reshape(n, rows * stride, columns * stride, features)
    height, width = (stride * (side - 1) + size - 2 * padding for side in (height, width))
    return outputs[:, padding : padding + height, padding : padding + width]


def _conv(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    form = _conv_by_matmul if jax.default_backend() == "cpu" else _conv_by_lax
    return form(inputs, kernel, stride, padding)


def _conv_by_lax(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    return lax.conv_general_dilated(
        inputs,
        kernel,
        (stride, stride),
        ((padding, padding),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _conv_by_matmul(inputs: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """The same convolution as one matmul over patches cut by strided slices.

    XLA's CPU convolution runs on one thread inside `lax.scan`: measured 40 times slower for the
    DIM step, while this form is as fast inside a scan as outside.
    """
    size = kernel.shape[0]
    padded = jnp.pad(inputs, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    n, height, width, channels = padded.shape
    last_row, last_column = height - size, width - size
    patches = [
        lax.slice(
            padded,
            (0, row, column, 0),
            (n, row + last_row + 1, column + last_column + 1, channels),
            (1, stride, stride, 1),
        )
        for row in range(size)
        for column in range(size)
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def batch_norm(train: bool, name: str | None = None) -> nn.BatchNorm:
    """Batch norm over all axes but the last, over the global batch."""
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, name=name)


def layer_norm(name: str | None = None) -> nn.LayerNorm:
    """Layer norm over the last axis."""
    return nn.LayerNorm(epsilon=1e-5, name=name)


def max_pool(inputs: jax.Array, window: int, stride: int) -> jax.Array:
    """Max pooling without padding, sizes rounded down."""
    return nn.max_pool(inputs, (window, window), (stride, stride), "VALID")
