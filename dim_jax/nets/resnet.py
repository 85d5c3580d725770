"""ResNet-18 and ResNet-50 for images of any size, with the stem of ImageNet or that of CIFAR.

A stage halves the side of the map and doubles its channels, but for the first, whose map has that
of the stem. Bottlenecks have their stride in the 3x3 convolution ("version 1.5"). Convolutions have
no bias and normal weights with variance 2 / fan_out. A shortcut is the input or, where sizes
differ, a 1x1 convolution and a norm.

The stem is a 7x7 convolution with stride 2 and 3x3 max pooling with stride 2 ("imagenet"), or a
3x3 convolution without pooling ("cifar"), as SimCLR and its followers have it for CIFAR-10.

Arguments of both encoders:
  width: channels of the stem and the first stage; published: 64.
  features: None, or the number of features of y.
  stem: "imagenet", for images of 32 pixels or more, or "cifar", for 8 or more.
  local: the index, from 0, of the stage whose map gives the local features: by default the third,
    of 14x14 locations for 224 pixels, and of 8x8 for 32 with the stem "cifar".
  norm: "batch", as published, "layer" or "none" (`layers.norm`).
  zero_init: whether the scale of a block's last norm starts from 0, so that blocks start as their
    shortcuts.

Taps: local; conv, the map of the last stage; fc, its mean over locations; y, fc itself or, with
`features`, an affine layer of fc. Methods with a projection head learn with the head's outputs and
are published with fc.

Source: He et al. 2016; torchvision, models/resnet.py (v1.5, `zero_init_residual`); Chen et al.
  2020, App. B.9 (the stem "cifar").
"""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import fields, layers, microbatches, pooling, pure

_STRIDES = (1, 2, 2, 2)
_LEAST = {"imagenet": 32, "cifar": 8}  # pixels

_he = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class _Normed(nn.Module):
    """Convolution with padding kernel // 2, then a norm, f[n,h,w,c] -> f[n,h',w',features]."""

    features: int
    kernel: int
    stride: int
    norm: str
    zero_init: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        if self.kernel == 1:
            x = x[:, :: self.stride, :: self.stride]
            x = layers.Linear(self.features, use_bias=False, kernel_init=_he, name="conv")(x)
        else:
            shape = (self.features, self.kernel, self.stride, self.kernel // 2)
            x = layers.Conv(*shape, kernel_init=_he, name="conv")(x)
        scale = nn.initializers.zeros if self.zero_init else nn.initializers.ones
        return layers.norm(self.norm, train, "norm", scale)(x)


class _Block(nn.Module):
    """Convolutions with these (features, kernel, stride), ReLU between them, plus a shortcut."""

    convolutions: tuple[tuple[int, int, int], ...]
    norm: str
    zero_init: bool

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x, last = inputs, len(self.convolutions) - 1
        for index, (features, kernel, stride) in enumerate(self.convolutions):
            zero = self.zero_init and index == last
            normed = _Normed(features, kernel, stride, self.norm, zero, name=f"conv{index}")
            x = normed(x, train=train)
            x = x if index == last else nn.relu(x)
        stride = max(stride for _, _, stride in self.convolutions)
        if stride > 1 or inputs.shape[-1] != features:
            shortcut = _Normed(features, 1, stride, self.norm, name="shortcut")
            inputs = shortcut(inputs, train=train)
        return nn.relu(x + inputs)


class _ResNet(nn.Module):
    blocks: tuple[int, ...]
    bottleneck: bool
    width: int
    features: int | None
    stem: str
    local: int
    norm: str
    zero_init: bool

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        kernel, stride = (7, 2) if self.stem == "imagenet" else (3, 1)
        x = nn.relu(
            _Normed(self.width, kernel, stride, self.norm, name="stem")(images, train=train)
        )
        if self.stem == "imagenet":  # after a ReLU zeros are no maxima of a window
            x = pooling.max_pool(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 2)
        taps = {}
        for stage, (count, stride) in enumerate(zip(self.blocks, _STRIDES, strict=True)):
            for index in range(count):
                convolutions = self._convolutions(self.width * 2**stage, 1 if index else stride)
                name = f"stage{stage}_{index}"
                x = _Block(convolutions, self.norm, self.zero_init, name=name)(x, train=train)
            if stage == self.local:
                taps["local"] = x
        fc = x.mean((1, 2))
        y = fc if self.features is None else layers.Linear(self.features, name="y")(fc)
        return {**taps, "conv": x, "fc": fc, "y": y}

    def _convolutions(self, width: int, stride: int) -> tuple[tuple[int, int, int], ...]:
        if self.bottleneck:
            return (width, 1, 1), (width, 3, stride), (4 * width, 1, 1)
        return (width, 3, stride), (width, 3, 1)


def _check_size(name: str, stem: str, images: jax.Array) -> None:
    if images.ndim != 4 or min(images.shape[1:3]) < _LEAST[stem]:
        size, least = "x".join(map(str, images.shape[1:3])), _LEAST[stem]
        smaller = " or use stem='cifar'" if stem == "imagenet" else ""
        raise contracts.UserError(
            f"images are {size} pixels and the encoder '{name}' with stem='{stem}' needs "
            f"{least}x{least} or more; set data.image_size={least} or more{smaller}"
        )


def _encoder(name: str, module: _ResNet) -> pure.Net:
    if not 0 <= module.local < len(module.blocks):
        raise contracts.UserError(
            f"local={module.local} and the encoder '{name}' has {len(module.blocks)} stages; use 0 "
            f"to {len(module.blocks) - 1}"
        )
    if module.zero_init and module.norm == "none":
        raise contracts.UserError(
            f"zero_init=True and the encoder '{name}' with norm='none' has no scales that could "
            "start from 0; set zero_init=False"
        )
    check = functools.partial(_check_size, name, module.stem)
    of_local = fields.of_layers(_below_local(module))
    return microbatches.dividable(pure.net(module, check, lambda side: of_local))


def _below_local(module: _ResNet) -> list[tuple[int, int, int]]:
    """(kernel, stride, padding) of the layers below the local features, without shortcuts."""
    steps = [(7, 2, 3), (3, 2, 1)] if module.stem == "imagenet" else [(3, 1, 1)]
    for stage in range(module.local + 1):
        for index in range(module.blocks[stage]):
            stride = 1 if index else _STRIDES[stage]
            steps += [(3, stride, 1)] if module.bottleneck else [(3, stride, 1), (3, 1, 1)]
    return steps


def resnet18(
    *,
    width: int = 64,
    features: int | None = None,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    local: int = 2,
    norm: str = "batch",
    zero_init: bool = False,
) -> pure.Net:
    """Eight blocks of two 3x3 convolutions; conv and fc have 8 * width channels."""
    blocks = (2, 2, 2, 2)
    return _encoder(
        "resnet18", _ResNet(blocks, False, width, features, stem, local, norm, zero_init)
    )


def resnet50(
    *,
    width: int = 64,
    features: int | None = None,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    local: int = 2,
    norm: str = "batch",
    zero_init: bool = False,
) -> pure.Net:
    """Sixteen bottlenecks of 1x1, 3x3, 1x1 convolutions; conv and fc have 32 * width channels."""
    blocks = (3, 4, 6, 3)
    return _encoder(
        "resnet50", _ResNet(blocks, True, width, features, stem, local, norm, zero_init)
    )
