"""Exemplar-CNN encoders: 5x5 convolutions and one hidden layer, for patches or larger images.

2x2 max pooling follows the first two convolutions; every layer has a ReLU and a bias. The hidden
layer is a convolution as large as the last map of a patch, so that for larger images it gives a map
of hidden units with the same parameters.

Taps of the patch, the centre of larger images: conv is the last map f[n,h,w,c], fc the hidden units
before their ReLU f[n,d], y after it. In evaluation mode also taps of the full image, which is
enlarged by 2 where it is smaller than two patches: pooled_conv1, pooled_conv2, .. and pooled_fc
f[n,4*c], the maximum of each channel in each quadrant of that layer's map, and pooled, the
concatenation of all of them.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), sections 3.1 and 4.1.
Differs: the middle row of a map with an odd side belongs to both halves. Weights and biases are
  initialised as in the other encoders (`layers`).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import layers, microbatches, pooling, pure

_POOLED = 2  # number of convolutions followed by pooling
_STRIDE = 2**_POOLED  # pixels per location of the last map, along a side


class _Exemplar(nn.Module):
    widths: tuple[int, ...]
    hidden: int
    dropout: float
    side: int

    def setup(self):
        self.convs = [
            layers.Conv(width, 5, 1, 2, use_bias=True, name=f"conv{number}")
            for number, width in enumerate(self.widths, 1)
        ]
        self.fc = layers.Conv(self.hidden, self.side // _STRIDE, use_bias=True, name="fc")
        self.drop = nn.Dropout(self.dropout)

    def maps(self, images: jax.Array) -> list[jax.Array]:
        """The map of each convolution, and that of the hidden units before their ReLU."""
        maps, x = [], images
        for index, conv in enumerate(self.convs):
            x = nn.relu(conv(x))
            if index < _POOLED:
                x = pooling.max_pool(x, 2, 2)
            maps.append(x)
        return [*maps, self.fc(x)]

    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        *_, conv, fc = self.maps(_crop_centre(images, self.side))
        fc = fc[:, 0, 0]
        taps = {"conv": conv, "fc": fc, "y": self.drop(nn.relu(fc), deterministic=not train)}
        return taps if train else taps | self.pooled(images)

    def pooled(self, images: jax.Array) -> dict[str, jax.Array]:
        """The taps of the full image."""
        n, height, width, channels = images.shape
        if min(height, width) < 2 * self.side:
            images = jax.image.resize(images, (n, 2 * height, 2 * width, channels), "linear")
        *maps, fc = self.maps(images)
        names = [*(f"pooled_conv{number}" for number in range(1, len(maps) + 1)), "pooled_fc"]
        parts = [_quadrants(x) for x in (*maps, nn.relu(fc))]
        return dict(zip(names, parts, strict=True)) | {"pooled": jnp.concatenate(parts, axis=-1)}


def _crop_centre(images: jax.Array, side: int) -> jax.Array:
    top, left = ((have - side) // 2 for have in images.shape[1:3])
    return images[:, top : top + side, left : left + side]


def _quadrants(x: jax.Array) -> jax.Array:
    """The maximum of each channel in each quadrant of a map f[n,h,w,c], f[n,4*c]."""
    rows, columns = ((have + 1) // 2 for have in x.shape[1:3])
    halves = [x[:, :rows], x[:, -rows:]]
    parts = [part for half in halves for part in (half[:, :, :columns], half[:, :, -columns:])]
    return jnp.concatenate([part.max(axis=(1, 2)) for part in parts], axis=-1)


def exemplar(*, widths: Sequence[int], hidden: int, dropout: float, side: int = 32) -> pure.Net:
    """The encoder for patches with this side. Published: dropout 0.5 and one of

    widths (64, 64), hidden 128 (64c5-64c5-128f); (64, 128, 256), 512; (92, 256, 512), 1024.

    Dropout applies to the hidden units, in training. Images are at least as large as a patch.

    Raises: contracts.UserError: fewer than two convolutions, a side that is not a multiple of 4;
      on initialisation, smaller images.
    """
    if len(widths) < _POOLED:
        raise contracts.UserError(
            f"the encoder 'exemplar' has widths {tuple(widths)}; give it at least two, such as "
            "(64, 64)"
        )
    if side < _STRIDE or side % _STRIDE:
        raise contracts.UserError(
            f"the encoder 'exemplar' has side={side}; set it to a multiple of {_STRIDE}; the "
            "published value is 32"
        )

    def check(images: jax.Array) -> None:
        if images.ndim != 4 or min(images.shape[1:3]) < side:
            size = "x".join(map(str, images.shape[1:3]))
            raise contracts.UserError(
                f"images are {size} pixels and the encoder 'exemplar' needs {side}x{side} or more; "
                "use larger images or a smaller side"
            )

    module = _Exemplar(tuple(widths), hidden, dropout, side)
    return microbatches.dividable(pure.net(module, check))
