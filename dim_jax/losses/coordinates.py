"""The coordinate tasks of Deep InfoMax: predict the position of a local feature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


def absolute_coordinates(side: int) -> jax.Array:
    """Row and column of each location of a square map, i[side * side, 2]."""
    places = jnp.arange(side * side)
    return jnp.stack([places // side, places % side], axis=-1)


def relative_coordinates(side: int, source: jax.Array) -> jax.Array:
    """Row and column offset from a source location to all locations, i[n, side * side, 2].

    Args:
      source: i[n], one location per image.

    Returns: offsets plus side - 1, which are between 0 and 2 * side - 2.
    """
    places = absolute_coordinates(side)
    return places[None] - places[source][:, None] + side - 1


class CoordinateTask(NamedTuple):
    """inputs f[n, l, d]; targets i[n, l, 2], each coordinate one of `classes`."""

    inputs: jax.Array
    targets: jax.Array
    classes: int


def coordinate_task(name: str, y: jax.Array, local: jax.Array, rng: jax.Array) -> CoordinateTask:
    """Inputs and targets of a task on y f[n, d] and the square map local f[n, h, h, c].

    "absolute": predict the location of a local feature. "relative": predict its offset from another
    local feature of the image, drawn once per image; the offset 0 is among the targets.

    Source: Hjelm et al. 2019, section 4.3 and App. A.7.
    """
    n, side, _, channels = local.shape
    local = local.reshape(n, side * side, channels)
    every = (n, side * side)
    y = jnp.broadcast_to(y[:, None], (*every, y.shape[-1]))
    if name == "absolute":
        targets = jnp.broadcast_to(absolute_coordinates(side), (*every, 2))
        return CoordinateTask(jnp.concatenate([y, local], -1), targets, side)
    source = jax.random.randint(rng, (n,), 0, side * side)
    start = jnp.take_along_axis(local, source[:, None, None], axis=1)
    inputs = jnp.concatenate([y, jnp.broadcast_to(start, local.shape), local], -1)
    return CoordinateTask(inputs, relative_coordinates(side, source), 2 * side - 1)


def coordinate_loss(logits: jax.Array, coordinates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum of the cross-entropies of row and column in nats, averaged over all examples.

    Args:
      logits: f[..., 2 * k], those of the row first.
      coordinates: i[..., 2] in 0..k-1.

    Returns:
      (loss f32[], accuracy f32[]): a smaller loss is better; the accuracy is the fraction with both
      coordinates right.

    Source: Hjelm et al. 2019, section 4.3; official DIM code, functions/coordinates.py.
    Differs: the two softmaxes are not coupled by a layer norm.
    """
    logits = logits.reshape(*logits.shape[:-1], 2, -1).astype(jnp.float32)
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), coordinates[..., None], axis=-1)
    right = jnp.all(jnp.argmax(logits, -1) == coordinates, axis=-1)
    return -2.0 * jnp.mean(picked), jnp.mean(right.astype(jnp.float32))
