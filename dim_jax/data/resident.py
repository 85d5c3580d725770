"""Batches of a data set in device memory, as a function of (seed, step).

A dispatch of k steps computes `first_epoch = first_step // steps_per_epoch` and `orders =
epoch_orders(seed, first_epoch, epochs_spanned(k, steps_per_epoch), n)` once, outside the scan, and
`gather(images, labels, batch_indices(orders, first_epoch, step, steps_per_epoch, batch))` inside.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts

# Separates the keys of epoch orders from keys that fold a step into the same seed.
_PURPOSE = 2**32 - 1


def steps_per_epoch(n: int, batch: int) -> int:
    """The number of full batches in n images; in each epoch, other remaining images are dropped.

    Raises:
      UserError: fewer images than one batch.
    """
    if n < batch:
        raise contracts.UserError(
            f"train.batch_size is {batch} and there are {n} training images: set it to at most {n}"
        )
    return n // batch


def epochs_spanned(steps: int, steps_per_epoch: int) -> int:
    """The maximum number of epochs that `steps` consecutive steps can touch."""
    return (steps + steps_per_epoch - 2) // steps_per_epoch + 1


def epoch_orders(
    seed: int | jax.Array, first_epoch: int | jax.Array, count: int, n: int
) -> jax.Array:
    """The order of the images in each epoch: a permutation of 0..n-1 per row.

    Args:
      seed: of the experiment; may be traced, like first_epoch. `count` and `n` are static.

    Returns:
      i32[count, n]; row r is that of epoch first_epoch + r and depends only on the epoch and the
      seed.
    """
    key = jax.random.fold_in(jax.random.key(seed), _PURPOSE)

    def order(epoch: jax.Array) -> jax.Array:
        return jax.random.permutation(jax.random.fold_in(key, epoch), n).astype(jnp.int32)

    # Not vmap, under which some generators (rbg) draw other numbers for another `count`.
    return jax.lax.map(order, first_epoch + jnp.arange(count, dtype=jnp.int32))


def batch_indices(
    orders: jax.Array,
    first_epoch: int | jax.Array,
    step: int | jax.Array,
    steps_per_epoch: int,
    batch: int,
) -> jax.Array:
    """The positions in the data set, i32[batch], of the images of one global step.

    Args:
      orders: i32[count, n] from `epoch_orders(seed, first_epoch, count, n)`; it must contain the
        epoch step // steps_per_epoch (see `epochs_spanned`).
      step: the global step of the run; may be traced.
    """
    row = step // steps_per_epoch - first_epoch
    start = step % steps_per_epoch * batch
    return jax.lax.dynamic_slice(orders, (row, start), (1, batch))[0]


def gather(images: jax.Array, labels: jax.Array, indices: jax.Array) -> dict[str, jax.Array]:
    """The images [batch,h,w,c], labels i32[batch] and index i32[batch] at some positions.

    Args:
      indices: i32[batch], each within the data set.
    """
    return {
        "images": images.at[indices].get(mode="promise_in_bounds"),
        "labels": labels.at[indices].get(mode="promise_in_bounds"),
        "index": indices,
    }
