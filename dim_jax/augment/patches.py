"""Overlapping patches of square images, and the mosaics in which patches are handed on.

The side of a patch is a number of eighths of the image's, and the stride one eighth: e eighths give
a grid of 9 - e patches along each side. A mosaic has the patches side by side, without overlap, as
one image; so it has as many axes as an image, and patches can differ where they overlapped.
Patches span at most half of the side: those of e and of 9 - e eighths have mosaics of one size.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts

STRIPS = 8  # of which a patch spans some along each side
LARGEST = 4  # of them


def grid(eighths: int) -> int:
    """The number of patches along a side of the image."""
    return STRIPS + 1 - eighths


def mosaic_side(side: int, eighths: int) -> int:
    """The side of the mosaic of an image of this side, in pixels."""
    return grid(eighths) * eighths * side // STRIPS


def cut(images: jax.Array, eighths: int) -> jax.Array:
    """All patches of all images, [n,h,h,c] -> [n * g * g, e h/8, e h/8, c] for a grid of g.

    Patch (i g + r) g + s shows rows r h/8 to (r + e) h/8 of image i, and columns likewise with s.

    Raises: contracts.UserError: images that are not square or whose side is not a multiple of 8.
    """
    n, height, width, channels = images.shape
    if height != width or height % STRIPS:
        raise contracts.UserError(
            f"images are {height}x{width} pixels and overlapping crops need square images whose "
            f"side is a multiple of {STRIPS}; set data.image_size, such as 32 or 64"
        )
    count, stride = grid(eighths), height // STRIPS
    # Along each side, a patch is `eighths` neighbouring strips of an eighth.
    x = images.reshape(n, STRIPS, stride, width, channels)
    x = jnp.concatenate([x[:, i : i + count] for i in range(eighths)], axis=2)
    x = x.reshape(n, count, eighths * stride, STRIPS, stride, channels)
    x = jnp.concatenate([x[:, :, :, i : i + count] for i in range(eighths)], axis=4)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n * count * count, eighths * stride, eighths * stride, channels)


def lay(patches: jax.Array, count: int) -> jax.Array:
    """The mosaics [n, g s, g s, c] of patches [n * g * g, s, s, c], in the order of `cut`.

    Args:
      count: g, the patches along each side.
    """
    side, channels = patches.shape[1], patches.shape[-1]
    x = patches.reshape(-1, count, count, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, count * side, count * side, channels)


def lift(mosaics: jax.Array, count: int) -> jax.Array:
    """The patches [n * g * g, s, s, c] of mosaics [n, g s, g s, c]: the inverse of `lay`."""
    side, channels = mosaics.shape[1] // count, mosaics.shape[-1]
    x = mosaics.reshape(-1, count, side, count, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(-1, side, side, channels)
