"""Variational bounds and estimates of mutual information from critic scores, to be maximised.

    from dim_jax import bounds

    bounds.infonce(scores)                                dense: a matrix of scores
    bounds.blockwise.infonce(anchors, candidates)         without the matrix, in memory O(block)
    bounds.infonce(scores, axis_name="data")              one block of it on each device

Arguments that all bounds share:

    scores f[n, m, *l]   critic of anchor (row) and candidate (column); trailing axes are locations
                         of the candidate. Reductions are float32, also for bfloat16 scores.
    positives            exactly one per row: the pair that was drawn together; every other entry
                         is a negative. A mask b[n, m], or i[n], the column of each row's
                         positive. Default: the diagonal. Rolled negatives, queues (m = n + k or
                         1 + k) and other layouts are masks.
    excluded             pairs that count neither as positive nor as negative. A mask b[n, m], or
                         i[n], one column per row (-1: none in this row). Default: none.
    axis_name, sharded   inside `pmap`, `shard_map` or a named `vmap`, `scores` is one block of the
                         whole matrix: the `anchors` of this device against all candidates, or all
                         anchors against the `candidates` of this device. `positives` marks the
                         positives of the block; with "candidates" a row without any (in numbers:
                         -1) is one whose positive lies on another device. Default: the diagonal
                         of the whole matrix, devices in the order of their index. `excluded` marks
                         pairs of the block in the same way.

The value is f32[] and larger is better, except where a docstring says otherwise. Scores, positives
or options that do not fit raise a TypeError or ValueError when the function is traced. Where
`positives` and `excluded` are traced themselves or lie on several devices, an anchor with none or
with two positives, with an excluded one, or without any negative left makes the value NaN.
"Candidates have one positive each" is such a condition: no two rows may share a positive's column.

With `axis_name` every device returns the value of the whole matrix. Differentiate inside the
mapped function: each device then holds its share of the gradient, and the sum over devices is the
gradient of the whole matrix. Under `pmap` that sum is `lax.psum` of the gradients (not `pmean`);
`shard_map` with check_vma, its default, has already summed those of replicated parameters.
Gather one side only; for local scores gather the anchors (globals) and use sharded="candidates":
but for "same_location", what crosses devices does not grow with the number of locations.

Candidates need not be the batch:

    queue     scores = dot(anchors, concatenate([candidates, queue])), positives = arange(n)
    rolled    scores = stack([T(x, y), T(x, roll(y, 1)), ...], axis=1), positives = zeros(n, int);
              its columns are no candidates, so what compares anchors has no meaning there

Excluded pairs are left out of every sum. In place of log n stands the mean over anchors (over
candidates, where anchors compete) of the logarithm of the number that is left, the positive
included; means over negatives divide by the number of those left. The self-pairs of NT-Xent
(SimCLR), with z f[2n, d] the views of n images, the second n in the order of the first:

    nt_xent   infonce(dot(z, z), positives=roll(arange(2 n), n), excluded=arange(2 n))

which is log(2 n - 1) minus the loss, with a temperature in z, and equal to `symmetric_infonce`. Is
such a value still a bound? The last column of the table says under which condition on the
negatives that are left. "marginal": each of them, with its anchor, is a draw from the product of
the marginals. "independent": those of an anchor are also independent of each other.

  - In NT-Xent both views of another image are candidates and depend on each other. Averages over
    single pairs (`nwj`, `tuba`, `jensen_shannon`) keep their labels, but log(2 n - 1) - loss is no
    lower bound: an objective, not an estimate. For two equally likely symbols, both views the
    symbol itself, and n = 6 a perfect critic gets 0.6969; the truth is log 2 = 0.6931. With log n
    it is a bound: without one view of each other image the loss is smaller, and `infonce`.
  - Where pairs are excluded for what they show, such as images of the anchor's class, those left
    are no draws from the marginal and no value keeps its label. For two classes of four images
    each a perfect critic gets log 5 = 1.61; the truth is log 2.

Several globals per image are not locations: `jax.vmap(bounds.infonce, in_axes=-1)` over them.
(Averages over pairs, as in `jensen_shannon`, may treat them as locations.)

Each function carries `facts` (`labels.Facts`): whether its value is a lower bound, an upper bound,
a divergence or neither, its ceiling, its bias, its invariances. `table()` prints them.

May import JAX and `contracts` only.
"""

from dim_jax.bounds import (
    blockwise,
    contrastive,
    conversions,
    f_divergences,
    kullback_leibler,
    labels,
    likelihoods,
)
from dim_jax.bounds.blockwise import dot
from dim_jax.bounds.contrastive import *  # noqa: F403
from dim_jax.bounds.conversions import *  # noqa: F403
from dim_jax.bounds.f_divergences import *  # noqa: F403
from dim_jax.bounds.kullback_leibler import *  # noqa: F403
from dim_jax.bounds.kullback_leibler import MineState, mine_state
from dim_jax.bounds.likelihoods import *  # noqa: F403
from dim_jax.bounds.sampling import with_fewer_negatives

# In the order of the table: modules as here, functions as defined.
_MODULES = (contrastive, kullback_leibler, f_divergences, likelihoods, conversions)
ESTIMATORS = tuple(getattr(module, name) for module in _MODULES for name in module.__all__)

__all__ = [
    *(estimator.__name__ for estimator in ESTIMATORS),
    "ESTIMATORS",
    "MineState",
    "blockwise",
    "dot",
    "mine_state",
    "table",
    "with_fewer_negatives",
]


def table() -> str:
    """All functions and what the value of each is, as a Markdown table of their `facts`."""
    return labels.table(ESTIMATORS)


__doc__ += f"\n{table()}\n"
