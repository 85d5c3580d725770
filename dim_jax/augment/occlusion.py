"""Occlusion of a random rectangle in each image."""

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts


def occlude(
    rng: jax.Array, images: jax.Array, *, fields: contracts.Fields, fill: float = 0.0
) -> jax.Array:
    """Images f[n,h,w,c], each with one random rectangle filled.

    The rectangle is the union of the receptive fields of some adjacent rows and columns of local
    features. At least one local feature sees hidden pixels only, and at least one visible pixels
    only: of those whose field is completely in the image, or, where there is no room for two of
    them next to each other, of all, since padding shows nothing of the image.

    Along one axis, drawn for each image, the rectangle leaves room for a visible feature before or
    after it; along the other it may span the image. Along both, the number of rows or columns of
    the map is uniform over those that are possible, then the place over all places for this number.

    Args:
      rng: one key for the batch.
      fields: of the local features, such as `contracts.Fields(10, 4, -3)` for the 8x8 map of 32x32
        images (`pure.Net.fields`).
      fill: 0 is mid-grey for pixels in [-1, 1].

    Raises:
      UserError: images without room for a hidden and a visible field next to each other.

    Source: Hjelm et al. 2019, section 4.3 and App. A.7 (Fig. 14), which state the constraint;
      shape, distribution and fill are ours.
    """
    n, height, width, _ = images.shape
    tables = [_intervals(side, fields) for side in (height, width)]
    if None in tables:
        raise contracts.UserError(
            f"images are {height}x{width} pixels and a local feature sees {fields.size}x"
            f"{fields.size} of them, so that none can be hidden beside a visible one; set "
            "method.occlusion to None, or use larger images or local features with smaller fields"
        )
    axis_key, *keys = jax.random.split(rng, 3)
    vertical = jax.random.bernoulli(axis_key, shape=(n, 1))
    rows, columns = (
        _draw(key, side, *table, with_margin)
        for key, side, table, with_margin in zip(
            keys, (height, width), tables, (vertical, ~vertical), strict=True
        )
    )
    hidden = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(hidden, jnp.asarray(fill, images.dtype), images)


def _draw(key, side: int, ends, log_any, log_with_margin, with_margin: jax.Array) -> jax.Array:
    """The pixels along an axis that are hidden, b[n,side], leaving a field where b[n,1] asks so."""
    logits = jnp.where(with_margin, log_with_margin[None], log_any[None])
    chosen = jnp.asarray(ends)[jax.random.categorical(key, logits)]
    pixels = jnp.arange(side)[None]
    return (chosen[:, :1] <= pixels) & (pixels < chosen[:, 1:])


def _intervals(side: int, fields: contracts.Fields) -> tuple[np.ndarray, ...] | None:
    """The intervals that can be hidden along an axis; None without room for a visible field.

    Returns: first pixel and end i[t,2]; log-probabilities f[t] of those that hide a field, and of
      those that also leave one visible.
    """
    spans = np.array(fields.spans(side), np.int32).reshape(-1, 2)
    complete = spans[:, 1] - spans[:, 0] == fields.size
    first, last = np.triu_indices(len(spans))
    ends = np.stack([spans[first, 0], spans[last, 1]], axis=1)
    for counted in (complete, complete | True):
        starts, stops = spans[counted].T
        hides = ((ends[:, :1] <= starts) & (stops <= ends[:, 1:])).any(1)
        leaves = ((stops <= ends[:, :1]) | (ends[:, 1:] <= starts)).any(1)
        if (hides & leaves).any():
            number = last - first
            return ends, _log_uniform(number, hides), _log_uniform(number, hides & leaves)
    return None


def _log_uniform(number: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Log-probabilities f[t] of intervals: uniform over their numbers i[t], then over places."""
    counts = np.bincount(number[allowed], minlength=number.max() + 1)
    share = -np.log(np.maximum(counts, 1) * np.count_nonzero(counts))
    return np.where(allowed, share[number], -np.inf).astype(np.float32)
