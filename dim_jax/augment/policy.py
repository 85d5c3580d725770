"""RandAugment: random strong augmentations of RGB pixels in [0, 1], drawn separately per image.

Every change is one of three kinds: an affine warp, a blend of the image with another one, or a
lookup table of the 256 pixel values. Each kind is computed once for the batch.

Source: Cubuk et al. 2020 (RandAugment), section 3; torchvision, RandAugment (ranges).
"""

import jax
import jax.numpy as jnp

from dim_jax import settings
from dim_jax.augment import colour, warps

FILL = 0.5  # beyond the edges: mid-grey, as in AutoAugment

WARPS = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
MIXTURES = ("brightness", "contrast", "saturation", "sharpness")
TABLES = ("posterise", "solarise", "autocontrast", "equalise")
CHANGES = ("identity", *WARPS, *MIXTURES, *TABLES)


def randaugment(rng: jax.Array, images: jax.Array, *, changes: int, magnitude: float) -> jax.Array:
    """Images f[n,h,w,3], each with `changes` random changes in sequence, of the 14 `CHANGES`.

    Args:
      changes: number of changes per image.
      magnitude: 0 to 30. At 30: shears by 0.3, translations by 150/331 of a side, rotations by 30
        degrees, factors of brightness, contrast, saturation and sharpness of 0.1 or 1.9, all of
        random sign; 4 bits per channel; all pixels solarised.

    Source: torchvision, RandAugment; published: 2 changes of magnitude 9 (ImageNet).
    Differs: bilinear, and grey beyond the edges; torchvision: nearest pixels and black.
    """
    for index in range(changes):
        chosen_key, sign_key = jax.random.split(jax.random.fold_in(rng, index))
        chosen = jax.random.randint(chosen_key, (len(images),), 0, len(CHANGES))
        signs = jax.random.rademacher(sign_key, (len(images),), jnp.float32)
        images = change(images, chosen, signs * magnitude / settings.MAGNITUDES)
    return images


def change(images: jax.Array, chosen: jax.Array, strengths: jax.Array) -> jax.Array:
    """The change CHANGES[chosen] of each image f[n,h,w,3], with strength f[n] in [-1, 1].

    The sign is used only by warps and mixtures.
    """

    def is_one_of(names):
        numbers = jnp.array([CHANGES.index(name) for name in names])
        return (chosen[:, None] == numbers[None]).any(axis=1)[:, None, None, None]

    height, width = images.shape[1:3]
    warped = warps.warp(images, _matrices(chosen, strengths, height, width), fill=FILL)
    mixed = _blend_chosen(images, chosen, 1.0 + 0.9 * strengths)
    levels = jnp.round(255.0 * images).astype(jnp.int32)
    tables = _tables(levels, chosen, jnp.abs(strengths))
    looked_up = jax.vmap(lambda table, image: table[jnp.arange(3), image])(tables, levels) / 255.0
    for names, changed in ((WARPS, warped), (MIXTURES, mixed), (TABLES, looked_up)):
        images = jnp.where(is_one_of(names), changed, images)
    return images


def _matrices(chosen: jax.Array, strengths: jax.Array, height: int, width: int) -> jax.Array:
    """Affine maps f[n,2,3] from points of the result to points of the image, about its centre."""
    zero, one = jnp.zeros_like(strengths), jnp.ones_like(strengths)
    shear, angle = 0.3 * strengths, jnp.deg2rad(30.0 * strengths)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    across, down = (150.0 / 331.0 * side * strengths for side in (width, height))
    changes = {
        "shear_x": (one, shear, zero, zero, one, zero),
        "shear_y": (one, zero, zero, shear, one, zero),
        "translate_x": (one, zero, across, zero, one, zero),
        "translate_y": (one, zero, zero, zero, one, down),
        "rotate": (cosine, -sine, zero, sine, cosine, zero),
    }
    matrices = jnp.stack([one, zero, zero, zero, one, zero], axis=-1)
    for name, matrix in changes.items():
        is_chosen = (chosen == CHANGES.index(name))[:, None]
        matrices = jnp.where(is_chosen, jnp.stack(matrix, axis=-1), matrices)
    return matrices.reshape(-1, 2, 3)


def _blend_chosen(images: jax.Array, chosen: jax.Array, factors: jax.Array) -> jax.Array:
    """factor * x + (1 - factor) * the other image of the chosen mixture."""
    luma = colour.grey(images)
    others = {
        "brightness": jnp.zeros_like(images),
        "contrast": jnp.broadcast_to(luma.mean(axis=(1, 2, 3), keepdims=True), images.shape),
        "saturation": jnp.broadcast_to(luma, images.shape),
        "sharpness": smooth(images),
    }
    other = images
    for name, mixture in others.items():
        other = jnp.where((chosen == CHANGES.index(name))[:, None, None, None], mixture, other)
    return colour.blend(images, other, factors)


def smooth(images: jax.Array) -> jax.Array:
    """Images f[n,h,w,c] averaged over 3x3 pixels, the centre with weight 5; edges are unchanged.

    Source: Pillow, ImageFilter.SMOOTH.
    """
    columns = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    total = columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]
    inner = (total + 4.0 * images[:, 1:-1, 1:-1]) / 13.0
    return images.at[:, 1:-1, 1:-1].set(inner)


def _tables(levels: jax.Array, chosen: jax.Array, strengths: jax.Array) -> jax.Array:
    """The chosen lookup table f[n,3,256] of pixel values, from 0 to 255."""
    values = jnp.arange(256)[None]
    shape = (*levels.shape[:1], 3, 256)
    dropped = jnp.round(4.0 * strengths).astype(jnp.int32)[:, None]
    posterised = (values >> dropped) << dropped
    threshold = 255.0 * (1.0 - strengths)[:, None]
    solarised = jnp.where(values >= threshold, 255 - values, values)
    counts = _histograms(levels)
    tables = {
        "posterise": jnp.broadcast_to(posterised[:, None], shape),
        "solarise": jnp.broadcast_to(solarised[:, None], shape),
        "autocontrast": stretched(counts),
        "equalise": equalised(counts),
    }
    chosen_table = jnp.broadcast_to(values[None], shape)
    for name, table in tables.items():
        is_chosen = (chosen == CHANGES.index(name))[:, None, None]
        chosen_table = jnp.where(is_chosen, table, chosen_table)
    return chosen_table.astype(jnp.float32)


def _histograms(levels: jax.Array) -> jax.Array:
    """The histogram i32[n,c,256] of each channel of levels i32[n,h,w,c]."""
    rows = jnp.moveaxis(levels, -1, 1).reshape(levels.shape[0], levels.shape[-1], -1)

    def count(row):
        return jnp.zeros(256, jnp.int32).at[row].add(1)

    return jax.vmap(jax.vmap(count))(rows)


def _values(counts: jax.Array) -> jax.Array:
    """The values i32[...,256] that are counted, 0 to 255."""
    return jnp.broadcast_to(jnp.arange(256, dtype=jnp.int32), counts.shape)


def stretched(counts: jax.Array) -> jax.Array:
    """The lookup tables [...,256] that map the least value to 0 and the largest to 255.

    Source: Pillow, ImageOps.autocontrast. A channel with a single value is unchanged.
    """
    values = _values(counts)
    seen = counts > 0
    least = jnp.min(jnp.where(seen, values, 255), axis=-1, keepdims=True)
    largest = jnp.max(jnp.where(seen, values, 0), axis=-1, keepdims=True)
    span = jnp.maximum(largest - least, 1)
    # In integers, because 255 could be rounded down in floats.
    stretched = jnp.clip((values - least) * 255 // span, 0, 255)
    return jnp.where(largest > least, stretched, values)


def equalised(counts: jax.Array) -> jax.Array:
    """The lookup tables [...,256] that make all values about equally frequent.

    Source: Pillow, ImageOps.equalize.
    """
    values = _values(counts)
    largest = jnp.max(jnp.where(counts > 0, values, 0), axis=-1, keepdims=True)
    last = jnp.take_along_axis(counts, largest, axis=-1)
    step = (counts.sum(axis=-1, keepdims=True) - last) // 255
    before = jnp.cumsum(counts, axis=-1) - counts
    tables = jnp.clip((step // 2 + before) // jnp.maximum(step, 1), 0, 255)
    return jnp.where(step > 0, tables, values)
