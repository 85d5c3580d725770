"""Convolutional encoders with named taps: local (feature map), conv (map), fc and y (vectors).

The order within a block is that of the released code: convolution or linear layer, batch norm,
ReLU, pooling; no bias where batch norm follows. y is an affine layer without an activation (a
prior's sigmoid is applied only in the prior term).

`local` is the index, from 0, of the block whose map gives the local features; the default is the
published one. `norm` is the normalisation after a convolution or hidden layer: "batch" as
published, or "layer" or "none" (`layers.norm`), with which the features of an example do not
depend on the others. `inputs` is the input of the first convolution: the channels of the image,
"colour", or its "gradients" (`layers.gradients`).

Source: Hjelm et al. 2019, App. A.2; official DIM code, configs/convnets.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax

from dim_jax import contracts
from dim_jax.nets import fields, flows, halving, layers, microbatches, pooling, pure

_INPUTS = ("colour", "gradients")


class Block(NamedTuple):
    """One convolution block: `pool` is the window of a max pooling with stride 2, 0 = none."""

    features: int
    kernel: int
    stride: int
    padding: int
    pool: int = 0


class ConvEncoder(nn.Module):
    """Convolution blocks, hidden linear layers, and the affine layer that gives y.

    Every location of the map of the block `local` is one local feature; the last block gives
    `conv`, the last hidden layer `fc`. Maps are f[n,h,w,c], vectors f[n,d].
    """

    blocks: tuple[Block, ...]
    hidden: tuple[int, ...]
    features: int
    local: int
    norm: str = "batch"
    inputs: str = "colour"

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        taps = {}
        x = layers.gradients(images) if self.inputs == "gradients" else images
        for index, block in enumerate(self.blocks):
            x = layers.Conv(
                block.features, block.kernel, block.stride, block.padding, name=f"conv{index}"
            )(x)
            x = nn.relu(layers.norm(self.norm, train, f"conv{index}_norm")(x))
            if block.pool:
                x = pooling.max_pool(x, block.pool, 2)
            if index == self.local:
                taps["local"] = x
        taps["conv"] = x
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden):
            x = layers.Linear(width, use_bias=False, name=f"fc{index}")(x)
            x = nn.relu(layers.norm(self.norm, train, f"fc{index}_norm")(x))
        taps["fc"] = x
        taps.setdefault("local", taps["conv"])
        taps["y"] = layers.Linear(self.features, name="y")(x)
        return taps


def _check_inputs(inputs: str) -> None:
    if inputs not in _INPUTS:
        raise contracts.unknown("inputs", inputs, _INPUTS)


def _encoder(name: str, side: int, module: ConvEncoder) -> pure.Net:
    _check_inputs(module.inputs)
    if not 0 <= module.local < len(module.blocks):
        raise contracts.UserError(
            f"local={module.local} and the encoder '{name}' has {len(module.blocks)} convolution "
            f"blocks; use 0 to {len(module.blocks) - 1}"
        )

    return _net(module, pure.square_images(name, side))


def _any_size(module: ConvEncoder) -> pure.Net:
    return _net(module)


def _net(module: ConvEncoder, check=None) -> pure.Net:
    steps = [(3, 1, 1)] if module.inputs == "gradients" else []
    for block in module.blocks[: module.local + 1]:
        steps.append((block.kernel, block.stride, block.padding))
        steps += [(block.pool, 2, 0)] if block.pool else []
    return microbatches.dividable(pure.net(module, check, lambda side: fields.of_layers(steps)))


def cnn28(*, width: int, hidden: int, features: int) -> pure.Net:
    """Two blocks of 5x5 convolution, ReLU and 2x2 pooling, a hidden layer; 28x28 images, no norm.

    The 2-layer CNN of Klindt et al. 2020, Table 1, whose sizes are not published.
    """
    blocks = tuple(Block(width * 2**i, 5, 1, 2, pool=2) for i in range(2))
    return _encoder("cnn28", 28, ConvEncoder(blocks, (hidden,), features, 1, "none"))


def linear(*, features: int) -> pure.Net:
    """y is an affine map of the pixels; conv is the image, of any size, and fc its pixels."""
    return _any_size(ConvEncoder((), (), features, 0))


def mlp(*, widths: Sequence[int], features: int = 1) -> pure.Net:
    """Hidden layers with ReLU on the pixels, no norm; conv is the image, of any size.

    For points, images of 1x1 with their coordinates as channels, and small images; y f[n,1] is a
    critic's score.
    """
    return _any_size(ConvEncoder((), tuple(widths), features, 0, "none"))


def strided(
    *,
    channels: Sequence[int],
    kernels: Sequence[int],
    strides: Sequence[int],
    hidden: int,
    features: int,
    norm: str = "none",
) -> pure.Net:
    """Strided convolutions, a hidden layer and y, for images of any size; nothing is published.

    The i-th block has `channels[i]`, a kernel of side `kernels[i]` with as much padding as leaves
    the side to the stride, and ReLU; the last map is local and conv.

    Raises: contracts.UserError: tuples of different lengths, or none.
    """
    if not channels or not len(channels) == len(kernels) == len(strides):
        raise contracts.UserError(
            f"channels are {tuple(channels)}, kernels {tuple(kernels)} and strides "
            f"{tuple(strides)}; give each convolution one of each"
        )
    sizes = zip(channels, kernels, strides, strict=True)
    blocks = tuple(Block(width, side, by, max(0, side - by + 1) // 2) for width, side, by in sizes)
    return _any_size(ConvEncoder(blocks, (hidden,), features, len(blocks) - 1, norm))


def real_nvp(
    *, couplings: int, widths: Sequence[int], limit: float = 1.0, features: int | None = None
) -> pure.Net:
    """A bijection of the pixels by affine couplings, so that no information is lost; any size.

    conv and local are its output as an image, fc as a vector; y is fc too, or with `features` an
    affine map of it. Before training it is the identity. The image comes back by
    `flows.affine_couplings(...).inverse(params["flow"], fc)`, with the same couplings, widths and
    limit. In bfloat16 rounding makes the inverse inexact: leave `compute_dtype` at float32.

    Source: Dinh et al. 2017; as an encoder: Tschannen et al. 2020, with 30 couplings.
    """
    module = flows.RealNVPEncoder(couplings, tuple(widths), limit, features)
    return microbatches.dividable(pure.net(module, flows.check))


def dcgan28(
    *,
    width: int,
    hidden: int,
    features: int,
    local: int = 1,
    norm: str = "batch",
    inputs: str = "colour",
) -> pure.Net:
    """The encoder for 28x28 images; the 7x7 map is both local and conv. Published: 64, 1024, 64."""
    blocks = (Block(width, 5, 2, 2), Block(2 * width, 5, 2, 2))
    return _encoder("dcgan28", 28, ConvEncoder(blocks, (hidden,), features, local, norm, inputs))


def dcgan32(
    *,
    width: int,
    hidden: int,
    features: int,
    local: int = 1,
    norm: str = "batch",
    inputs: str = "colour",
) -> pure.Net:
    """The encoder for 32x32 images; 8x8 locations of 2*width. Published: 64, 1024, 64."""
    blocks = tuple(Block(width * 2**i, 4, 2, 1) for i in range(3))
    return _encoder("dcgan32", 32, ConvEncoder(blocks, (hidden,), features, local, norm, inputs))


def dcgan64(
    *,
    width: int,
    hidden: int,
    features: int,
    local: int = 2,
    norm: str = "batch",
    inputs: str = "colour",
) -> pure.Net:
    """The encoder for 64x64 images; 8x8 locations of 4*width. Published: 64, 1024, 64."""
    blocks = tuple(Block(width * 2**i, 4, 2, 1) for i in range(4))
    return _encoder("dcgan64", 64, ConvEncoder(blocks, (hidden,), features, local, norm, inputs))


def auto(
    *,
    width: int,
    hidden: int,
    features: int,
    local: int | None = None,
    norm: str = "batch",
    inputs: str = "colour",
) -> pure.Net:
    """The encoder for square images of any of `halving.SIDES`, 24 to 256 pixels.

    For 28, 32 and 64 pixels it is `dcgan28`, `dcgan32` or `dcgan64`; nothing is published for
    others. Each 4x4 convolution halves the side, until 4 to 7 locations are left, and doubles the
    channels, to 8*width at most, as many as in the last block of `dcgan64`. `local` None is the
    block whose map is nearest to 8x8 locations.
    """
    _check_inputs(inputs)

    def of(side: int) -> pure.Net:
        convolution = (5, 2, 2) if side == 28 else (4, 2, 1)
        count = len(halving.maps(side))
        blocks = tuple(Block(width * min(2**i, 8), *convolution) for i in range(count))
        block = halving.local(side) if local is None else local
        return _encoder("auto", side, ConvEncoder(blocks, (hidden,), features, block, norm, inputs))

    def init(rng, images):
        return of(halving.side_of(images)).init(rng, images)

    def apply(params, stats, images, *, train: bool, rng=None):
        net = of(halving.side_of(images))
        return net.apply(params, stats, images, train=train, rng=rng)

    return pure.Net(init, apply, lambda side: of(side).fields(side))


def alexnet64(
    *,
    width: int,
    hidden: int,
    features: int,
    local: int = 2,
    norm: str = "batch",
    inputs: str = "colour",
) -> pure.Net:
    """The AlexNet-like encoder for 64x64 images; 15x15 locations of 4*width.

    Published: width 96, hidden 4096 (two layers), features 64. The first release drew the
    weights from normal(0, 0.02); here they are uniform within 1/sqrt(fan_in) like the others.
    """
    blocks = (
        Block(width, 3, 1, 1, pool=3),
        Block(2 * width, 3, 1, 1, pool=3),
        Block(4 * width, 3, 1, 1),
        Block(4 * width, 3, 1, 1),
        Block(2 * width, 3, 1, 1, pool=3),
    )
    return _encoder(
        "alexnet64", 64, ConvEncoder(blocks, (hidden, hidden), features, local, norm, inputs)
    )


def alexnet224(
    *,
    width: int,
    hidden: int,
    features: int,
    local: int = 4,
    norm: str = "batch",
    inputs: str = "colour",
) -> pure.Net:
    """AlexNet for 224x224 images with batch norm; the 6x6 map of 8/3*width is local and conv.

    Published: width 96, hidden 4096; for each half of CMC's encoder: width 48 (channels 48, 128,
    192, 192, 128), hidden 2048 (two layers), features 128.

    Source: official CMC code, models/alexnet.py.
    Differs: no bias before the batch norm of the hidden layers, which cancels it.
    """
    if width % 3:
        raise contracts.UserError(
            f"width is {width} and alexnet224 has 8/3 times as many channels in its second block; "
            "use a multiple of 3"
        )
    blocks = (
        Block(width, 11, 4, 2, pool=3),
        Block(width * 8 // 3, 5, 1, 2, pool=3),
        Block(4 * width, 3, 1, 1),
        Block(4 * width, 3, 1, 1),
        Block(width * 8 // 3, 3, 1, 1, pool=3),
    )
    return _encoder(
        "alexnet224", 224, ConvEncoder(blocks, (hidden, hidden), features, local, norm, inputs)
    )
