"""Generators: from codes f[n,d] to images."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import averages, layers, pure, resnet_gan

_FIRST_SIDE = 4


class _UpBlock(nn.Module):
    """A residual block that doubles both sides; the shortcut repeats pixels after a 1x1 layer."""

    features: int

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = nn.relu(layers.batch_norm(train, name="norm1")(inputs))
        x = resnet_gan.Convolution(self.features, "up", use_bias=False, name="conv1")(x)
        x = nn.relu(layers.batch_norm(train, name="norm2")(x))
        x = resnet_gan.Convolution(self.features, name="conv2")(x)
        shortcut = resnet_gan.Dense(self.features, name="shortcut")(inputs)
        return jnp.repeat(jnp.repeat(shortcut, 2, axis=1), 2, axis=2) + x


class _ResNet(nn.Module):
    first: int
    widths: Sequence[int]
    channels: int
    image_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, codes: jax.Array, *, train: bool) -> jax.Array:
        x = resnet_gan.Dense(_FIRST_SIDE**2 * self.first, name="linear")(codes)
        x = x.reshape(len(x), _FIRST_SIDE, _FIRST_SIDE, self.first)
        for index, width in enumerate(self.widths):
            x = _UpBlock(width, name=f"block{index}")(x, train=train)
        x = nn.relu(layers.batch_norm(train, name="norm")(x))
        image = resnet_gan.Convolution(self.channels, kernel_init=self.image_init, name="image")
        return jnp.tanh(image(x))


class _Mlp(nn.Module):
    widths: Sequence[int]
    shape: Sequence[int]

    @nn.compact
    def __call__(self, codes: jax.Array, *, train: bool) -> jax.Array:
        del train
        x = codes
        for index, width in enumerate(self.widths):
            x = nn.relu(layers.Linear(width, name=f"linear{index}")(x))
        x = layers.Linear(math.prod(self.shape), name="image")(x)
        return x.reshape(len(x), *self.shape)


def resnet_generator(*, width: int, shape: tuple[int, int, int]) -> pure.Net:
    """The residual generator of WGAN-GP, f[n,d] -> images f[n,h,w,c] in [-1, 1].

    A linear layer to a map of 4x4, residual blocks that double it (batch norm, ReLU, nearest
    upsampling, 3x3 convolution, batch norm, ReLU, 3x3 convolution), batch norm, ReLU, a 3x3
    convolution, tanh. 32 pixels: three blocks of `width` channels, as the first map; 64 pixels: a
    first map of 8 times `width` channels and blocks of 8, 4, 2 and 1 times as many. Published:
    width 128 for 32 pixels, 64 for 64 pixels. Initialisation as in `resnet_gan`; the convolution
    to the image is drawn as a shortcut for 32 pixels.

    Args:
      shape: (h, w, c) of the images, of 32x32 or 64x64 pixels.

    Raises: contracts.UserError: images of another size.

    Source: Gulrajani et al. 2017; their released code, `Generator` of gan_cifar_resnet.py and
      `GoodGenerator` of gan_64x64.py.
    Differs: batch norm without classes. No bias before batch norm, which cancels it (the code for
      32 pixels has one). In evaluation mode batch norm has the running averages; the original
      always has those of the batch.
    """
    *sides, channels = shape
    if sides == [32, 32]:
        first, widths, image_init = width, (width,) * 3, resnet_gan.GLOROT
    elif sides == [64, 64]:
        first, widths = 8 * width, tuple(width * factor for factor in (8, 4, 2, 1))
        image_init = resnet_gan.HE
    else:
        size = "x".join(map(str, sides))
        raise contracts.UserError(
            f"shape is {tuple(shape)} and the generator 'resnet_generator' makes images of 32x32 "
            f"or 64x64, not {size}; set data.image_size=32 (data.fit=pad keeps smaller images as "
            "they are) and the first two numbers of shape to 32, or choose another generator"
        )
    return pure.net(_ResNet(first, widths, channels, image_init))


def mlp_generator(*, widths: Sequence[int], shape: tuple[int, int, int]) -> pure.Net:
    """MLP f[n,d] -> f[n,h,w,c] of any numbers, ReLU, no normalisation and no tanh.

    For points, images of 1x1 with their coordinates as channels, and small images.
    """
    return pure.net(_Mlp(tuple(widths), tuple(shape)))


def averaged(*, generator: pure.Net, decay: float) -> pure.Net:
    """The network with an average of its parameters, which it has in evaluation mode.

        average <- decay * average + (1 - decay) * parameters

    once for each application in training mode, from the parameters at the start of the step. The
    average is part of the batch statistics, {"average": .., "stats": ..}; batch norm's statistics
    are those of the training.

    Args:
      generator: the network.
      decay: from 0, which averages nothing, to less than 1. 0.9999 at 200,000 steps is common.

    Source: Yazici et al. 2019, "The unusual effectiveness of averaging in GAN training".
    """

    def init(rng, *inputs):
        params, stats = generator.init(rng, *inputs)
        return params, {"average": params, "stats": stats}

    def apply(params, stats, *inputs, train: bool, rng=None):
        used = params if train else stats["average"]
        outputs, inner = generator.apply(used, stats["stats"], *inputs, train=train, rng=rng)
        if not train:
            return outputs, stats
        average = averages.update(stats["average"], params, decay)
        return outputs, {"average": average, "stats": inner}

    return pure.Net(init, apply)
