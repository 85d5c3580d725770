"""Affine warps: translation, scaling, rotation and shear, with a separate map for each image."""

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
    """Images f[n,h,w,c] warped so that (x, y) shows the image at matrix f[2,3] @ (x, y, 1).

    Points are relative to the centre, pixels are squares of side 1; bilinear interpolation.

    Args:
      size: height and width of the result, by default the image's.
      fill: the value beyond the image; None = mirrored at the centres of the edge pixels.

    Source: Pillow, Image.transform with AFFINE and BILINEAR.
    """
    height, width = images.shape[1:3]
    rows, columns = size or (height, width)
    y, x = jnp.meshgrid(
        jnp.arange(rows) + 0.5 - rows / 2, jnp.arange(columns) + 0.5 - columns / 2, indexing="ij"
    )
    points = jnp.stack([x, y, jnp.ones_like(x)], axis=-1)

    def warp_one(image, matrix):
        exact = jax.lax.Precision.HIGHEST
        source = jnp.einsum("hwk,dk->dhw", points, matrix, precision=exact)
        x, y = source[0] + width / 2, source[1] + height / 2
        if fill is None:
            return bilinear(image, _reflect(y - 0.5, height), _reflect(x - 0.5, width))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return jnp.where(inside[..., None], bilinear(image, y - 0.5, x - 0.5), fill)

    return jax.vmap(warp_one)(images, matrices)


def bilinear(image: jax.Array, y: jax.Array, x: jax.Array) -> jax.Array:
    """Bilinear interpolation of an image f[h,w,c]; beyond the edge pixels their values continue.

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


def _reflect(places: jax.Array, side: int) -> jax.Array:
    """Reflects places at both ends of [0, side - 1]."""
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
    """Images f[n,h,w,c] scaled, then rotated about their centres, then translated: f[n,*size,c].

    Images are mirrored beyond their edges; a result smaller than the image shows its centre, with
    the actual surroundings.

    Args:
      moves: f[n,2], translation in pixels to the right and down.
      scales: f[n], factors of the image's sides; less than 1 shrinks.
      angles: f[n], radians clockwise.
      size: as in `warp`.
    """
    cosine, sine = jnp.cos(angles) / scales, jnp.sin(angles) / scales
    inverse = jnp.stack([cosine, sine, -sine, cosine], axis=-1).reshape(-1, 2, 2)
    exact = jax.lax.Precision.HIGHEST
    offset = -jnp.einsum("nij,nj->ni", inverse, moves, precision=exact)
    return warp(images, jnp.concatenate([inverse, offset[..., None]], axis=-1), size=size)


def random_affine(
    rng: jax.Array,
    images: jax.Array,
    *,
    translate: float,
    scales: tuple[float, float],
    degrees: float,
    size: int | None = None,
) -> jax.Array:
    """The centre of each image f[n,h,w,c], translated, scaled and rotated: f[n,size,size,c].

    Args:
      translate: translations along both axes are uniform within this fraction of the result's
        sides.
      scales: the range of the log-uniform scale.
      degrees: angles are uniform in [-degrees, degrees].
      size: side of the result; by default that of the image.

    Raises:
      UserError: images smaller than the result.

    Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2.1: 0.2, 0.7 to 1.4, 20 degrees.
    Differs: the distributions within these ranges are ours.
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


def random_shear(rng: jax.Array, images: jax.Array, *, shear: float) -> jax.Array:
    """Images f[n,h,w,c] sheared about their centres along x and along y, mirrored beyond the edges.

    Args:
      shear: both factors are uniform in [-shear, shear].

    Source: Cubuk et al. 2019 (AutoAugment), shears along one axis by up to 0.3.
    Differs: along both axes at once.
    """
    along = jax.random.uniform(rng, (len(images), 2), minval=-shear, maxval=shear)
    zeros, ones = jnp.zeros(len(images)), jnp.ones(len(images))
    rows = jnp.stack([ones, along[:, 0], zeros, along[:, 1], ones, zeros], axis=-1)
    return warp(images, rows.reshape(-1, 2, 3))
