"""Affine warps: moved, scaled, turned or sheared images, another map for each."""

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.augment import draws


def warp(
    images: jax.Array,
    matrices: jax.Array,
    *,
    size: tuple[int, int] | None = None,
    fill: float | None = None,
) -> jax.Array:
    """Images f[n,h,w,c], the result at (x, y) being the image at matrix f[2,3] @ (x, y, 1).

    Points are relative to the centre, pixels are squares of side 1; bilinear between their centres.

    Args:
      size: height and width of the result, by default the image's.
      fill: what is beyond the image; None continues it, mirrored at the centres of its edge pixels.

    Source: Pillow, Image.transform with AFFINE and BILINEAR.
    """
    height, width = images.shape[1:3]
    rows, columns = size or (height, width)
    y, x = jnp.meshgrid(
        jnp.arange(rows) + 0.5 - rows / 2, jnp.arange(columns) + 0.5 - columns / 2, indexing="ij"
    )
    points = jnp.stack([x, y, jnp.ones_like(x)], axis=-1)

    def one(image, matrix):
        exact = jax.lax.Precision.HIGHEST
        source = jnp.einsum("hwk,dk->dhw", points, matrix, precision=exact)
        x, y = source[0] + width / 2, source[1] + height / 2
        if fill is None:
            return bilinear(image, _mirrored(y - 0.5, height), _mirrored(x - 0.5, width))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return jnp.where(inside[..., None], bilinear(image, y - 0.5, x - 0.5), fill)

    return jax.vmap(one)(images, matrices)


def bilinear(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """The image f[h,w,c] between its pixels' centres; beyond the outermost ones it stays as it is.

    y and x are f[...], in pixels from the centre of the first one.
    """
    height, width = image.shape[:2]
    top, left = jnp.floor(y), jnp.floor(x)
    below, right = (y - top)[..., None], (x - left)[..., None]
    rows = [jnp.clip(top + i, 0, height - 1).astype(jnp.int32) for i in (0, 1)]
    columns = [jnp.clip(left + i, 0, width - 1).astype(jnp.int32) for i in (0, 1)]
    upper, lower = (
        (1 - right) * image[row, columns[0]] + right * image[row, columns[1]] for row in rows
    )
    return (1 - below) * upper + below * lower


def _mirrored(places: jax.Array, side: int) -> jax.Array:
    """Where in [0, side - 1] a place is after reflections at both ends."""
    period = max(2 * (side - 1), 1)
    places = jnp.abs(places)
    places -= period * jnp.floor(places / period)
    return jnp.minimum(places, period - places) if side > 1 else jnp.zeros_like(places)


def affine(
    images: jax.Array,
    moves: jax.Array,
    scales: jax.Array,
    angles: jax.Array,
    *,
    size: tuple[int, int] | None = None,
) -> jax.Array:
    """Images f[n,h,w,c] about their centres enlarged, then turned, then moved: f[n,*size,c].

    Beyond its edges an image goes on mirrored; a result smaller than the image shows its middle
    with what is really around.

    Args:
      moves: f[n,2], pixels to the right and down.
      scales: f[n], of the image's sides; below 1 it shrinks.
      angles: f[n], radians clockwise.
      size: as in `warp`.
    """
    cosine, sine = jnp.cos(angles) / scales, jnp.sin(angles) / scales
    back = jnp.stack([cosine, sine, -sine, cosine], axis=-1).reshape(-1, 2, 2)
    exact = jax.lax.Precision.HIGHEST
    start = -jnp.einsum("nij,nj->ni", back, moves, precision=exact)
    return warp(images, jnp.concatenate([back, start[..., None]], axis=-1), size=size)


def random_affine(
    rng: jax.Array,
    images: jax.Array,
    *,
    translate: float,
    scales: tuple[float, float],
    degrees: float,
    size: int | None = None,
) -> jax.Array:
    """The middle of each image f[n,h,w,c], moved, scaled and turned by one map: f[n,size,size,c].

    Args:
      translate: moves along both axes are uniform within that part of the result's sides.
      scales: the range of the scale, whose logarithm is uniform.
      degrees: angles are uniform within -degrees and degrees.
      size: side of the result; by default that of the image.

    Raises:
      UserError: images smaller than the result.

    Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2.1: 0.2, 0.7 to 1.4, 20 degrees.
    Differs: the laws within these ranges are ours.
    """
    sides = images.shape[1:3]
    if size is not None and min(sides) < size:
        raise contracts.UserError(
            f"images are {sides[0]}x{sides[1]} pixels and augment.crop is {size}; use a smaller "
            "crop"
        )
    shape = sides if size is None else (size, size)
    keys, count = jax.random.split(rng, 3), len(images)
    most = translate * jnp.array(shape[::-1], jnp.float32)
    moves = jax.random.uniform(keys[0], (count, 2), minval=-most, maxval=most)
    drawn = draws.log_uniform(keys[1], (count,), scales)
    angles = jnp.deg2rad(jax.random.uniform(keys[2], (count,), minval=-degrees, maxval=degrees))
    return affine(images, moves, drawn, angles, size=shape)
