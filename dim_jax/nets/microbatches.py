"""Microbatching of an encoder: the memory of one microbatch, the loss of the full batch.

A contrastive loss compares all examples of a batch, but it needs only their representations. So
the encoder runs on `count` microbatches in sequence and only its outputs are stored; the backward
pass runs it again on each microbatch to recompute its intermediate values. Loss and gradient are
those of the full batch, at the cost of one more forward pass of the encoder.

Microbatch j has the examples j, j + count, j + 2 count and so on: with the batch sharded over
devices, each has an equal part of every microbatch, no image moves, and the result does not depend
on the number of devices. The encoder's gradient is summed over devices once per microbatch. Batch
norm uses the statistics of each microbatch, like `layers.batch_norm` with `count` groups of the
reordered batch, and its running averages move by their mean.

Memory that grows with the square of the batch is not the encoder's: scores of local features are
n x n x l numbers, and an MLP critic stores that many hidden vectors. DIM makes them in blocks
(`block`, by itself for many); programs that use the library can use `bounds.blockwise`.

Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup".
Differs: the second pass is that of `jax.checkpoint` in a loop, not a second explicit loop.
"""

import functools

import jax

from dim_jax import contracts
from dim_jax.nets import pure

# `with count(k): ...`: encoders traced inside it in training mode run in k microbatches.
count = jax.make_user_context(1)


def dividable(net: pure.Net) -> pure.Net:
    """The same network, run in training in the number of microbatches of the context `count`.

    Every input and output has the examples on its first axis. Each microbatch has its own dropout
    key. Evaluation mode is never divided: the caller chooses the number of images.
    """

    def apply(params, stats, *inputs, train: bool, rng=None):
        parts = count.value
        if not train or parts == 1:
            return net.apply(params, stats, *inputs, train=train, rng=rng)
        return _apply_in_parts(net, parts, params, stats, inputs, rng)

    return net._replace(apply=apply)


def _apply_in_parts(net: pure.Net, parts: int, params, stats, inputs, rng):
    # Inside a loop, common subexpression elimination cannot merge the two runs of a microbatch.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def apply_to_one(part):
        chunk, key = part
        return net.apply(params, stats, *chunk, train=True, rng=key)

    rngs = None if rng is None else jax.random.split(rng, parts)
    chunks = jax.tree.map(lambda x: _divide(x, parts), inputs)
    outputs, all_stats = jax.lax.map(apply_to_one, (chunks, rngs))
    # Each part moves the same running averages; the mean of the results moves by their mean.
    stats = jax.tree.map(lambda x: x.mean(axis=0).astype(x.dtype), all_stats)
    return jax.tree.map(_join, outputs), stats


def _divide(x: jax.Array, parts: int) -> jax.Array:
    """f[n,...] -> f[parts, n / parts, ...], example i at [i % parts, i // parts]."""
    if len(x) % parts:
        raise contracts.UserError(
            f"an encoder got {len(x)} examples, which {parts} microbatches do not divide; "
            "set train.microbatches to a divisor of the batch"
        )
    return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)


def _join(x: jax.Array) -> jax.Array:
    """The inverse of `_divide`."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
