"""Strided-crop encoders: overlapping crops, encoded separately and folded to a 7x7 map.

The layers below the map see one crop at a time, so a local feature has a receptive field of a
quarter of the image's side. Batch norm of the crops is over all crops of all images; `norm` "layer"
or "none" replaces it (`layers.norm`).
Taps: local and conv are the 7x7 map. With a single global vector, fc is the hidden layer and y the
affine layer above the map. With several, "globals" f[n,5,5,d] holds one vector for each 3x3 block
of the map, fc is the layer below them and y their concatenation; the published network has neither
fc nor y. With a context network, "context" f[n,7,7,d] is its output (`contexts`), fc the mean of
the map over its locations and y that of the contexts; with one for each of several directions,
"context_<direction>" are theirs. Crops of these encoders may span more than two `eighths` of the
image's side: the mean over the locations of a crop is its code, and the map is smaller.

Source: Hjelm et al. 2019, section 4.2 and Table 3; official DIM code, configs/convnets.py
  (foldalex64x64, foldmultialex64x64) and configs/resnets.py (foldresnet19_32x32 and its sibling).
Differs: convolutions followed by batch norm have no bias and all weights are uniform within
  1/sqrt(fan_in), as in `encoders`; the newest official AlexNet-like encoder with a single global
  vector draws them from normal(0, 0.02) and has biases, which batch norm cancels.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax

from dim_jax.nets import crops, layers, microbatches, pooling, pure, turns


def _conv(x: jax.Array, features: int, kernel: int, stride: int, padding: int, *, norm, name):
    """Convolution followed by `norm(name)`, as submodules of the calling module."""
    x = layers.Conv(features, kernel, stride, padding, name=name)(x)
    return norm(f"{name}_norm")(x)


class _AlexNet(nn.Module):
    """Five 3x3 convolutions for each crop, with 3/2 max pooling after those in `pools`."""

    width: int
    pools: tuple[int, ...]
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        norm = functools.partial(layers.norm, self.norm, train)
        for index, times in enumerate((1, 2, 4, 4, 2)):
            x = nn.relu(_conv(x, times * self.width, 3, 1, 1, norm=norm, name=f"conv{index}"))
            if index in self.pools:
                x = pooling.max_pool(x, 3, 2)
        return x


class _Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 (strided) and 1x1 to 4 * width channels, plus a shortcut."""

    width: int
    stride: int
    norm: str

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        norm = functools.partial(layers.norm, self.norm, train)
        x = nn.relu(_conv(inputs, self.width, 1, 1, 0, norm=norm, name="conv0"))
        x = nn.relu(_conv(x, self.width, 3, self.stride, 1, norm=norm, name="conv1"))
        x = _conv(x, 4 * self.width, 1, 1, 0, norm=norm, name="conv2")
        if inputs.shape != x.shape:
            inputs = _conv(inputs, x.shape[-1], 1, self.stride, 0, norm=norm, name="shortcut")
        return nn.relu(x + inputs)


class _ResNet(nn.Module):
    """A strided 3x3 convolution and three stages of bottlenecks for each crop.

    Stage s has blocks[s] bottlenecks of width * 2^s; the first has the stride strides[s].
    """

    width: int
    blocks: tuple[int, ...]
    strides: tuple[int, ...]
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        norm = functools.partial(layers.norm, self.norm, train)
        x = nn.relu(_conv(x, self.width, 3, 2, 1, norm=norm, name="stem"))
        for stage, (count, stride) in enumerate(zip(self.blocks, self.strides, strict=True)):
            for index in range(count):
                block = _Bottleneck(
                    self.width * 2**stage,
                    1 if index else stride,
                    self.norm,
                    name=f"stage{stage}_{index}",
                )
                x = block(x, train=train)
        return x


class _Single(nn.Module):
    """fc and y above the map, after a 3/2 convolution with `summary` channels, if given.

    `dropout` follows that convolution, where it drops entire channels, and the hidden layer.
    """

    summary: int | None
    hidden: int
    features: int
    dropout: float
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        norm = functools.partial(layers.norm, self.norm, train)
        if self.summary is not None:
            x = layers.Conv(self.summary, 3, 2, 0, name="summary")(x)
            x = nn.Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(x)
            x = nn.relu(norm("summary_norm")(x))
        x = layers.Linear(self.hidden, use_bias=False, name="fc")(x.reshape(x.shape[0], -1))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.relu(norm("fc_norm")(x))
        return {"fc": x, "y": layers.Linear(self.features, name="y")(x)}


class _Multiple(nn.Module):
    """A global vector of `features` numbers for each 3x3 block of the map."""

    features: int
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        norm = functools.partial(layers.norm, self.norm, train)
        below = nn.relu(_conv(x, self.features, 3, 1, 0, norm=norm, name="block"))
        x = nn.relu(_conv(below, self.features, 1, 1, 0, norm=norm, name="globals"))
        return {
            "fc": below.reshape(below.shape[0], -1),
            "y": x.reshape(x.shape[0], -1),
            "globals": x,
        }


class _Context(nn.Module):
    """The maps of a context network, and the means of all maps over their locations."""

    context: nn.Module

    def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        return turns.summarised(x, self.context(x, train=train))


class _Folded(nn.Module):
    body: nn.Module
    head: nn.Module
    side: int
    eighths: int

    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        codes = self.body(crops.unfold(images, self.eighths, self.side), train=train)
        if codes.shape[1:3] != (1, 1):  # of crops that are larger than the published ones
            codes = codes.mean((1, 2), keepdims=True)
        local = crops.fold(codes, self.eighths)
        return {"local": local, "conv": local, **self.head(local, train=train)}


def _encoder(
    name: str, side: int, body: nn.Module, head: nn.Module, eighths: int = crops.EIGHTHS
) -> pure.Net:
    network = _Folded(body, head, side, eighths)
    check, fields = crops.check(name, side, eighths), crops.fields(side, eighths)
    return microbatches.dividable(pure.net(network, check, fields))


def _alexnet64(width: int, norm: str) -> _AlexNet:
    return _AlexNet(width, (0, 1, 4), norm)  # 16 -> 7 -> 3 -> 1


def _alexnet32(width: int, norm: str) -> _AlexNet:
    return _AlexNet(width, (1, 4), norm)  # 8 -> 3 -> 1


_STRIDES_64 = (2, 2, 2)  # of the stages; 16 -> 8 -> 4 -> 2 -> 1
_STRIDES_32 = (1, 2, 2)  # 8 -> 4 -> 4 -> 2 -> 1


def _resnet64(width: int, blocks: Sequence[int], norm: str) -> _ResNet:
    return _ResNet(width, tuple(blocks), _STRIDES_64, norm)


def _resnet32(width: int, blocks: Sequence[int], norm: str) -> _ResNet:
    return _ResNet(width, tuple(blocks), _STRIDES_32, norm)


def folded_alexnet64(
    *, width: int, hidden: int, features: int, dropout: float, norm: str = "batch"
) -> pure.Net:
    """AlexNet-like, 16x16 crops of 64x64 images; 7x7 locations of 2*width, y of `features`.

    Published: width 96, hidden 4096, features 64, dropout 0.1. Between the map and the hidden
    layer is a convolution of 4*width channels, 3x3 with stride 2.
    """
    return _encoder(
        "folded_alexnet64",
        64,
        _alexnet64(width, norm),
        _Single(4 * width, hidden, features, dropout, norm),
    )


def folded_alexnet32(
    *, width: int, hidden: int, features: int, dropout: float, norm: str = "batch"
) -> pure.Net:
    """`folded_alexnet64` for 8x8 crops of 32x32 images. Not published.

    Without the first pooling, which would reduce crops of 8 pixels to 1x1 after two convolutions.
    """
    return _encoder(
        "folded_alexnet32",
        32,
        _alexnet32(width, norm),
        _Single(4 * width, hidden, features, dropout, norm),
    )


def folded_resnet32(
    *, width: int, blocks: Sequence[int], hidden: int, features: int, norm: str = "batch"
) -> pure.Net:
    """Bottleneck ResNet, 8x8 crops of 32x32 images; 7x7 locations of 16*width, y of `features`.

    Published: width 64, hidden 1024, features 64, and blocks (2, 2, 2), 19 layers, or (3, 6, 3),
    37 layers. The newest official file has two repetition counts of 0 in the latter, which omit
    the layers that shrink the crops; its first version has these numbers.
    """
    head = _Single(None, hidden, features, 0.0, norm)
    return _encoder("folded_resnet32", 32, _resnet32(width, blocks, norm), head)


def folded_resnet64(
    *, width: int, blocks: Sequence[int], hidden: int, features: int, norm: str = "batch"
) -> pure.Net:
    """`folded_resnet32` for 16x16 crops of 64x64 images. Not published.

    The only difference is that its first stage has a stride of 2 as well.
    """
    head = _Single(None, hidden, features, 0.0, norm)
    return _encoder("folded_resnet64", 64, _resnet64(width, blocks, norm), head)


def folded_multi_alexnet64(*, width: int, features: int, norm: str = "batch") -> pure.Net:
    """`folded_alexnet64` with 5x5 globals of `features` numbers. Published: width 96, features 192.

    Batch norm and ReLU are the last layers of the globals, as in the official code.
    """
    return _encoder(
        "folded_multi_alexnet64", 64, _alexnet64(width, norm), _Multiple(features, norm)
    )


def folded_multi_alexnet32(*, width: int, features: int, norm: str = "batch") -> pure.Net:
    """`folded_alexnet32` with 5x5 globals of `features` numbers. Not published."""
    return _encoder(
        "folded_multi_alexnet32", 32, _alexnet32(width, norm), _Multiple(features, norm)
    )


def folded_multi_resnet32(
    *, width: int, blocks: Sequence[int], features: int, norm: str = "batch"
) -> pure.Net:
    """`folded_resnet32` with 5x5 globals of `features` numbers.

    Table 3 has such a network on CIFAR-10; no released file has its layers above the map, so they
    are those of `folded_multi_alexnet64`.
    """
    body = _resnet32(width, blocks, norm)
    return _encoder("folded_multi_resnet32", 32, body, _Multiple(features, norm))


def folded_multi_resnet64(
    *, width: int, blocks: Sequence[int], features: int, norm: str = "batch"
) -> pure.Net:
    """`folded_resnet64` with 5x5 globals of `features` numbers. Not published."""
    body = _resnet64(width, blocks, norm)
    return _encoder("folded_multi_resnet64", 64, body, _Multiple(features, norm))


def folded_context_alexnet64(
    *, width: int, context: nn.Module, norm: str = "batch", eighths: int = crops.EIGHTHS
) -> pure.Net:
    """The crops of `folded_alexnet64` with a network of `contexts` on top. Published: width 96.

    With the norm "batch" the statistics are over all crops, including those of the rows below, so
    that a little information on them leaks into a context.
    """
    body, head = _alexnet64(width, norm), _Context(context)
    return _encoder("folded_context_alexnet64", 64, body, head, eighths)


def folded_context_alexnet32(
    *, width: int, context: nn.Module, norm: str = "batch", eighths: int = crops.EIGHTHS
) -> pure.Net:
    """The crops of `folded_alexnet32` with a network of `contexts` on top. Not published."""
    body, head = _alexnet32(width, norm), _Context(context)
    return _encoder("folded_context_alexnet32", 32, body, head, eighths)


def folded_context_resnet32(
    *,
    width: int,
    blocks: Sequence[int],
    context: nn.Module,
    norm: str = "batch",
    eighths: int = crops.EIGHTHS,
    strides: Sequence[int] = _STRIDES_32,
) -> pure.Net:
    """The crops of `folded_resnet32` with a network of `contexts` on top. Published: width 64."""
    body = _ResNet(width, tuple(blocks), tuple(strides), norm)
    return _encoder("folded_context_resnet32", 32, body, _Context(context), eighths)


def folded_context_resnet64(
    *,
    width: int,
    blocks: Sequence[int],
    context: nn.Module,
    norm: str = "batch",
    eighths: int = crops.EIGHTHS,
    strides: Sequence[int] = _STRIDES_64,
) -> pure.Net:
    """The crops of `folded_resnet64` with a network of `contexts` on top.

    Greedy InfoMax has such a network without normalisation: width 64, blocks (3, 4, 6).
    """
    body = _ResNet(width, tuple(blocks), tuple(strides), norm)
    return _encoder("folded_context_resnet64", 64, body, _Context(context), eighths)
