"""Bounds by competition: the candidate that belongs to an anchor among those that do not."""

import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax.nn import softplus

from dim_jax.bounds.definition import bound
from dim_jax.bounds.labels import LOG_N, NONE, Facts
from dim_jax.bounds.pairs import Pairs, log
from dim_jax.bounds.statistics import LogSumExp, Per, Positive

Negatives = Literal["locations", "candidates", "same_location", "anchors", "all_locations"]

_COMPETING = {"same_location": Per.ANCHOR_AND_LOCATION, "anchors": Per.CANDIDATE_AND_LOCATION}


def _facts(negatives: str, of: str, invariant_to: str) -> Facts:
    variant = f'negatives="{negatives}"'
    return Facts("lower bound", of, LOG_N, "grows with n", (invariant_to,), variant=variant)


@bound(
    _facts("locations", "I(x; y_l), less up to log L", "c(x)"),
    _facts("candidates", "mean over l of I(x; y_l)", "c(x)"),
    _facts("same_location", "mean over l of I(x; y_l)", "c(x, l)"),
    _facts("anchors", "mean over l of I(x; y_l)", "c(y, l)"),
    _facts("all_locations", "I(x; all y_l)", "c(x)"),
)
def infonce(pairs: Pairs, *, negatives: Negatives = "locations") -> jax.Array:
    """InfoNCE, in nats; larger is better, at most log n.

        log n + mean over positives i and locations l of T_iil - log( exp(T_iil) + S_il )

    with n the number of candidates of an anchor (positive included, excluded ones not; for
    "anchors": of anchors of a candidate) and S what `negatives` says (R, C, D, G and E are short
    names):

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

    With `excluded` self-pairs it is NT-Xent (SimCLR), an objective too: see `dim_jax.bounds`.

    Args:
      negatives: which entries compete with a positive, as above; "anchors" needs candidates of one
        positive each.
    Source: van den Oord et al. 2018, equation 4; Hjelm et al. 2019, equation 5; Chen et al. 2020
      (NT-Xent); rdevon/DIM dim_losses.py (infonce_loss); Philip-Bachman/amdim-public costs.py.
    Differs: the official DIM code overwrites excluded scores by a constant, -10, that still weighs
      in the softmax; here, as in AMDIM's, they are left out. Both leave out log n.
    """
    if negatives not in get_args(Negatives):
        raise ValueError(f"negatives={negatives!r} is unknown; use one of {get_args(Negatives)}")
    if negatives == "all_locations":
        return _among_all_locations(pairs)
    by_column = negatives == "anchors"
    positive, others = pairs.reduce(
        Positive(Per.CANDIDATE_AND_LOCATION if by_column else Per.ANCHOR_AND_LOCATION),
        LogSumExp(_COMPETING.get(negatives, Per.ANCHOR)),
    )
    weight = pairs.locations if negatives == "locations" else 1
    n = pairs.anchors_of_candidate if by_column else pairs.candidates_of_anchor
    return pairs.mean(log(n) - softplus(others - positive + math.log(weight)))


def _among_all_locations(pairs: Pairs) -> jax.Array:
    positive, others = pairs.reduce(Positive(), LogSumExp(Per.ANCHOR))
    n, locations = pairs.candidates_of_anchor, pairs.locations
    # Relative to the peak, so that the logarithm is of numbers near 1.
    peak = jax.lax.stop_gradient(jnp.maximum(others.peak, positive.max(2, keepdims=True)))
    candidate = jnp.sum(jnp.exp(positive - peak), 2, keepdims=True)
    everything = candidate + locations * jnp.exp(others - peak)
    return pairs.mean(log(n * locations) + (positive - peak) - jnp.log(everything))


@bound(Facts("lower bound", "mean over l of I(x; y_l)", LOG_N, "grows with n", ("c(l)",)))
def symmetric_infonce(pairs: Pairs) -> jax.Array:
    """InfoNCE in both directions, in nats; larger is better, at most log n.

        ( infonce(negatives="same_location") + infonce(negatives="anchors") ) / 2

    in one pass: each anchor among candidates and each candidate among anchors, location by
    location. Without locations, the loss of CLIP with the opposite sign and without log n. Its
    ceiling is the mean of log n and log m where they differ. Candidates have one positive each.

    Source: Zhang et al. 2020 (ConVIRT), Radford et al. 2021 (CLIP).
    Differs: no temperature (scale the scores).
    """
    row, other_candidates, column, other_anchors = pairs.reduce(
        *(Positive(Per.ANCHOR_AND_LOCATION), LogSumExp(Per.ANCHOR_AND_LOCATION)),
        *(Positive(Per.CANDIDATE_AND_LOCATION), LogSumExp(Per.CANDIDATE_AND_LOCATION)),
    )
    by_row = pairs.mean(log(pairs.candidates_of_anchor) - softplus(other_candidates - row))
    by_column = pairs.mean(log(pairs.anchors_of_candidate) - softplus(other_anchors - column))
    return 0.5 * (by_row + by_column)


@bound(Facts("neither", "I(x; y_l)", NONE, "too high", ("c(x, l)",), population="lower bound"))
def decoupled_infonce(pairs: Pairs) -> jax.Array:
    """InfoNCE without the positive in its denominator, in nats. NOT a bound: a loss, not a value.

        log(n - 1) + mean over positives i and locations l of T_iil - log sum over j != i exp(T_ijl)

    Its gradient does not vanish when the positive already wins, and for the same reason its value
    has no ceiling (6.15 for Gaussians of 5 nats at n = 64).

    Source: Yeh et al. 2022 (decoupled contrastive learning).
    Differs: no temperature, no weights.
    """
    positive, others = pairs.reduce(Positive(), LogSumExp(Per.ANCHOR_AND_LOCATION))
    return pairs.mean(positive - others + log(pairs.candidates_of_anchor - 1))
