"""The residual critic of WGAN-GP, and the layers that it shares with its generator.

3x3 convolutions are uniform with variance 4 / (fan_in + fan_out) ("He" in the released code),
`HE`; shortcuts and linear layers have variance 2 / (fan_in + fan_out), `GLOROT`. Biases are 0.

Source: Gulrajani et al. 2017; their released code, gan_cifar_resnet.py (32 pixels) and
  gan_64x64.py (64 pixels, "good"), tflib/ops.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import convolutions, layers, pooling, products, pure

HE = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
GLOROT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


class Convolution(nn.Module):
    """3x3 convolution with padding 1, f[n,h,w,c] -> f[n,h',w',features]; its bias starts from 0.

    `resample` "up" repeats every pixel of the input twice along both sides, "down" averages blocks
    of 2x2 pixels of the output. Both are computed as one 4x4 convolution with stride 2 (for "up"
    its transpose), whose kernel sums shifted copies of the 3x3 kernel: 4/9 of the products.
    """

    features: int
    resample: Literal["none", "up", "down"] = "none"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = HE

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (3, 3, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        if self.resample == "none":
            outputs = convolutions.conv(inputs, kernel, 1, 1)
        elif self.resample == "up":
            kernel = _sum_shifted(kernel)[::-1, ::-1]
            outputs = convolutions.conv_transposed(inputs, kernel, 2, 1)
        else:
            outputs = convolutions.conv(inputs, _sum_shifted(kernel) / 4, 2, 1)
        if not self.use_bias:
            return outputs
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return outputs + layers.per_channel(bias, outputs)


def _sum_shifted(kernel: jax.Array) -> jax.Array:
    """The 4x4 kernel of a 3x3 convolution and the sum of 2x2 pixels."""
    shifts = [(row, column) for row in (0, 1) for column in (0, 1)]
    return sum(jnp.pad(kernel, ((r, 1 - r), (c, 1 - c), (0, 0), (0, 0))) for r, c in shifts)


class Dense(nn.Module):
    """Affine map of the last axis, f[..., c] -> f[..., features]; its bias starts from 0."""

    features: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        shape = (inputs.shape[-1], self.features)
        outputs = products.dot(inputs, self.param("kernel", GLOROT, shape))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return outputs + layers.per_channel(bias, outputs)


class _LayerNorm(nn.Module):
    """Layer norm over all axes of an example, with a scale and a bias for each channel."""

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        width = inputs.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, width)
        bias = self.param("bias", nn.initializers.zeros, width)
        axes = tuple(range(1, inputs.ndim))
        centred = inputs - inputs.mean(axes, keepdims=True)
        variance = jnp.square(centred).mean(axes, keepdims=True)
        scale, bias = (layers.per_channel(numbers, inputs) for numbers in (scale, bias))
        return centred * jax.lax.rsqrt(variance + layers.EPSILON) * scale + bias


class _Block(nn.Module):
    """A residual block; the shortcut is the input, or its mean pooling and a 1x1 convolution."""

    features: int
    down: bool
    norm: str
    conv1_bias: bool

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        x = nn.relu(self._normalise(inputs, "norm1"))
        x = Convolution(inputs.shape[-1], use_bias=self.conv1_bias, name="conv1")(x)
        x = nn.relu(self._normalise(x, "norm2"))
        x = Convolution(self.features, "down" if self.down else "none", name="conv2")(x)
        if not self.down:
            return inputs + x
        return Dense(self.features, name="shortcut")(pooling.average_pool(inputs, 2, 2)) + x

    def _normalise(self, x: jax.Array, name: str) -> jax.Array:
        return _LayerNorm(name=name)(x) if self.norm == "layer" else x


class _FirstBlock(nn.Module):
    """The block that reads the image: without a ReLU and a norm before its first convolution."""

    features: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.relu(Convolution(self.features, name="conv1")(images))
        x = Convolution(self.features, "down", name="conv2")(x)
        return Dense(self.features, name="shortcut")(pooling.average_pool(images, 2, 2)) + x


class _Critic(nn.Module):
    width: int
    norm: str

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        del train
        if images.shape[1] == 32:
            x = _FirstBlock(self.width, name="block0")(images)
            for index, down in enumerate((True, False, False), start=1):
                x = _Block(self.width, down, self.norm, True, name=f"block{index}")(x)
            conv, fc = x, nn.relu(x).mean((1, 2))
        else:
            x = Convolution(self.width, kernel_init=GLOROT, name="conv")(images)
            for index, factor in enumerate((2, 4, 8, 8)):
                block = _Block(self.width * factor, True, self.norm, False, name=f"block{index}")
                x = block(x)
            conv, fc = x, x.reshape(len(x), -1)
        return {"conv": conv, "fc": fc, "y": Dense(1, name="y")(fc)}


def _check(images: jax.Array) -> None:
    if images.ndim != 4 or images.shape[1:3] not in ((32, 32), (64, 64)):
        size = "x".join(map(str, images.shape[1:3]))
        raise contracts.UserError(
            f"images are {size} pixels and the encoder 'resnet_critic' needs 32x32 or 64x64; set "
            "data.image_size=32 (data.fit=pad keeps smaller images as they are) or choose another "
            "encoder"
        )


def resnet_critic(*, width: int, norm: Literal["none", "layer"]) -> pure.Net:
    """The residual critic for images of 32x32 or 64x64; y is its score f[n,1], any number.

    32 pixels: a block that reads the image and halves it, one more that halves, two that do not,
    all of `width` channels; ReLU, the mean over the map, a linear layer. 64 pixels: a 3x3
    convolution to `width` channels, blocks that halve to 2, 4, 8 and 8 times as many, a linear
    layer of all of the last map. A block is norm, ReLU, convolution, norm, ReLU, convolution and,
    where it halves, mean pooling. Published: width 128 for 32 pixels, 64 for 64 pixels.

    Taps: conv, the last map, f[n,8,8,width] or f[n,4,4,8*width]; fc, the input of the linear layer.

    Args:
      norm: "none", as published for 32 pixels, or "layer", as published for 64 pixels: layer norm
        over all of an example's map. With both, no score depends on other images.

    Source: `Discriminator` of gan_cifar_resnet.py and `GoodDiscriminator` of gan_64x64.py.
    Differs: with 32 pixels no linear layer for the classes (ACGAN). For 32 pixels "layer" leaves
      out the first block, as in the code's option.
    """
    return pure.net(_Critic(width, norm), _check)
