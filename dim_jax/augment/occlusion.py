"""Occlusion of a random rectangle in each image."""

import jax
import jax.numpy as jnp

from dim_jax import contracts


def occlude(rng: jax.Array, images: jax.Array, *, block: int, fill: float = 0.0) -> jax.Array:
    """Images f[n,h,w,c], each with one random rectangle filled.

    At least one square of `block` pixels is completely hidden and at least one completely visible:
    the rectangle is at least that large and leaves a margin of that size on one of its four sides.

    Args:
      rng: one key for the batch.
      block: in pixels; the receptive field of a local feature, so that some local features see
        only hidden pixels (10 for the 8x8 map of 32x32 images).
      fill: 0 is mid-grey for pixels in [-1, 1].

    Raises:
      UserError: images too small for a hidden and a visible square next to each other.

    Source: Hjelm et al. 2019, section 4.3 and App. A.7, which state the constraint; shape and fill
      are ours.
    """
    n, height, width, _ = images.shape
    if block < 1 or min(height, width) < 2 * block:
        raise contracts.UserError(
            f"images are {height}x{width} pixels and the occlusion's block is {block}; a hidden "
            f"and a visible block next to each other need {2 * block} pixels; use a smaller block "
            "(method.occlusion)"
        )
    hidden = jax.vmap(lambda key: _rectangle(key, height, width, block))(jax.random.split(rng, n))
    return jnp.where(hidden[..., None], jnp.asarray(fill, images.dtype), images)


def _rectangle(key: jax.Array, height: int, width: int, block: int) -> jax.Array:
    """The hidden pixels of one image, b[h,w]."""
    keys = jax.random.split(key, 6)
    # The visible margin is before or after the rectangle, along one of the axes.
    vertical, after = jax.random.bernoulli(keys[0]), jax.random.bernoulli(keys[1])
    inside = [
        _span(keys[2 + axis], keys[4 + axis], size, block, along, after)
        for axis, (size, along) in enumerate(((height, vertical), (width, ~vertical)))
    ]
    return inside[0][:, None] & inside[1][None, :]


def _span(size_key, place_key, side: int, block: int, with_margin, after) -> jax.Array:
    """An interval of at least `block` pixels, b[side], with a margin of `block` if asked for."""
    margin = jnp.where(with_margin, block, 0)
    size = jax.random.randint(size_key, (), block, side - margin + 1)
    start = jax.random.randint(place_key, (), margin, side - size + 1)
    start = jnp.where(after, side - size - start, start)
    pixels = jnp.arange(side)
    return (pixels >= start) & (pixels < start + size)
