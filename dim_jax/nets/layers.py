"""Layers with the initialisation and normalisation constants of the published experiments.

The original code is in PyTorch, whose defaults differ from Flax's: weights AND biases are uniform
within +-1/sqrt(fan_in), batch norm has momentum 0.1 (0.9 in Flax's convention) and eps 1e-5, layer
norm has eps 1e-5.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from dim_jax import contracts
from dim_jax.nets import convolutions, products

# `with norm_groups(k): ...`: batch norm traced inside it has k groups by default.
norm_groups = jax.make_user_context(1)

_MOMENTUM, EPSILON = 0.9, 1e-5  # PyTorch's defaults

# variance_scaling's uniform limit is sqrt(3 * scale / fan_in); 1/3 makes it 1/sqrt(fan_in).
fan_in_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _uniform_within(limit: float):
    return lambda rng, shape, dtype=jnp.float32: jax.random.uniform(
        rng, shape, dtype, -limit, limit
    )


def noisy_identity(rng: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """A kernel f[c, features] that almost copies its input, or where it cannot, a random one.

    With as many features as inputs or more: uniform within +-0.01 with ones on the diagonal. With
    fewer, a diagonal would copy the first inputs and drop the others: `fan_in_uniform`.

    Source: official DIM code, mi_networks.py; official AMDIM code, model.py.
    """
    if shape[1] < shape[0]:
        return fan_in_uniform(rng, shape, dtype)
    noise = jax.random.uniform(rng, shape, dtype, -0.01, 0.01)
    return jnp.where(jnp.eye(*shape, dtype=bool), jnp.ones((), dtype), noise)


def per_channel(numbers: jax.Array, inputs: jax.Array) -> jax.Array:
    """Numbers f[c] with as many axes as inputs f[..., c], where JAX is not to promote ranks."""
    return lax.expand_dims(numbers, range(inputs.ndim - 1))


class Kernel(nn.Module):
    """The kernel f[c, features] of a linear map of f[..., c], for products computed elsewhere."""

    features: int
    kernel_init: nn.initializers.Initializer = fan_in_uniform

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        return self.param("kernel", self.kernel_init, (inputs.shape[-1], self.features))


class Linear(nn.Module):
    """Affine map of the last axis, f[..., c] -> f[..., features]; a 1x1 convolution on maps.

    If given, the product of `shortcut`, a pair of inputs and kernel, is added.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = fan_in_uniform

    @nn.compact
    def __call__(
        self, inputs: jax.Array, shortcut: tuple[jax.Array, jax.Array] | None = None
    ) -> jax.Array:
        fan_in = inputs.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (fan_in, self.features))
        parts = [(inputs, kernel), *([shortcut] if shortcut else [])]
        outputs = products.dot_of_parts(*zip(*parts, strict=True))
        if not self.use_bias:
            return outputs
        limit = 1 / math.sqrt(fan_in)
        bias = self.param("bias", _uniform_within(limit), (self.features,))
        return outputs + per_channel(bias, outputs)


def normed_linear(
    inputs: jax.Array, features: int, *, train: bool, linear: str, norm: str
) -> jax.Array:
    """Linear map without bias, then batch norm, f[..., c] -> f[..., features].

    Called inside a module; `linear` and `norm` are the names of the two submodules. With at least
    twice as many features as inputs, batch statistics are computed from the covariance of the
    inputs, which saves another pass over the outputs, also in the backward pass.
    """
    if 2 * inputs.shape[-1] > features or norm_groups.value > 1:
        outputs = Linear(features, use_bias=False, name=linear)(inputs)
        return batch_norm(train, name=norm)(outputs)
    kernel = Kernel(features, name=linear)(inputs)
    return _NormOfLinear(train, name=norm)(inputs, kernel)


@jax.custom_vjp
def _gram(rows: jax.Array) -> jax.Array:
    """rows^T rows, f[n,c] -> f[c,c]; its derivative is one product, where JAX would use two."""
    return rows.T @ rows


_gram.defvjp(
    lambda rows: (rows.T @ rows, rows),
    lambda rows, cotangent: (rows @ (cotangent + cotangent.T),),
)


class _NormOfLinear(nn.Module):
    """Batch norm of inputs f[..., c] @ kernel f[c, d], with its usual parameters and statistics."""

    train: bool

    @nn.compact
    def __call__(self, inputs: jax.Array, kernel: jax.Array) -> jax.Array:
        features = (kernel.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, features)
        bias = self.param("bias", nn.initializers.zeros, features)
        running = [
            self.variable("batch_stats", "mean", jnp.zeros, features),
            self.variable("batch_stats", "var", jnp.ones, features),
        ]
        mean, var = (variable.value for variable in running)
        if self.train:
            rows = inputs.reshape(-1, inputs.shape[-1])
            centre = rows.mean(0)
            inputs, rows = inputs - per_channel(centre, inputs), rows - centre[None]
            covariance = _gram(rows) / len(rows)
            mean, var = centre @ kernel, jnp.sum(kernel * (covariance @ kernel), 0)
            for variable, value in zip(running, (mean, var), strict=True):
                average = _MOMENTUM * variable.value + (1 - _MOMENTUM) * value
                variable.value = lax.stop_gradient(average)
        factor = scale * lax.rsqrt(var + EPSILON)
        outputs = products.dot(inputs, kernel * factor[None])
        bias, mean = (per_channel(numbers, outputs) for numbers in (bias, mean * factor))
        outputs += bias
        return outputs if self.train else outputs - mean


class Conv(nn.Module):
    """Convolution with a square kernel, by default without bias, f[n,h,w,c] -> f[n,h',w',features].

    Padding is explicit on both sides, as in the original code: "SAME" differs for k=3, s=2.
    """

    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    use_bias: bool = False  # batch norm follows
    kernel_init: nn.initializers.Initializer = fan_in_uniform

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        outputs = convolutions.conv(inputs, kernel, self.stride, self.padding)
        if not self.use_bias:
            return outputs
        limit = 1 / math.sqrt(math.prod(shape[:3]))
        bias = self.param("bias", _uniform_within(limit), (self.features,))
        return outputs + per_channel(bias, outputs)


class ConvTranspose(nn.Module):
    """Transposed convolution with a square kernel, no bias, f[n,h,w,c] -> f[n,h',w',features].

    output[stride * i + k - padding] += input[i] @ kernel[k] along each side, so that
    h' = stride * (h - 1) + kernel - 2 * padding; kernel 4, stride 2, padding 1 doubles the size.

    Source: PyTorch, ConvTranspose2d (output_padding 0, no dilation).
    Differs: the kernel is stored as f[k,k,c,features]. Its initialisation is the original's, where
    the fan-in counts the output channels: uniform within 1/sqrt(features * kernel^2).
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
        return convolutions.conv_transposed(inputs, kernel, self.stride, self.padding)


def norm(
    kind: str,
    train: bool,
    name: str | None = None,
    scale_init: nn.initializers.Initializer = nn.initializers.ones,
) -> Callable[[jax.Array], jax.Array]:
    """The normalisation after a linear map or convolution without bias, f[n,...,c] -> f[n,...,c].

    Args:
      kind: "batch", `batch_norm`; "layer", layer norm over the channels of one location, so that
        locations stay independent; "none", a bias, initialised to 0.

    Raises: contracts.UserError: another kind.
    """
    kinds = {
        "batch": lambda: batch_norm(train, name, scale_init=scale_init),
        "layer": lambda: nn.LayerNorm(epsilon=EPSILON, scale_init=scale_init, name=name),
        "none": lambda: _Bias(name=name),
    }
    if kind not in kinds:
        raise contracts.unknown("norm", kind, kinds)
    return kinds[kind]()


def batch_norm(
    train: bool,
    name: str | None = None,
    groups: int | None = None,
    scale_init: nn.initializers.Initializer = nn.initializers.ones,
) -> nn.Module:
    """Batch norm over all axes but the last, of the global batch or of groups (ghost batch norm).

    With k groups, every n/k consecutive examples (entries of the first axis) are normalised by
    their mean and variance, and the running averages are updated with the means over groups. With
    one group per device these are per-device statistics: the forward and backward pass need no
    communication; the running averages need that of 2 numbers for each channel.

    Args:
      groups: k; by default that of the context `norm_groups`, 1 outside of it. Evaluation mode,
        parameters and state are the same for every k.

    Raises: contracts.UserError: when called, if the groups do not divide the examples, or if in
      training they have one value of each channel only, which would become 0.
    """
    groups = norm_groups.value if groups is None else groups
    return BatchNorm(train, groups, scale_init, name=name)


class BatchNorm(nn.Module):
    """`batch_norm`, with the names of `nn.BatchNorm`'s parameters and statistics."""

    train: bool
    groups: int = 1
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        width = inputs.shape[-1:]
        scale = self.param("scale", self.scale_init, width)
        bias = self.param("bias", nn.initializers.zeros, width)
        running = [
            self.variable("batch_stats", "mean", jnp.zeros, width),
            self.variable("batch_stats", "var", jnp.ones, width),
        ]
        x = inputs.astype(jnp.float32)
        if not self.train:
            mean, variance = (per_channel(variable.value, x) for variable in running)
        else:
            self._check(inputs)
            grouped = self.groups > 1
            x = x.reshape(self.groups, -1, *width) if grouped else x
            axes = tuple(range(grouped, x.ndim - 1))
            mean = x.mean(axes, keepdims=True)
            variance = jnp.square(x).mean(axes, keepdims=True) - jnp.square(mean)
            variance = jnp.maximum(variance, 0.0)
            if not self.is_initializing():
                for variable, values in zip(running, (mean, variance), strict=True):
                    values = values.reshape(-1, *width).mean(axis=0)
                    average = _MOMENTUM * variable.value + (1 - _MOMENTUM) * values
                    variable.value = lax.stop_gradient(average)
        # Not (x - mean) * factor: its derivative would store x - mean.
        factor = per_channel(scale, x) * lax.rsqrt(variance + EPSILON)
        shift = per_channel(bias, x) - mean * factor
        return (x * factor + shift).reshape(inputs.shape)

    def _check(self, inputs: jax.Array) -> None:
        if len(inputs) % self.groups:
            raise contracts.UserError(
                f"batch norm got {len(inputs)} examples, which {self.groups} groups do not divide; "
                "set train.norm_groups to a divisor of the batch"
            )
        if inputs.size <= self.groups * inputs.shape[-1]:
            raise contracts.UserError(
                "batch norm in training got one value of each channel, which it turns into 0; set "
                "train.batch_size to a larger number, or fewer parts (norm_groups, microbatches, "
                "accumulate)"
            )


class _Bias(nn.Module):
    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        bias = self.param("bias", nn.initializers.zeros, inputs.shape[-1:])
        return inputs + per_channel(bias, inputs)


class ScaleAndBias(nn.Module):
    """The scale and bias f[c] of a norm of inputs f[..., c], for norms computed elsewhere."""

    @nn.compact
    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        features = (inputs.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, features)
        return scale, self.param("bias", nn.initializers.zeros, features)


def layer_normed(inputs: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Layer norm over the last axis."""
    centred = inputs - inputs.mean(-1, keepdims=True)
    variance = jnp.mean(centred**2, -1, keepdims=True)
    scale, bias = (per_channel(numbers, inputs) for numbers in (scale, bias))
    return centred * lax.rsqrt(variance + EPSILON) * scale + bias


def moments(
    responses: jax.Array, positions: jax.Array, floor: float
) -> tuple[jax.Array, jax.Array]:
    """Mean and variance f[...,d] of the channels' positions f[k,d] under responses f[...,k].

    Args:
      floor: added to the variance, as a multiple of the variance of the positions, so that their
        scale has no effect. If all positions are equal it is a multiple of 1: a distribution of
        variance 0 has no density.
    """
    centre = positions.mean(axis=0)
    offsets = positions - centre[None]
    both = jnp.concatenate([offsets, offsets**2], axis=1)
    # In full precision on every device and for every compute dtype: the variance is a difference
    # of nearly equal numbers, for which TF32 has errors of tens of percent at the sharpest
    # responses.
    sums = jnp.dot(responses, both, precision=lax.Precision.HIGHEST)
    mean, square = jnp.split(sums, 2, axis=-1)
    spread = jnp.mean(offsets**2, axis=0)
    least = floor * jnp.where(spread > 0, spread, 1.0)
    centre, least = (per_channel(numbers, mean) for numbers in (centre, least))
    return mean + centre, jnp.maximum(square - mean**2, 0.0) + least


def gradients(images: jax.Array) -> jax.Array:
    """Sobel derivatives along width and height of the grey images, f[n,h,w,c] -> f[n,h,w,2].

    Grey is the mean of the channels; the padding is 0, the mid-grey of normalised images. The
    kernels are [1, 2, 1] across and [-1, 0, 1] along the derivative, without a scale.

    Source: Bojanowski & Joulin 2017; official NAT code, main.lua.
    Differs: the original adds a random constant, which is not trained, to each derivative.
    """
    grey = jnp.pad(images.mean(axis=-1), ((0, 0), (1, 1), (1, 1)))
    across_rows = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    across_columns = grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]
    along_width = across_rows[:, :, 2:] - across_rows[:, :, :-2]
    along_height = across_columns[:, 2:] - across_columns[:, :-2]
    return jnp.stack([along_width, along_height], axis=-1)
