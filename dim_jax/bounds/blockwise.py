"""The bounds over a critic, block by block: the score matrix is never held, forward or backward.

    blockwise.infonce(anchors, candidates)                        scores are dot products
    blockwise.jensen_shannon(anchors, candidates, critic)         scores are critic(a, c)

Every function has the name, the value, the gradient and the further arguments of its dense form
(`bounds.infonce(scores, ...)`); the first arguments are instead

    anchors     f[n, ...] or a tree of such arrays
    candidates  f[m, ...] or a tree of such arrays
    critic      (anchors f[r, ...], candidates f[c, ...]) -> scores f[r, c, *l], differentiable,
                also in what it closes over. Scores of a pair must not depend on the other pairs:
                networks with batch statistics run before, on the whole batch.
    positives   i[n], the column of each anchor's positive, or a mask b[n, m]; by default the
                diagonal
    excluded    i[n], a column per anchor, or a mask b[n, m], of pairs that are neither positive nor
                negative; by default none
    block       rows and columns of a block, or a pair of both; by default 1024 for dot products,
                128 for other critics, which hold hidden numbers for every pair of a block

Memory, with gradients: a few arrays of block * block (times what the critic holds per pair), and
of the size of the features; masks take a few bytes per pair, columns i[n] none. The backward pass
makes each block's scores again: four products of matrices where the dense form has three. Inside
`pmap` and `shard_map`, `axis_name` and `sharded` mean what they mean for the dense form: anchors or
candidates are this device's share, the other side is gathered before. shard_map with check_vma sums
the gradient of replicated parameters where they are used, which is in every block: cast those of
the critic first, so that it happens once, `params = jax.lax.pcast(params, "data", to="varying")`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

__all__ = ["dot"]  # and the bounds, which `definition.bound` enters

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[..., Any]: ...


def dot(anchors: jax.Array, candidates: jax.Array) -> jax.Array:
    """Dot products f32[n, m, *l] of anchors f[n, d] and candidates f[m, *l, d].

    Accumulated in float32, also for bfloat16 features, whose derivatives are products of bfloat16
    numbers too: the gradient of the scores is rounded to bfloat16.
    """
    if anchors.dtype == candidates.dtype == jnp.bfloat16:
        return _dot_of_bfloat16(anchors, candidates)
    dtype = jnp.promote_types(jnp.promote_types(anchors.dtype, candidates.dtype), jnp.float32)
    return _all_pairs(anchors, candidates, dtype)


def _all_pairs(anchors: jax.Array, candidates: jax.Array, dtype: jnp.dtype) -> jax.Array:
    return jnp.einsum("nd,m...d->nm...", anchors, candidates, preferred_element_type=dtype)


@jax.custom_jvp
def _dot_of_bfloat16(anchors: jax.Array, candidates: jax.Array) -> jax.Array:
    return _all_pairs(anchors, candidates, jnp.float32)


def _tangent_of_dot(primals, tangents):
    # The result of these products is bfloat16 so that, transposed, they multiply what is rounded.
    anchors, candidates = primals
    moved = [
        _all_pairs(*pair, jnp.bfloat16).astype(jnp.float32)
        for pair in ((tangents[0], candidates), (anchors, tangents[1]))
        if not any(isinstance(side, SymbolicZero) for side in pair)
    ]
    return _dot_of_bfloat16(anchors, candidates), sum(moved[1:], moved[0])


_dot_of_bfloat16.defjvp(_tangent_of_dot, symbolic_zeros=True)
