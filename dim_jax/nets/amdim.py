"""AMDIM encoders: convolutions without padding, with maps of 7x7, 5x5 and 1x1.

Only the first convolution for 128 pixels is padded, by reflection: a location sees one square of
the image and cannot infer its position from the padding. Along each side, the receptive field of a
location is about a quarter of the image in the 7x7 map, a half in the 5x5 map, and all of it for y
(8, 16 and 32 pixels of 32; 16, 32 and 64 of 64; 35, 67 and 131 of 128).

A layer is a convolution, ReLU and a 1x1 convolution that is initialised to 0, plus a shortcut: the
average pooling of the same window and stride, with zeros for missing channels. Nothing follows the
sum, so the untrained network returns pooled first-layer features. A block has `n_depth` layers, of
which all but the first are 1x1.

Taps: local and conv are the 7x7 map, fc is the 5x5 map f[n,5,5,d], y f[n,n_rkhs] ends in batch
norm. Both maps have 4 * ndf channels for images of 32 pixels, else 8 * ndf.

Arguments of all encoders:
  ndf: number of channels of the first layer.
  n_rkhs: number of features of y, at least the number of channels of the maps.
  n_depth: number of layers of a block.
  norm: "none", as published, or "batch": batch norm after the first convolution of every layer
    and after the 7x7 map. y always ends in batch norm.
Published (ndf, n_rkhs, n_depth): CIFAR 128, 1024, 10 and 256, 2048, 10; ImageNet and STL-10 192,
1536, 8, ImageNet also 256, 2048, 10 and 320, 2560, 10.

Source: Bachman et al. 2019, App.; official AMDIM code, model.py.
Differs: no.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import fields, layers, microbatches, pooling, pure

_NORMS = ("none", "batch")
# (kernel, stride, padding) of the layers below the 7x7 map, by the side of the image. The pixels
# that the reflection repeats are in the same field.
_BELOW_LOCAL = {
    32: ((3, 1, 0), (4, 2, 0), (2, 2, 0)),
    64: ((3, 1, 0), (4, 2, 0), (4, 2, 0), (2, 2, 0)),
    128: ((5, 2, 2), (3, 1, 0), (4, 2, 0), (4, 2, 0), (2, 2, 0)),
}


class _Layer(nn.Module):
    """f[n,h,w,c] -> f[n,h',w',features]: convolution, ReLU, 1x1 convolution, pooled shortcut."""

    features: int
    window: int
    stride: int
    norm: str

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        if self.window == 1:
            x = layers.Linear(self.features, use_bias=False, name="conv")(inputs)
        else:
            x = layers.Conv(self.features, self.window, self.stride, name="conv")(inputs)
        if self.norm == "batch":
            x = layers.batch_norm(train, name="conv_norm")(x)
        zeros = nn.initializers.zeros
        x = layers.Linear(self.features, use_bias=False, kernel_init=zeros, name="out")(nn.relu(x))
        shortcut = pooling.average_pool(inputs, self.window, self.stride)
        missing = self.features - inputs.shape[-1]
        return x + jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, missing)))


class _Block(nn.Module):
    """A layer with this window and stride, then depth - 1 layers of 1x1."""

    features: int
    window: int
    stride: int
    depth: int
    norm: str

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for index in range(self.depth):
            window, stride = (1, 1) if index else (self.window, self.stride)
            x = _Layer(self.features, window, stride, self.norm, name=f"layer{index}")(
                x, train=train
            )
        return x


class _Encoder(nn.Module):
    side: int
    ndf: int
    n_rkhs: int
    n_depth: int
    norm: str

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        x, width = self._stem(images, train)
        x = self._block(x, width, 4, 2, train, "block14")
        width *= 2
        x = self._block(x, width, 2, 2, train, "block7")
        if self.norm == "batch":
            x = layers.batch_norm(train, name="block7_norm")(x)
        local = x
        fc = self._block(local, width, 3, 1, train, "block5")
        x = self._block(fc, width, 3, 1, train, "block3")
        x = _Layer(self.n_rkhs, 3, 1, self.norm, name="layer1")(x, train=train)
        y = layers.batch_norm(train, name="y_norm")(x.reshape(x.shape[0], -1))
        return {"local": local, "conv": local, "fc": fc, "y": y}

    def _stem(self, images: jax.Array, train: bool) -> tuple[jax.Array, int]:
        """The map of 30x30, and twice its number of channels."""
        x = images
        if self.side == 128:
            x = jnp.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
            x = nn.relu(layers.Conv(self.ndf, 5, 2, use_bias=True, name="stem0")(x))
        x = nn.relu(layers.Conv(self.ndf, 3, use_bias=True, name="stem")(x))
        if self.side == 32:
            return _Layer(self.ndf, 1, 1, self.norm, name="layer30")(x, train=train), 2 * self.ndf
        return self._block(x, 2 * self.ndf, 4, 2, train, "block30"), 4 * self.ndf

    def _block(self, x, features: int, window: int, stride: int, train: bool, name: str):
        block = _Block(features, window, stride, self.n_depth, self.norm, name=name)
        return block(x, train=train)


def _encoder(side: int, ndf: int, n_rkhs: int, n_depth: int, norm: str) -> pure.Net:
    name, channels = f"amdim{side}", ndf * (4 if side == 32 else 8)
    if norm not in _NORMS:
        raise contracts.unknown("norm", norm, _NORMS)
    if n_rkhs < channels:
        raise contracts.UserError(
            f"n_rkhs={n_rkhs} and the maps of the encoder '{name}' have {channels} channels with "
            f"ndf={ndf}; set n_rkhs to {channels} or more, or ndf to {n_rkhs * ndf // channels} or "
            "less"
        )
    module = _Encoder(side, ndf, n_rkhs, n_depth, norm)
    of_local = fields.of_layers(_BELOW_LOCAL[side])
    check = pure.square_images(name, side)
    return microbatches.dividable(pure.net(module, check, lambda side: of_local))


def amdim32(*, ndf: int, n_rkhs: int, n_depth: int, norm: str) -> pure.Net:
    """The encoder for 32x32 images."""
    return _encoder(32, ndf, n_rkhs, n_depth, norm)


def amdim64(*, ndf: int, n_rkhs: int, n_depth: int, norm: str) -> pure.Net:
    """The encoder for 64x64 images."""
    return _encoder(64, ndf, n_rkhs, n_depth, norm)


def amdim128(*, ndf: int, n_rkhs: int, n_depth: int, norm: str) -> pure.Net:
    """The encoder for 128x128 images."""
    return _encoder(128, ndf, n_rkhs, n_depth, norm)
