"""Bounds by competition: which of the candidates is the one that belongs to the anchor?"""

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from dim_jax.bounds import pairs
from dim_jax.bounds.labels import LOG_N, NONE, Facts, label
from dim_jax.bounds.pairs import Pairs, Sharded
from dim_jax.bounds.statistics import (
    COLUMNS_BY_LOCATION,
    ROWS,
    ROWS_BY_LOCATION,
    AxisName,
    Joint,
    LogSum,
    SumExp,
    log_total,
)

Negatives = Literal["locations", "candidates", "same_location", "anchors", "all_locations"]

_OVER = {
    "locations": ROWS,
    "candidates": ROWS,
    "same_location": ROWS_BY_LOCATION,
    "anchors": COLUMNS_BY_LOCATION,
    "all_locations": ROWS,
}


def _competition(negatives: str, of: str, invariant_to: str) -> Facts:
    return Facts(
        kind="lower bound",
        of=of,
        ceiling=LOG_N,
        batch="grows with n",
        invariant_to=(invariant_to,),
        variant=f'negatives="{negatives}"',
    )


@label(
    _competition("locations", "I(x; y_l), less up to log L", "c(x)"),
    _competition("candidates", "mean over l of I(x; y_l)", "c(x)"),
    _competition("same_location", "mean over l of I(x; y_l)", "c(x, l)"),
    _competition("anchors", "mean over l of I(x; y_l)", "c(y, l)"),
    _competition("all_locations", "I(x; all y_l)", "c(x)"),
)
def infonce(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    negatives: Negatives = "locations",
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """InfoNCE, in nats; larger is better, at most log n.

        log n + mean over positives i and locations l of T_iil - log( exp(T_iil) + S_il )

    with n the number of candidates of an anchor (positive included; for "anchors": of anchors of a
    candidate) and S what `negatives` says (R, C, D, G and E are short names):

        "locations"      R  sum over j != i and l' of exp(T_ijl')    the objective of DIM and AMDIM
        "candidates"     C  sum over j != i of mean_l' exp(T_ijl')   other candidates, fixed anchor
        "same_location"  D  sum over j != i of exp(T_ijl)            the same, location by location
        "anchors"        G  sum over k != i of exp(T_kil)            other anchors, fixed candidate
        "all_locations"  E  R plus those of the own candidate; constant log(n L) in place of log n

    Without locations all but "anchors" are the row InfoNCE, "anchors" the column InfoNCE. With
    locations, train with "locations" and report "candidates", "same_location" or "anchors", which
    are lower bounds of the mean over l of I(anchor; candidate at l).

    "locations" competes with K = 1 + (n - 1) L candidates, but log K in place of log n would NOT
    give a bound: the locations of one image are dependent, so the K candidates are not
    exchangeable (8 equally likely symbols, L = 25 copies, n = 4: log K gives 3.23, the truth is
    2.08). With log n it is a valid bound but up to log L too low: an objective, not an estimate.

    Args:
      negatives: which entries compete with a positive, as above. Others: see the package.
    Returns: f32[].
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix;
      unknown `negatives`; with "anchors", two positives for one candidate.
    Source: van den Oord et al. 2018, equation 4; Hjelm et al. 2019, equation 5; rdevon/DIM
      dim_losses.py (infonce_loss); Philip-Bachman/amdim-public costs.py.
    Differs: the official DIM code overwrites excluded scores by a constant, -10, that still weighs
      in the softmax; here, as in AMDIM's, they are left out. Both leave out log n.
    """
    if negatives not in get_args(Negatives):
        raise ValueError(f"negatives={negatives!r} is unknown; use one of {get_args(Negatives)}")
    whole = pairs.of(scores, positives, axis_name, sharded)
    over = _OVER[negatives]
    if over == COLUMNS_BY_LOCATION:
        _need_columns(whole, f"negatives={negatives!r}")
    joint_over = COLUMNS_BY_LOCATION if over == COLUMNS_BY_LOCATION else ROWS_BY_LOCATION
    parts = whole.reduce(joint=Joint(joint_over), rest=SumExp(over))
    joint, rest = parts["joint"], parts["rest"]
    if negatives == "all_locations":
        return whole.value(_among_all_locations(whole, joint, rest))
    size = whole.anchors if over == COLUMNS_BY_LOCATION else whole.candidates
    weight = whole.locations if negatives == "locations" else 1
    return whole.value(_among(whole, joint, rest, size, weight))


def _need_columns(whole: Pairs, name: str) -> None:
    whole.require_negatives("anchors")
    whole.require_one_positive_per_candidate(name)


def _among(whole: Pairs, joint: jax.Array, rest: LogSum, size: int, weight: int = 1):
    """log size + mean of T - log(exp T + weight * rest).

    As a softplus of a difference it is exact also where T and the logarithm are +-1e4.
    """
    excess = log_total(rest, minus=joint) + math.log(weight)
    return whole.joint_mean(math.log(size) - jax.nn.softplus(excess))


def _among_all_locations(whole: Pairs, joint: jax.Array, rest: LogSum) -> jax.Array:
    peak = jax.lax.stop_gradient(jnp.maximum(rest.peak, joint.max(2, keepdims=True)))
    own = jnp.sum(jnp.exp(joint - peak), 2, keepdims=True)
    others = whole.locations * jnp.exp(log_total(rest, minus=peak))
    constant = math.log(whole.candidates * whole.locations)
    return whole.joint_mean(constant + (joint - peak) - jnp.log(own + others))


@label(
    Facts(
        kind="lower bound",
        of="mean over l of I(x; y_l)",
        ceiling=LOG_N,
        batch="grows with n",
        invariant_to=("c(l)",),
    )
)
def symmetric_infonce(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """InfoNCE in both directions, in nats; larger is better, at most log n.

        ( infonce(negatives="same_location") + infonce(negatives="anchors") ) / 2

    in one pass: each anchor among candidates and each candidate among anchors, location by
    location. Without locations, the loss of CLIP with the opposite sign and without log n.

    Args: see the package.
    Returns: f32[]; its ceiling is the mean of log n and log m where they differ.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix;
      two positives for one candidate.
    Source: Zhang et al. 2020 (ConVIRT), Radford et al. 2021 (CLIP).
    Differs: no temperature (scale the scores).
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    _need_columns(whole, "symmetric_infonce")
    parts = whole.reduce(
        row=Joint(ROWS_BY_LOCATION),
        row_rest=SumExp(ROWS_BY_LOCATION),
        column=Joint(COLUMNS_BY_LOCATION),
        column_rest=SumExp(COLUMNS_BY_LOCATION),
    )
    by_row = _among(whole, parts["row"], parts["row_rest"], whole.candidates)
    by_column = _among(whole, parts["column"], parts["column_rest"], whole.anchors)
    return whole.value(0.5 * (by_row + by_column))


@label(
    Facts(
        kind="neither",
        of="I(x; y_l)",
        population="lower bound",
        ceiling=NONE,
        batch="too high",
        invariant_to=("c(x, l)",),
    )
)
def decoupled_infonce(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """InfoNCE without the positive in its denominator, in nats. NOT a bound: a loss, not a value.

        log(n - 1) + mean over positives i and locations l of T_iil - log sum over j != i exp(T_ijl)

    Its gradient does not vanish when the positive already wins, and for the same reason its value
    has no ceiling (6.15 for Gaussians of 5 nats at n = 64).

    Args: see the package.
    Returns: f32[], larger is better.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Yeh et al. 2022 (decoupled contrastive learning).
    Differs: no temperature, no weights.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    parts = whole.reduce(joint=Joint(ROWS_BY_LOCATION), rest=SumExp(ROWS_BY_LOCATION))
    return whole.value(above_the_rest(whole, parts["joint"], parts["rest"], whole.candidates - 1))


def above_the_rest(whole: Pairs, joint: jax.Array, rest: LogSum, others: int) -> jax.Array:
    """mean over positives of T - log mean over its `others` of exp(T)."""
    excess = log_total(rest, minus=joint)
    return whole.joint_mean(math.log(others) - excess)
