"""A critic of feature maps: a network of the map, one linear layer of the anchor, a dot product."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import encoders, layers, products, pure


class _TailAndDot(nn.Module):
    blocks: tuple[encoders.Block, ...]
    hidden: tuple[int, ...]
    width: int

    def setup(self):
        self.tail = encoders.ConvEncoder(self.blocks, self.hidden, self.width, local=-1)
        self.anchor = layers.Linear(self.width)

    def all_pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        return self.scores(*self.sides(anchors, candidates, train=train), train=train)

    def sides(self, anchors: jax.Array, candidates: jax.Array, *, train: bool):
        return self.anchor(anchors), self._columns(candidates, train)

    def scores(self, rows: jax.Array, columns: jax.Array, *, train: bool) -> jax.Array:
        del train
        return products.dot_of_rows(rows, columns)

    def pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self.sides(anchors, candidates, train=train)
        return jnp.einsum("nd,nm...d->nm...", rows, columns)

    def same_location(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        return products.dot_by_location(*self.sides(anchors, candidates, train=train))

    def _columns(self, candidates: jax.Array, train: bool) -> jax.Array:
        """f[m,*l,h,w,c] -> f[m,*l,width]"""
        maps = candidates.reshape(-1, *candidates.shape[-3:])
        return self.tail(maps, train=train)["y"].reshape(*candidates.shape[:-3], self.width)


def tail_and_dot(
    *,
    channels: Sequence[int],
    kernels: Sequence[int],
    strides: Sequence[int],
    hidden: Sequence[int],
    width: int,
    pools: Sequence[int] | None = None,
) -> pure.Critic:
    """A network of a feature map and a linear layer of the anchor, both to `width`, then a product.

    The critic of the released DIM(G). The i-th convolution has `channels[i]`, a kernel of side
    `kernels[i]` padded as in the encoders, batch norm and ReLU, and with `pools[i]` a max pooling
    of that window and stride 2 (0: none); then come the hidden layers with batch norm and ReLU, and
    an affine layer. The layers are those of the encoder from the one that makes the local features
    on, newly initialised, so that this one stands in the encoder and again in the critic: for
    `dcgan32` channels (128, 256), kernels (4, 4), strides (2, 2), hidden (1024,). No normalisation
    of the outputs, no temperature. Published: width 2048.

    Its candidates are maps f[h,w,c] (`pure.Critic.axes` is 3).

    Raises: contracts.UserError: tuples of different lengths, or none.
    Source: official DIM code, models/dim.py, GlobalDIM.
    """
    pools = tuple(pools or (0,) * len(channels))
    sizes = (channels, kernels, strides, pools)
    if not channels or len({*map(len, sizes)}) > 1:
        raise contracts.UserError(
            f"channels are {tuple(channels)}, kernels {tuple(kernels)}, strides {tuple(strides)} "
            f"and pools {pools}; give each convolution one of each"
        )
    blocks = tuple(
        encoders.Block(features, side, by, max(0, side - by + 1) // 2, pool)
        for features, side, by, pool in zip(*sizes, strict=True)
    )
    return pure.critic(_TailAndDot(blocks, tuple(hidden), width), axes=3)
