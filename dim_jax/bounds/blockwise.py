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
    block       rows and columns of a block; by default 1024 for dot products, 128 for other
                critics, which hold hidden numbers for every pair of a block

Memory, with gradients: a few arrays of block * block (times what the critic holds per pair), and
of the size of the features. The backward pass makes each block's scores again: four products of
matrices where the dense form has three. Inside `pmap` and `shard_map`, `axis_name` and `sharded`
mean what they mean for the dense form: anchors or candidates are this device's share, the other
side is gathered before. shard_map with check_vma sums the gradient of replicated parameters where
they are used, which is in every block: cast those of the critic first, so that it happens once,
`params = jax.lax.pcast(params, "data", to="varying")`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dim_jax.bounds import contrastive, f_divergences, kullback_leibler, likelihoods
from dim_jax.bounds.blocks import Blocks, Critic
from dim_jax.bounds.pairs import Sharded
from dim_jax.bounds.statistics import AxisName


def dot(anchors: jax.Array, candidates: jax.Array) -> jax.Array:
    """Dot products f32[n, m, *l] of anchors f[n, d] and candidates f[m, *l, d].

    Accumulated in float32, also for bfloat16 features.
    """
    dtype = jnp.promote_types(jnp.promote_types(anchors.dtype, candidates.dtype), jnp.float32)
    return jnp.einsum("nd,m...d->nm...", anchors, candidates, preferred_element_type=dtype)


def _over_blocks(bound: Callable[..., Any]) -> Callable[..., Any]:
    def over_blocks(
        anchors: Any,
        candidates: Any,
        critic: Critic = dot,
        positives: jax.Array | None = None,
        *,
        block: int | None = None,
        axis_name: AxisName | None = None,
        sharded: Sharded = "anchors",
        **options: Any,
    ) -> Any:
        if block is None:
            block = 1024 if critic is dot else 128
        whole = Blocks(anchors, candidates, critic, positives, block, axis_name, sharded)
        return bound(whole, **options)

    over_blocks.__name__ = over_blocks.__qualname__ = bound.__name__
    over_blocks.__doc__ = f"`bounds.{bound.__name__}` block by block; see this module.\n"
    over_blocks.facts = bound.facts
    return over_blocks


donsker_varadhan = _over_blocks(kullback_leibler.donsker_varadhan)
mine = _over_blocks(kullback_leibler.mine)
nwj = _over_blocks(kullback_leibler.nwj)
tuba = _over_blocks(kullback_leibler.tuba)
interpolated = _over_blocks(kullback_leibler.interpolated)
js_nwj = _over_blocks(kullback_leibler.js_nwj)
smile = _over_blocks(kullback_leibler.smile)
infonce = _over_blocks(contrastive.infonce)
symmetric_infonce = _over_blocks(contrastive.symmetric_infonce)
decoupled_infonce = _over_blocks(contrastive.decoupled_infonce)
jensen_shannon = _over_blocks(f_divergences.jensen_shannon)
gan = _over_blocks(f_divergences.gan)
reverse_kl = _over_blocks(f_divergences.reverse_kl)
squared_hellinger = _over_blocks(f_divergences.squared_hellinger)
pearson_chi2 = _over_blocks(f_divergences.pearson_chi2)
wasserstein = _over_blocks(f_divergences.wasserstein)
club = _over_blocks(likelihoods.club)
leave_one_out = _over_blocks(likelihoods.leave_one_out)
known_conditional = _over_blocks(likelihoods.known_conditional)
