"""Variational bounds of mutual information on a matrix of critic scores, in nats, to be maximised.

Arguments that all bounds share:

    scores f[n, m, *l]   critic of anchor (row) and candidate (column); trailing axes are locations
                         of the candidate. Reductions are float32, also for bfloat16 scores.
    positives b[n, m]    exactly one True per row: the pair that was drawn together. Every other
                         entry is a negative. Default: the diagonal of a square matrix. Rolled
                         negatives, queues (m = 1 + k) and other layouts are masks.
    axis_name, sharded   inside `pmap`, `shard_map` or a named `vmap`, `scores` is one block of the
                         whole matrix: the `anchors` of this device against all candidates, or all
                         anchors against the `candidates` of this device. `positives` marks the
                         entries of the block that are positives; with "candidates" a row without
                         any is one whose positive lies on another device.

With `axis_name` every device returns the value of the whole matrix. Differentiate inside the
mapped function: each device then holds its share of the gradient, and the sum over devices is the
gradient of the whole matrix. Under `pmap` that sum is `lax.psum` of the gradients (not `pmean`);
`shard_map` with check_vma, its default, has already summed those of replicated parameters.
Gather one side only; for local scores gather the anchors (globals) and use sharded="candidates":
but for "same_location", what crosses devices does not grow with the number of locations.

Several globals per image are not locations: `jax.vmap(bounds.infonce, in_axes=-1)` over them.
"""

import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax import divergences

AxisName = str | tuple[str, ...]
Sharded = Literal["anchors", "candidates"]
Negatives = Literal["locations", "candidates", "same_location", "anchors"]


def donsker_varadhan(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Donsker-Varadhan bound, in nats; larger is better, no ceiling.

        mean over positives of T - log mean over negatives of exp(T)

    Both means also run over locations: with locations it bounds the MI of an anchor and the
    candidate at a uniformly random location. The population value is a lower bound; a batch value
    is biased upwards (Jensen), and its gradient is that of a ratio of two averages.

    Args: see the module.
    Returns: f32[], invariant to a constant added to all scores.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Donsker and Varadhan 1983; Belghazi et al. 2018 (MINE); Hjelm et al. 2019, equation 2.
    Differs: rdevon/DIM dim_losses.py cannot mask local scores and leaves the locations out of the
      normaliser; here positives never enter the normaliser and the mean counts every entry.
    """
    block = _block(scores, positives, axis_name, sharded)
    rest = _merge_exp(_sum_exp(block, axes=(0, 1, 2)), axis_name)
    # Against the peak, so that large scores of one sign do not cancel in float32.
    joint = _joint_mean(block, _joint(block) - rest.peak)
    return _replicated(joint - jnp.log(rest.total / rest.count), axis_name)


def jensen_shannon(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Lower bound of twice the Jensen-Shannon divergence of joint and product law; at most 2 log 2.

        2 log 2 - mean over positives of softplus(-T) - mean over negatives of softplus(T)

    A measure of dependence, NOT mutual information in nats: `jsd_to_mi_lower_bound` turns it into
    a guaranteed one. Both means also run over locations. Low variance, unbiased gradient.

    Args: see the module.
    Returns: f32[], larger is better; 0 for constant zero scores.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Nowozin et al. 2016; Hjelm et al. 2019, equation 4; rdevon/DIM dim_losses.py
      (fenchel_dual_loss, measure JSD), whose loss is minus this value.
    Differs: no.
    """
    block = _block(scores, positives, axis_name, sharded)
    joint = _joint_mean(block, divergences.jensen_shannon_positive(_joint(block)))
    product = divergences.jensen_shannon_negative(block.scores)
    return _replicated(joint - _mean(block, product, ~block.positives), axis_name)


def infonce(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    negatives: Negatives = "locations",
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """InfoNCE, in nats; larger is better, at most log B.

        log B + mean over positives i and locations l of T_iil - log( exp(T_iil) + S_il )

    with B the number of candidates of an anchor (positive included; for "anchors": of anchors of a
    candidate) and S what `negatives` says (R, C, D and G are short names for the four):

        "locations"      R  sum over j != i and l' of exp(T_ijl')    the objective of DIM and AMDIM
        "candidates"     C  sum over j != i of mean_l' exp(T_ijl')   other candidates, fixed anchor
        "same_location"  D  sum over j != i of exp(T_ijl)            the same, location by location
        "anchors"        G  sum over k != i of exp(T_kil)            other anchors, fixed candidate

    Without locations the first three are the row InfoNCE, "anchors" the column InfoNCE. With
    locations, train with "locations" and report "candidates", "same_location" or "anchors", which
    are lower bounds of the mean over l of I(anchor; candidate at l).

    "locations" competes with K = 1 + (B - 1) L candidates, but log K in place of log B would NOT
    give a bound: the locations of one image are dependent, so the K candidates are not
    exchangeable (8 equally likely symbols, L = 25 copies, B = 4: log K gives 3.23, the truth is
    2.08). With log B it is a valid bound but up to log L too low: an objective, not an estimate.

    Args:
      negatives: which entries compete with a positive, as above. Others: see the module.
    Returns: f32[]. Invariant to a term that depends on the anchor only (for "anchors": on the
      candidate and the location only).
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix;
      unknown `negatives`; with "anchors", two positives for one candidate in a concrete mask.
    Source: van den Oord et al. 2018, equation 4; Hjelm et al. 2019, equation 5; rdevon/DIM
      dim_losses.py (infonce_loss); Philip-Bachman/amdim-public costs.py.
    Differs: the official code overwrites excluded scores by a constant (-10, the clip value) that
      still weighs in the softmax; here they are left out. It also leaves out log B.
    """
    if negatives not in get_args(Negatives):
        raise ValueError(f"negatives={negatives!r} is unknown; use one of {get_args(Negatives)}")
    block = _block(scores, positives, axis_name, sharded, transpose=negatives == "anchors")
    pooled = negatives in ("locations", "candidates")
    rest = _sum_exp(block, axes=(1, 2) if pooled else (1,))
    if block.sharded == "candidates":
        rest = _merge_exp(rest, axis_name)
    log_rest = jnp.log(rest.total)
    if negatives == "locations":
        log_rest += math.log(block.scores.shape[2])
    # T - log(exp T + S) as a softplus of a difference: exact also where T and log S are +-1e4.
    terms = jnp.log1p(rest.count) - jax.nn.softplus(rest.peak - _joint(block) + log_rest)
    return _replicated(_joint_mean(block, terms), axis_name)


def jsd_to_mi_lower_bound(value: jax.Array) -> jax.Array:
    """The largest mutual information, in nats, that a Jensen-Shannon value guarantees.

    The t >= 0 with value = 2 log 2 - (1 + a) log(1 + a) + a log a, a = exp(-t): no two laws with
    that divergence have a smaller KL divergence. Equality for X = Y uniform on exp(t) symbols;
    loose otherwise (0.65, 1.24, 2.84 nats for Gaussians of 1, 2, 5 nats in 20 dimensions).

    Args:
      value: f[...], twice the Jensen-Shannon divergence, as `jensen_shannon` estimates it. A batch
        value guarantees nothing; use a held-out mean minus its margin of error.
    Returns: f32[...]; 0 for values <= 0, inf for values >= 2 log 2.
    Source: the joint range of two f-divergences is spanned by two-point laws (Harremoës and
      Vajda 2011); here the laws (1, 0) and (a, 1 - a).
    Differs: no.
    """
    value = jnp.asarray(value)
    value = value.astype(jnp.promote_types(value.dtype, jnp.float32))
    gap = 2.0 * math.log(2.0) - value

    def newton(_: int, t: jax.Array) -> jax.Array:
        a = jnp.exp(-t)
        excess = (1.0 + a) * jnp.log1p(a) + a * t - gap
        return t + excess / (a * jax.nn.softplus(t))

    # The excess is convex and falls with t: from 0, Newton's steps climb to the root, never past
    # it, by about 1 while they are far; float64 resolves values up to t = 40.
    root = lax.fori_loop(0, 64, newton, jnp.zeros_like(gap))
    return jnp.where(value <= 0.0, 0.0, jnp.where(gap <= 0.0, jnp.inf, root))


class _Block(NamedTuple):
    """A checked block of the score matrix; axes stay in place, so that all parts broadcast."""

    scores: jax.Array  # f[n, m, l], at least float32, locations flattened (l = 1 without)
    positives: jax.Array  # b[n, m, 1]
    axis_name: AxisName | None
    sharded: Sharded


class _SumExp(NamedTuple):
    """Sum of exponentials, `exp(peak) * total`, and the `count` of pairs (not locations) in it.

    Such sums of disjoint blocks merge into that of their union.
    """

    peak: jax.Array
    total: jax.Array
    count: jax.Array


def _joint(block: _Block) -> jax.Array:
    """The score of each row's positive, f[n, 1, l]; 0 where the row has none in this block."""
    return jnp.sum(block.scores, axis=1, keepdims=True, where=block.positives)


def _count(keep: jax.Array, axes: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """Number of True of keep[n, m, 1] along the axes, which may be all or the columns."""
    rows = jnp.sum(keep, axis=1, keepdims=True).astype(dtype)  # a whole matrix overflows int32
    return jnp.sum(rows, axis=0, keepdims=True) if 0 in axes else rows


def _mean(block: _Block, values: jax.Array, keep: jax.Array) -> jax.Array:
    """Mean of values f[n, m, l] over all locations of the pairs keep[n, m, 1], on all devices."""
    total = jnp.sum(values.mean(2, keepdims=True), axis=1, keepdims=True, where=keep)
    total = jnp.sum(total, axis=0, keepdims=True)
    count = _count(keep, (0, 1, 2), values.dtype)
    if block.axis_name is not None:
        total, count = lax.psum((total, count), block.axis_name)
    return total / count


def _joint_mean(block: _Block, terms: jax.Array) -> jax.Array:
    """Mean of one term per positive and location, f[n, 1, l], over all devices."""
    return _mean(block, terms, jnp.any(block.positives, axis=1, keepdims=True))


def _sum_exp(block: _Block, axes: tuple[int, ...]) -> _SumExp:
    """Sum of exp(score) over the negatives along `axes`; the mean along locations (axis 2)."""
    keep = ~block.positives
    masked = jnp.where(keep, block.scores, -jnp.inf)
    # Of the negatives only: a large positive would send all of them to zero. Finite when there
    # are none in this block.
    peak = lax.stop_gradient(
        jnp.max(masked, axes, keepdims=True, initial=jnp.finfo(masked.dtype).min)
    )
    total = jnp.sum(jnp.exp(masked - peak), axes, keepdims=True)
    if 2 in axes:
        total /= masked.shape[2]
    return _SumExp(peak, total, _count(keep, axes, masked.dtype))


def _merge_exp(part: _SumExp, axis_name: AxisName | None) -> _SumExp:
    """The sum over the blocks of all devices."""
    if axis_name is None:
        return part
    peak = lax.pmax(part.peak, axis_name)
    scaled = part.total * jnp.exp(part.peak - peak)
    total, count = lax.psum((scaled, part.count), axis_name)
    return _SumExp(peak, total, count)


def _replicated(value: jax.Array, axis_name: AxisName | None) -> jax.Array:
    """The scalar that all devices hold, so that their gradients add up to its gradient.

    Where JAX does not track which values are replicated (`pmap`), the transpose of a psum is a
    psum: differentiating gives the gradient of the sum of all copies of the value.
    """
    value = value.reshape(())
    if axis_name is None or _tracks_replication(axis_name):
        return value
    share = value / lax.axis_size(axis_name)
    return lax.stop_gradient(value) + (share - lax.stop_gradient(share))


def _tracks_replication(axis_name: AxisName) -> bool:
    def varying_and_replicated() -> tuple[jax.Array, jax.Array]:
        index = lax.axis_index(axis_name)
        return index, lax.psum(index, axis_name)

    varying, replicated = jax.eval_shape(varying_and_replicated)
    return varying != replicated


def _block(
    scores: jax.Array,
    positives: jax.Array | None,
    axis_name: AxisName | None,
    sharded: Sharded,
    transpose: bool = False,
) -> _Block:
    """The arguments of a bound, checked; transposed, candidates are the rows."""
    if sharded not in get_args(Sharded):
        raise ValueError(f"sharded={sharded!r} is unknown; use one of {get_args(Sharded)}")
    scores = _checked_scores(jnp.asarray(scores))
    positives = _checked_positives(scores, positives, axis_name, transpose)
    locations = math.prod(scores.shape[2:])
    block = scores.reshape(*scores.shape[:2], locations)
    positives = positives[:, :, None]
    if transpose:
        block, positives = block.swapaxes(0, 1), positives.swapaxes(0, 1)
        sharded = "candidates" if sharded == "anchors" else "anchors"
    devices = lax.axis_size(axis_name) if axis_name is not None else 1
    if block.shape[1] * (devices if sharded == "candidates" else 1) < 2:
        raise ValueError(
            f"scores have shape {scores.shape}: a batch of 1 has no negatives; "
            f"at least 2 are needed along axis {0 if transpose else 1}; use a larger batch"
        )
    return _Block(block, positives, axis_name, sharded)


def _checked_scores(scores: jax.Array) -> jax.Array:
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        raise TypeError(
            f"scores are {scores.dtype}{list(scores.shape)}; a bound needs floating-point "
            "scores; convert them with scores.astype(jnp.float32)"
        )
    if scores.ndim < 2 or scores.size == 0:
        raise ValueError(
            f"scores have shape {scores.shape}; a bound needs [anchors, candidates, *locations], "
            "none of them empty; score every anchor against every candidate"
        )
    return scores.astype(jnp.promote_types(scores.dtype, jnp.float32))


def _checked_positives(
    scores: jax.Array, positives: jax.Array | None, axis_name: AxisName | None, transpose: bool
) -> jax.Array:
    n, m = scores.shape[:2]
    if positives is None:
        if axis_name is not None:
            raise ValueError(
                f"scores {scores.shape} are one block of a matrix over axis {axis_name!r} and "
                "positives are missing; a block needs them, for its diagonal is not that of the "
                "matrix; pass the boolean mask of its positives"
            )
        if n != m:
            raise ValueError(
                f"scores have shape {scores.shape} and positives are missing; without them the "
                f"first two axes must be equal; pass positives b[{n}, {m}] with one True per row"
            )
        return jnp.eye(n, dtype=bool)
    if not isinstance(positives, jax.Array):
        positives = np.asarray(positives)
    if positives.dtype != bool:
        raise TypeError(
            f"positives are {positives.dtype}{list(positives.shape)}; a mask needs bool; "
            "compare instead of counting, or convert with positives.astype(bool)"
        )
    if positives.shape != (n, m):
        raise ValueError(
            f"positives have shape {positives.shape} and scores {scores.shape}; the mask has one "
            f"entry per pair, without locations; pass shape ({n}, {m})"
        )
    if axis_name is None and not isinstance(positives, jax.core.Tracer):
        _check_concrete_positives(np.asarray(positives), transpose)
    return jnp.asarray(positives)


def _check_concrete_positives(positives: np.ndarray, transpose: bool) -> None:
    rows = positives.sum(axis=1)
    if (rows != 1).any():
        row = int(np.argmax(rows != 1))
        raise ValueError(
            f"positives {positives.shape} have {rows[row]} True in row {row}; every anchor needs "
            "exactly one positive; mark it, or leave this anchor out"
        )
    columns = positives.sum(axis=0)
    if transpose and (columns > 1).any():
        column = int(np.argmax(columns > 1))
        raise ValueError(
            f"positives {positives.shape} have {columns[column]} True in column {column}; "
            "negatives='anchors' needs at most one per candidate; choose other negatives"
        )
