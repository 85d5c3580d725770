"""Changes of images on the device, a random one for each image of a batch."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from dim_jax import contracts

Change = Callable[[jax.Array, jax.Array], jax.Array]


def pipeline(*, crop: int | None = None, flip: bool = False) -> Change:
    """(rng, images [n,h,w,c]) -> the images as they are trained on, in this order of changes.

    Args:
      crop: the side of a random square cut out, in pixels; None keeps the whole image.
      flip: left and right are exchanged in half of the images.

    Raises:
      UserError: crop is no positive whole number.
      ValueError: on use, it is larger than the images.
    """
    if crop is not None and (not isinstance(crop, int) or crop < 1):
        raise contracts.UserError(
            f"augment.crop is {crop!r}; set a positive whole number of pixels, or none"
        )
    changes = []
    if crop is not None:
        changes.append(functools.partial(random_crop, size=crop))
    if flip:
        changes.append(random_flip)

    def change(rng, images):
        for index, step in enumerate(changes):
            images = step(jax.random.fold_in(rng, index), images)
        return images

    return change


def random_crop(rng: jax.Array, images: jax.Array, *, size: int) -> jax.Array:
    """A random square [n,size,size,c] of each image [n,h,w,c], all places equally likely.

    Raises:
      ValueError: images smaller than the square.
    """
    n, height, width, channels = images.shape
    if min(height, width) < size:
        raise ValueError(
            f"images are {height}x{width} pixels and the crop is {size}; use a smaller crop"
        )
    most = jnp.array([height - size, width - size])
    places = jax.random.randint(rng, (n, 2), 0, most + 1)

    def cut(image, place):
        return jax.lax.dynamic_slice(image, (place[0], place[1], 0), (size, size, channels))

    return jax.vmap(cut)(images, places)


def random_flip(rng: jax.Array, images: jax.Array) -> jax.Array:
    """Images [n,h,w,c], each mirrored left to right with probability one half."""
    mirrored = jax.random.bernoulli(rng, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, images[:, :, ::-1], images)


def occlude(rng: jax.Array, images: jax.Array, *, block: int, fill: float = 0.0) -> jax.Array:
    """Images f[n,h,w,c] with one random rectangle each filled.

    At least one square of `block` pixels is hidden whole and at least one stays visible whole: the
    rectangle is at least that large and leaves a margin of that size on one of its four sides.

    Args:
      rng: one key for the batch.
      block: pixels; the receptive field of a local feature, so that some features see all of
        what is hidden (10 for the 8x8 map of 32x32 images).
      fill: 0 is mid-grey for pixels in [-1, 1].

    Raises:
      ValueError: images too small for a hidden and a visible square side by side.

    Source: Hjelm et al. 2019, section 4.3 and App. A.7, which print the constraint; shape and fill
      are ours.
    """
    n, height, width, _ = images.shape
    if block < 1 or min(height, width) < 2 * block:
        raise ValueError(
            f"images are {height}x{width} pixels and the occlusion's block is {block}; a hidden "
            f"and a visible one side by side need {2 * block} pixels; use a smaller block"
        )
    hidden = jax.vmap(lambda key: _rectangle(key, height, width, block))(jax.random.split(rng, n))
    return jnp.where(hidden[..., None], jnp.asarray(fill, images.dtype), images)


def _rectangle(key: jax.Array, height: int, width: int, block: int) -> jax.Array:
    """The hidden pixels of one image, b[h,w]."""
    keys = jax.random.split(key, 6)
    # The margin that stays visible lies before or behind the rectangle, along one of the axes.
    vertical, behind = jax.random.bernoulli(keys[0]), jax.random.bernoulli(keys[1])
    inside = [
        _span(keys[2 + axis], keys[4 + axis], size, block, along, behind)
        for axis, (size, along) in enumerate(((height, vertical), (width, ~vertical)))
    ]
    return inside[0][:, None] & inside[1][None, :]


def _span(size_key, place_key, side: int, block: int, with_margin, behind) -> jax.Array:
    """An interval of pixels, b[side], of at least `block`; `block` more stay free if asked."""
    margin = jnp.where(with_margin, block, 0)
    size = jax.random.randint(size_key, (), block, side - margin + 1)
    start = jax.random.randint(place_key, (), margin, side - size + 1)
    start = jnp.where(behind, side - size - start, start)
    pixels = jnp.arange(side)
    return (pixels >= start) & (pixels < start + size)
