"""An encoder run on one part of the batch after the other: memory for one part, loss of the whole.

A contrastive loss compares all examples of a batch, but it needs their representations only. So
the encoder runs on `count` microbatches one after the other and only what it returns is kept; the
backward pass runs it once more on each, for the intermediate values of that part alone. Loss and
gradient are those of the whole batch, for one more forward pass of the encoder.

Microbatch j has the examples j, j + count, j + 2 count and so on: with the batch split over devices
each of them has an equal part of every microbatch, no image moves, and the result does not depend
on their number. The encoder's gradient is summed over devices once for each microbatch. An encoder
with batch norm has the statistics of each microbatch, as `layers.batch_norm` with `count` groups
has them of the reordered batch, and running averages that move by their mean.

What grows with the square of the batch is not the encoder's: scores of local features are n x n x l
numbers, and an MLP critic holds that many hidden vectors. There `sampled_locations` helps in the
config of DIM, and in a program of one's own `bounds.blockwise`, which never holds the scores.

Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup".
Differs: the second pass is the compiler's (`jax.checkpoint` in a loop), not a second loop by hand.
"""

import functools

import jax

from dim_jax import contracts
from dim_jax.nets import pure

# `with count(k): ...`: encoders that are traced there in training mode run in k microbatches.
count = jax.make_user_context(1)


def dividable(net: pure.Net) -> pure.Net:
    """The same network, which in training runs in as many microbatches as the context `count` asks.

    Every input and output has the examples on its first axis. Dropout has its own key in each
    microbatch. Evaluation mode is never divided: the caller chooses how many images to give.
    """

    def apply(params, stats, *inputs, train: bool, rng=None):
        parts = count.value
        if not train or parts == 1:
            return net.apply(params, stats, *inputs, train=train, rng=rng)
        return _apply_in_parts(net, parts, params, stats, inputs, rng)

    return net._replace(apply=apply)


def _apply_in_parts(net: pure.Net, parts: int, params, stats, inputs, rng):
    # The loop itself keeps the two runs of a part from being merged into one.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def of_one(part):
        chunk, key = part
        return net.apply(params, stats, *chunk, train=True, rng=key)

    rngs = None if rng is None else jax.random.split(rng, parts)
    chunks = jax.tree.map(lambda x: _divided(x, parts), inputs)
    outputs, all_stats = jax.lax.map(of_one, (chunks, rngs))
    # Each part moved the same running averages: their mean has moved by the mean of the parts.
    stats = jax.tree.map(lambda x: x.mean(axis=0).astype(x.dtype), all_stats)
    return jax.tree.map(_joined, outputs), stats


def _divided(x: jax.Array, parts: int) -> jax.Array:
    """f[n,...] -> f[parts, n / parts, ...], example i at [i % parts, i // parts]."""
    if len(x) % parts:
        raise contracts.UserError(
            f"an encoder got {len(x)} examples in {parts} microbatches, which does not divide; "
            "set train.microbatches to a divisor of the batch"
        )
    return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)


def _joined(x: jax.Array) -> jax.Array:
    """The inverse of `_divided`."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])
