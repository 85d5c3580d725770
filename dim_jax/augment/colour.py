"""Colour jitter, greyscale and solarisation of RGB pixels in [0, 1], random for each image.

Factors are f[n], one per image. Results are clipped to [0, 1] after each change, as in torchvision,
but not rounded to 8 bits between changes.
"""

import jax
import jax.numpy as jnp

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode L


def grey(images: jax.Array) -> jax.Array:
    """The luma 0.299 r + 0.587 g + 0.114 b of images f[n,h,w,3], f[n,h,w,1]."""
    return sum(weight * images[..., i : i + 1] for i, weight in enumerate(_LUMA))


def brightness(images: jax.Array, factors: jax.Array) -> jax.Array:
    """factor * x."""
    return blend(images, 0.0, factors)


def contrast(images: jax.Array, factors: jax.Array) -> jax.Array:
    """factor * x + (1 - factor) * the mean luma of the image."""
    return blend(images, grey(images).mean(axis=(1, 2, 3), keepdims=True), factors)


def saturation(images: jax.Array, factors: jax.Array) -> jax.Array:
    """factor * x + (1 - factor) * the luma of the pixel."""
    return blend(images, grey(images), factors)


def blend(images: jax.Array, other: jax.Array | float, factors: jax.Array) -> jax.Array:
    """factor * x + (1 - factor) * other, of images f[n,h,w,c] and factors f[n]."""
    factors = factors[:, None, None, None]
    return jnp.clip(factors * images + (1.0 - factors) * other, 0.0, 1.0)


def shift_hue(images: jax.Array, shifts: jax.Array) -> jax.Array:
    """Shifts the hue in HSV by f[n], in turns; saturation and value are unchanged.

    With d = max - min of a pixel and hue h in sixths of a turn, channel c of the result is
    max - d * clip(min(k, 4 - k), 0, 1), k = (n_c + h) mod 6, n = (5, 3, 1).
    """
    red, green, blue = (images[..., channel] for channel in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    # Each case is computed once, in one expression: in a larger program, XLA may compute a value
    # that is used twice with different rounding, which would mix two cases.
    per = 1.0 / jnp.maximum(chroma, 1e-12)
    others = jnp.where(green >= blue, 2.0 + (blue - red) * per, 4.0 + (red - green) * per)
    reddest = (red >= green) & (red >= blue)
    hue = jnp.where(reddest, (green - blue) * per, others)
    hue += 6.0 * shifts[:, None, None]

    def channel(number):
        k = hue + number
        k -= 6.0 * jnp.floor(k / 6.0)  # jnp.mod takes several times as long on a CPU
        return value - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)

    return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)


def jitter(
    rng: jax.Array,
    images: jax.Array,
    *,
    strengths: tuple[float, float, float, float],
    rate: float = 1.0,
) -> jax.Array:
    """Random brightness, contrast, saturation and hue of images f[n,h,w,3], in a random order.

    Args:
      strengths: b, c, s, h: the factors of the first three are uniform in [max(0, 1 - b), 1 + b]
        and so on; the shift of the hue is uniform in [-h, h] turns.
      rate: the probability that an image is changed.

    Source: torchvision, ColorJitter; Bachman et al. 2019: 0.4, 0.4, 0.4, 0.2, rate 0.8 (official
      AMDIM code, datasets.py); Chen et al. 2020 (SimCLR): 0.8, 0.8, 0.8, 0.2 times a strength,
      rate 0.8.
    """
    count = len(images)
    factor_key, order_key, rate_key = jax.random.split(rng, 3)
    spreads = jnp.asarray(strengths, jnp.float32)
    low = jnp.array([*jnp.maximum(0.0, 1.0 - spreads[:3]), -spreads[3]])
    high = jnp.array([*(1.0 + spreads[:3]), spreads[3]])
    factors = jax.random.uniform(factor_key, (count, 4), minval=low, maxval=high)
    orders = jnp.argsort(jax.random.uniform(order_key, (count, 4)), axis=1)
    changed = in_order(images, factors, orders, hue=strengths[3] > 0)
    selected = jax.random.bernoulli(rate_key, rate, (count, 1, 1, 1))
    return jnp.where(selected, changed, images)


def in_order(
    images: jax.Array, factors: jax.Array, orders: jax.Array, *, hue: bool = True
) -> jax.Array:
    """The changes 0 brightness, 1 contrast, 2 saturation, 3 hue, in a separate order per image.

    Three steps apply the changes before the hue of an image, three others those after it, so that
    the most expensive change, the hue, is computed once.

    Args:
      factors: f[n,4] of changes 0 to 3, the last one being the shift of the hue.
      orders: i32[n,4], permutations of 0 to 3.
    """
    before_hue = jnp.cumsum(orders == 3, axis=1) == 0
    for step in range(3):
        images = _blend_chosen(images, factors, jnp.where(before_hue, orders, 3)[:, step])
    if hue:
        images = jnp.clip(shift_hue(images, factors[:, 3]), 0.0, 1.0)
    for step in range(1, 4):
        images = _blend_chosen(images, factors, jnp.where(before_hue, 3, orders)[:, step])
    return images


def _blend_chosen(images: jax.Array, factors: jax.Array, chosen: jax.Array) -> jax.Array:
    """The change i32[n] of each image if it is 0, 1 or 2; the unchanged image if it is 3."""
    factor = jnp.take_along_axis(factors, chosen[:, None], axis=1)[:, 0]
    factor = jnp.where(chosen == 3, 1.0, factor)
    luma = grey(images)
    which = chosen[:, None, None, None]
    other = jnp.where(which == 1, luma.mean(axis=(1, 2, 3), keepdims=True), 0.0)
    return blend(images, jnp.where(which == 2, luma, other), factor)


def random_grey(rng: jax.Array, images: jax.Array, *, rate: float) -> jax.Array:
    """Images f[n,h,w,3], each with all channels replaced by its luma with probability `rate`.

    Source: Bachman et al. 2019: 0.25 (official AMDIM code); Chen et al. 2020 (SimCLR): 0.2.
    """
    selected = jax.random.bernoulli(rng, rate, (len(images), 1, 1, 1))
    return jnp.where(selected, grey(images), images)


def random_channel(rng: jax.Array, images: jax.Array, *, rate: float) -> jax.Array:
    """Images f[n,h,w,3], each with two random channels replaced by 0.5 with probability `rate`.

    Source: Doersch et al. 2015 (context prediction), colour dropping, against the chromatic
      aberration that gives the place of a patch away (from memory).
    Differs: the original fills the two channels with noise; mid-grey is 0 of symmetric pixels.
    """
    kept_key, rate_key = jax.random.split(rng)
    kept = jax.random.randint(kept_key, (len(images), 1, 1, 1), 0, 3)
    dropped = jax.random.bernoulli(rate_key, rate, (len(images), 1, 1, 1))
    return jnp.where(dropped & (jnp.arange(3) != kept), 0.5, images)


def random_solarise(
    rng: jax.Array, images: jax.Array, *, threshold: float, rate: float
) -> jax.Array:
    """Images f[n,h,w,c], with 1 - x in place of all x >= threshold, with probability `rate`.

    Source: Grill et al. 2020 (BYOL), App. B: threshold 0.5, rate 0.2 of one view.
    """
    selected = jax.random.bernoulli(rng, rate, (len(images), 1, 1, 1))
    return jnp.where(selected & (images >= threshold), 1.0 - images, images)
