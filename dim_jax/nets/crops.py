"""Overlapping crops of an image, and their codes as a map, for strided-crop encoders.

The side of a crop is a quarter of the image's, and the stride an eighth, so there are 7 x 7 crops
and neighbouring ones overlap by half: 8 pixels with a stride of 4 in an image of 32, 16 pixels with
a stride of 8 in one of 64.

Source: Hjelm et al. 2019, section 4.2 (the comparison with CPC); official DIM code, misc.py.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts

GRID = 7  # crops along a side, which start at 0/8, 1/8, ... 6/8 of it


def unfold(images: jax.Array) -> jax.Array:
    """All crops of all images, f[n,h,h,c] -> f[n * 49, h/4, h/4, c].

    Crop 49 i + 7 r + s shows rows r h/8 to r h/8 + h/4 of image i, and columns likewise with s.

    Raises: contracts.UserError: images that are not square or whose side is not a multiple of 8.
    """
    n, height, width, channels = images.shape
    if height != width or height % (GRID + 1):
        raise contracts.UserError(
            f"images are {height}x{width} pixels and overlapping crops need square images whose "
            f"side is a multiple of {GRID + 1}; set data.image_size, such as 32 or 64"
        )
    stride = height // (GRID + 1)
    # Along each side, a crop is two neighbouring strips of an eighth.
    x = images.reshape(n, GRID + 1, stride, width, channels)
    x = jnp.concatenate([x[:, :-1], x[:, 1:]], axis=2)
    x = x.reshape(n, GRID, 2 * stride, GRID + 1, stride, channels)
    x = jnp.concatenate([x[:, :, :, :-1], x[:, :, :, 1:]], axis=4)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n * GRID * GRID, 2 * stride, 2 * stride, channels)


def fold(codes: jax.Array) -> jax.Array:
    """The codes of the crops, in the order of `unfold`, as maps: f[n * 49, 1, 1, d] -> f[n,7,7,d].

    Raises: ValueError: codes with more than one location, or of an incomplete image.
    """
    count, height, width, channels = codes.shape
    if (height, width) != (1, 1) or count % (GRID * GRID):
        raise ValueError(
            f"codes have shape {codes.shape}; folding needs [n * {GRID * GRID}, 1, 1, d], one "
            "location for each crop; let the network of the crops end at 1x1"
        )
    return codes.reshape(-1, GRID, GRID, channels)
