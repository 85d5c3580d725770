"""Geometric augmentations: crops, flips and translations."""

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.augment import draws

_TRIES = 10  # to draw a box that fits: torchvision, RandomResizedCrop.get_params


def random_crop(rng: jax.Array, images: jax.Array, *, size: int) -> jax.Array:
    """A random square [n,size,size,c] of each image [n,h,w,c], at a uniform position.

    Raises:
      ValueError: images smaller than the square.
    """
    n, height, width, _ = images.shape
    if min(height, width) < size:
        raise ValueError(
            f"images are {height}x{width} pixels and the crop is {size}; use a smaller crop"
        )
    most = jnp.array([[height - size, width - size]])
    places = jax.random.randint(rng, (n, 2), 0, most + 1)
    return _crop(images, places, size, size)


def _crop(images: jax.Array, places: jax.Array, height: int, width: int) -> jax.Array:
    """The window [height,width,c] of each image whose corner is at its place i32[2]."""

    def crop_one(image, place):
        size = (height, width, image.shape[-1])
        return jax.lax.dynamic_slice(image, (place[0], place[1], 0), size)

    return jax.vmap(crop_one)(images, places)


def random_flip(rng: jax.Array, images: jax.Array) -> jax.Array:
    """Images [n,h,w,c], each flipped left to right with probability one half."""
    mirrored = jax.random.bernoulli(rng, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def random_translation(
    rng: jax.Array, images: jax.Array, *, pixels: int, rate: float = 1.0
) -> jax.Array:
    """Images [n,h,w,c], translated by -pixels to pixels along both axes with probability `rate`.

    Images are mirrored at their edges, edge pixels not repeated.

    Raises:
      UserError: images too small for a mirrored border of `pixels`.

    Source: Bachman et al. 2019, CIFAR's recipe (official AMDIM code, datasets.py): 4 pixels, 0.8.
    """
    n, height, width, _ = images.shape
    if not 0 <= pixels < min(height, width):
        raise contracts.UserError(
            f"images are {height}x{width} pixels and augment.translate is {pixels}; use a smaller "
            "augment.translate"
        )
    place_key, rate_key = jax.random.split(rng)
    places = jax.random.randint(place_key, (n, 2), 0, 2 * pixels + 1)
    selected = jax.random.bernoulli(rate_key, rate, (n, 1))
    places = jnp.where(selected, places, pixels)
    sides = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    return _crop(jnp.pad(images, sides, mode="reflect"), places, height, width)


def random_resized_crop(
    rng: jax.Array,
    images: jax.Array,
    *,
    size: tuple[int, int],
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> jax.Array:
    """A random box of each image f[n,h,w,c], pixels in [0, 1], resized to f[n,*size,c].

    Args:
      size: height and width of the result.
      area: range of the area of a box, as a fraction of the image's.
      aspect: range of width / height.

    Source: torchvision, RandomResizedCrop: `crop_boxes` has the same distribution.
    Differs: bilinear, as `resize_boxes`; the official AMDIM code is bicubic. Pixel values are not
      rounded.
    """
    boxes = crop_boxes(rng, len(images), images.shape[1:3], area=area, aspect=aspect)
    resized = resize_boxes(images, boxes, size=size)
    return jnp.clip(resized, 0.0, 1.0)  # rounding errors


def crop_boxes(
    rng: jax.Array,
    count: int,
    shape: tuple[int, int],
    *,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> jax.Array:
    """Random boxes (top, left, height, width) in images of shape (height, width), i32[count,4].

    The area is uniform, width / height is log-uniform, sides are rounded and positions are uniform.
    The first of ten draws that fits is used, or else the largest box in the centre whose width /
    height is in the range.

    Source: torchvision, RandomResizedCrop.get_params.
    """
    height, width = shape
    keys = jax.random.split(rng, 3)
    ratios = draws.log_uniform(keys[1], (count, _TRIES), aspect)
    areas = jax.random.uniform(keys[0], (count, _TRIES), minval=area[0], maxval=area[1])
    areas *= height * width
    sides = jnp.round(jnp.sqrt(jnp.stack([areas / ratios, areas * ratios], axis=-1)))
    sides = sides.astype(jnp.int32)
    limits = jnp.array([[height, width]])
    fits = ((sides > 0) & (sides <= limits[None])).all(axis=-1)
    sides = jnp.take_along_axis(sides, jnp.argmax(fits, axis=1)[:, None, None], axis=1)[:, 0]
    # The sides of the fallback are set before the draw, whose upper bound is then not negative.
    fits = fits.any(axis=1)[:, None]
    sides = jnp.where(fits, sides, jnp.array([_largest_sides(height, width, aspect)]))
    corners = jax.random.randint(keys[2], (count, 2), 0, limits - sides + 1)
    corners = jnp.where(fits, corners, (limits - sides) // 2)
    return jnp.concatenate([corners, sides], axis=1)


def _largest_sides(height: int, width: int, aspect: tuple[float, float]) -> tuple[int, int]:
    """The sides of the largest box whose width / height is in the range."""
    if width / height < aspect[0]:
        return max(1, round(width / aspect[0])), width
    if width / height > aspect[1]:
        return height, max(1, round(height * aspect[1]))
    return height, width


def resize_boxes(images: jax.Array, boxes: jax.Array, *, size: tuple[int, int]) -> jax.Array:
    """The box of each image f[n,h,w,c], cropped and resized to f[n,*size,c].

    Bilinear with antialiasing: with s = max(1, side of the box / side of the result), a pixel at
    distance d from a point has the weight max(0, 1 - d / s) along each axis, normalised to the sum
    1. Computed as two matrix products.

    Source: Pillow, Image.resize with Resampling.BILINEAR, of the cropped box.
    """
    down = _weights(boxes[:, 0], boxes[:, 2], images.shape[1], size[0])
    across = _weights(boxes[:, 1], boxes[:, 3], images.shape[2], size[1])
    # In full precision: bfloat16 or TF32 operands would cause visible errors in 8-bit colours.
    exact = jax.lax.Precision.HIGHEST
    rows = jnp.einsum("noi,niwc->nowc", down, images, precision=exact)
    return jnp.einsum("npj,nojc->nopc", across, rows, precision=exact)


def _weights(start: jax.Array, length: jax.Array, side: int, size: int) -> jax.Array:
    """The weight of each of `side` pixels for each of `size` resized ones, f[n,size,side]."""
    start, length = (x.astype(jnp.float32)[:, None, None] for x in (start, length))
    scale = length / size
    points = start + (jnp.arange(size, dtype=jnp.float32)[None, :, None] + 0.5) * scale
    pixels = jnp.arange(side, dtype=jnp.float32)[None, None] + 0.5
    weights = jnp.maximum(0.0, 1.0 - jnp.abs(pixels - points) / jnp.maximum(scale, 1.0))
    weights = jnp.where((pixels > start) & (pixels < start + length), weights, 0.0)
    return weights / weights.sum(axis=-1, keepdims=True)
