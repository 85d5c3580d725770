"""Estimates of I = KL(joint || product) by critics whose optimum is the log density ratio."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dim_jax.bounds import divergences, f_divergences
from dim_jax.bounds.definition import bound
from dim_jax.bounds.labels import NONE, Ceiling, Facts
from dim_jax.bounds.pairs import Pairs, log, with_gradient_of
from dim_jax.bounds.statistics import LeaveOneOut, LogSum, LogSumExp, Per, Positive, Sum

_DONSKER_VARADHAN = ("neither", "I(x; y)", NONE, "too high", ("c",))
_KL = (divergences.kl_positive, divergences.kl_negative)


@bound(Facts(*_DONSKER_VARADHAN, population="lower bound"))
def donsker_varadhan(pairs: Pairs) -> jax.Array:
    """Donsker-Varadhan estimate, in nats; larger is better, no ceiling.

        mean over positives of T - log mean over negatives of exp(T)

    Both means also run over locations: with locations it estimates the information between an
    anchor and the candidate at a uniformly random location (`jax.vmap` over locations gives it for
    each). The population value is a lower bound; a batch value is biased upwards (Jensen), and its
    gradient is that of a ratio of two averages (`mine` removes that bias).

    Source: Donsker and Varadhan 1983; Belghazi et al. 2018 (MINE); Hjelm et al. 2019, equation 2.
    Differs: rdevon/DIM dim_losses.py cannot mask local scores and leaves the locations out of the
      normaliser; here positives never enter the normaliser and the mean counts every entry.
    """
    return _donsker_varadhan(pairs, *pairs.reduce(Positive(), LogSumExp()))


def _donsker_varadhan(pairs: Pairs, positive: jax.Array, negatives: LogSum) -> jax.Array:
    # Relative to the peak, so that large scores of one sign do not cancel in float32.
    peak = negatives.peak
    return pairs.mean(positive - peak) - (negatives - peak) + log(pairs.negatives)


class MineState(NamedTuple):
    """Moving average of the mean of exp(T) over the negatives: exp(log_sum) / weight."""

    log_sum: jax.Array  # f32[], log of sum_t (1 - decay) decay^age mean_t
    weight: jax.Array  # f32[], 1 - decay^steps


def mine_state() -> MineState:
    """The state before the first batch."""
    return MineState(jnp.full((), -jnp.inf), jnp.zeros(()))


@bound(
    Facts(
        *_DONSKER_VARADHAN,
        population="lower bound",
        gradient="of mean T - mean exp(T) / moving average",
        takes="scores and more",
    )
)
def mine(pairs: Pairs, *, state: MineState, decay: float) -> tuple[jax.Array, jax.Array, MineState]:
    """Mutual information neural estimation: Donsker-Varadhan with a debiased gradient.

        value      Donsker-Varadhan
        gradient   of mean over positives of T - (mean over negatives of exp(T)) / m

    with m the moving average of the second mean, this batch included, held in logs and divided by
    1 - decay^steps as Adam does. As decay -> 1 the gradient's bias vanishes.

    Args:
      state: of the batches before, `mine_state()` at first.
      decay: of the moving average, in [0, 1); 0 is the plain gradient of Donsker-Varadhan.
    Returns: (value f32[], surrogate f32[], new state): report the value, differentiate the
      surrogate (its number is the value's), carry the state. `jax.value_and_grad` of a function
      that returns (-surrogate, state) with has_aux=True does all three. On devices all hold
      the same state.
    Source: Belghazi et al. 2018, section 3.2.
    Differs: published code starts the average at a constant and is biased for the first steps.
    """
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay is {decay}; a moving average needs 0 <= decay < 1; try 0.99")
    positive, negatives = pairs.reduce(Positive(), LogSumExp())
    value = _donsker_varadhan(pairs, positive, negatives)
    log_mean = negatives.value() - log(pairs.negatives)
    now = jax.lax.stop_gradient(log_mean) + math.log1p(-decay)
    before = state.log_sum + (math.log(decay) if decay else -math.inf)
    new = MineState(jnp.logaddexp(now, before), decay * state.weight + (1.0 - decay))
    ratio = jnp.exp(log_mean - (new.log_sum - jnp.log(new.weight)))
    return value, with_gradient_of(pairs.mean(positive) - ratio, value), new


@bound(Facts("lower bound", "I(x; y)"))
def nwj(pairs: Pairs, *, clip: float | None = None) -> jax.Array:
    """Nguyen-Wainwright-Jordan bound (the KL of f-GAN, MINE-f), in nats; larger is better.

        mean over positives of T - mean over negatives of exp(T - 1)

    A lower bound also in expectation over batches. The optimal critic is 1 + log ratio: at
    T = c + log ratio it is I + c - exp(c - 1). Its variance grows like exp(I).

    Args:
      clip: scores are first clipped to [-clip, clip]. The value stays a lower bound, of another
        critic, whose gradient is 0 outside. Without it a negative's score above 89 overflows
        float32: the value is -inf, as the definition has it, and the gradient is not finite.
    Source: Nguyen et al. 2010; Nowozin et al. 2016; Poole et al. 2019, equation 6. Differs: no.
    """
    return f_divergences.estimate(pairs, *_KL, f_divergences.clipped(clip))


@bound(Facts("lower bound", "I(x; y)", takes="scores and more"))
def tuba(pairs: Pairs, *, log_baseline: jax.Array | float) -> jax.Array:
    """Tractable unnormalised Barber-Agakov bound, in nats; larger is better.

        1 + mean over positives of (T - log a(y)) - mean over negatives of exp(T) / a(y)

    A lower bound for every a > 0, learned or not; tight at a(y) = E_x exp(T(x, y)). a = e is
    `nwj`.

    Args:
      log_baseline: log a(y) of each candidate, f[] or f[m, *l or 1s].
    Source: Poole et al. 2019, equation 5. Differs: no.
    """
    baseline = pairs.per_candidate(log_baseline, "log_baseline")
    return f_divergences.estimate(pairs, *_KL, lambda t, log_a: t - log_a + 1.0, baseline)


_LOG_OTHERS = Ceiling("log(n - 1)", lambda n: math.log(n - 1))
_BY_ALPHA = Ceiling("1 + log((n - 1) / alpha)", lambda n, alpha: 1 + math.log((n - 1) / alpha))


@bound(
    Facts(
        *("lower bound", "I(x; y)", _LOG_OTHERS, "grows with n"),
        invariant_to=("c(y, l)",),
        variant="alpha=1",
    ),
    Facts("lower bound", "I(x; y)", _BY_ALPHA, "grows with n", variant="0<alpha<1"),
)
def interpolated(pairs: Pairs, *, alpha: float, log_baseline: jax.Array | float = 0.0) -> jax.Array:
    """The bound between TUBA (alpha = 0) and InfoNCE (alpha = 1), in nats; larger is better.

        A[j, k] = mean over anchors i != k of exp(T_ij)
        a[j, k] = alpha A[j, k] + (1 - alpha) a(y_j)
        1 + mean_{j != k}( T_jj - log a[j, k] ) - mean_{j != k}( exp(T_jk) / a[k, k] )

    for candidates j, k whose positives are the anchors j, k; with locations the mean of the value
    at each. The positive is in A of the first mean and left out of a of the second. alpha trades
    variance (small alpha) for bias: at most 1 + log((n - 1) / alpha), log(n - 1) at alpha = 1.
    The matrix is square, every candidate has a positive.

    Args:
      alpha: in [0, 1].
      log_baseline: log a(y) of each candidate, f[] or f[m, *l or 1s]; 0 is a = 1.
    Source: Poole et al. 2019, equation 12 and appendix.
    Differs: leave-one-out sums never subtract a dominant term.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}; it interpolates; pass a number from 0 to 1")
    if pairs.anchors != pairs.candidates:
        raise ValueError(
            f"interpolated needs a positive for every candidate and got {pairs.anchors} anchors "
            f"with {pairs.candidates} candidates; pass a square matrix, without a queue"
        )
    per = Per.CANDIDATE_AND_LOCATION
    positive, anchors = pairs.reduce(Positive(per, everywhere=True), LeaveOneOut(per))
    baseline = pairs.per_candidate(log_baseline, "log_baseline")
    others = pairs.anchors_of_candidate - 1
    log_others = log(others)

    def log_a(log_mean: jax.Array, baseline: jax.Array) -> jax.Array:
        if alpha in (0.0, 1.0):
            return log_mean if alpha else baseline
        return jnp.logaddexp(math.log(alpha) + log_mean, math.log1p(-alpha) + baseline)

    def first_term(scores: jax.Array, extra) -> jax.Array:
        """log a[j, k] - T_jj, with k the anchor of this entry."""
        positive, anchors, baseline, log_count, *_ = *extra, log_others
        log_sum = jnp.logaddexp(0.0, anchors.without(scores, minus=positive))
        return log_a(log_sum - log_count, baseline - positive)

    counts = () if isinstance(others, int) else (log_others,)  # numbers of candidates, else one
    (first,) = pairs.reduce(Sum(first_term), extra=(positive, anchors, baseline, *counts))
    peak = anchors.everything.peak  # as in `_donsker_varadhan`
    log_mean = (anchors.everything - peak) - log_others
    terms = jnp.exp(log_mean - log_a(log_mean, baseline - peak))
    if not isinstance(others, int):  # a candidate counts by its negatives, as in the first mean
        terms *= others * (pairs.anchors / pairs.negatives)
    second = pairs.mean(terms)
    return 1.0 - first / pairs.negatives - second


@bound(Facts("lower bound", "I(x; y)", gradient="of jensen_shannon"))
def js_nwj(pairs: Pairs) -> jax.Array:
    """The NWJ bound at 1 + T, trained by the Jensen-Shannon objective; in nats.

        value      mean over positives of (1 + T) - mean over negatives of exp(T)
        gradient   of `jensen_shannon`, whose optimal critic is T = log ratio as well

    Training is stable where that of `nwj` is not; the value has the variance of `nwj`: it is -inf
    where a negative's score is above 88 in float32, with a finite gradient.

    Source: Poole et al. 2019, section 2.4 (L_JS). Differs: no.
    """

    def value(positive: jax.Array, negatives: LogSum) -> jax.Array:
        mean_exp = jnp.exp(negatives.value() - log(pairs.negatives))
        return pairs.mean(1.0 + positive) - mean_exp

    return _with_gradient_of_jensen_shannon(pairs, LogSumExp(), value)


def _with_gradient_of_jensen_shannon(
    pairs: Pairs, of_negatives: LogSumExp, value: Callable[[jax.Array, LogSum], jax.Array]
) -> jax.Array:
    """The value of positives and negatives, in the one pass that the gradient takes."""
    positive, negatives, product = pairs.reduce(
        Positive(), of_negatives, Sum(term=divergences.jensen_shannon_negative)
    )
    joint = pairs.mean(divergences.jensen_shannon_positive(positive))
    return with_gradient_of(joint - product / pairs.negatives, value(positive, negatives))


@bound(Facts("neither", "I(x; y)", batch="too high", gradient="of jensen_shannon"))
def smile(pairs: Pairs, *, tau: float) -> jax.Array:
    """Smoothed mutual information lower-bound estimator, in nats. Despite its name NOT a bound.

        value      mean over positives of T - log mean over negatives of exp(clip(T, -tau, tau))
        gradient   of `jensen_shannon`

    Clipping lowers the variance and the partition: the value is too high, the more the smaller
    tau (+0.75 nats at tau = 1, +0.02 at tau = 10 for Gaussians of 5 nats).

    Args:
      tau: where the scores of negatives are clipped, positive; inf is Donsker-Varadhan.
    Source: Song and Ermon 2020, equation 17. Differs: no.
    """
    if not tau > 0:
        raise ValueError(f"tau is {tau}; scores are clipped to [-tau, tau]; pass a positive tau")
    clipped = LogSumExp(of=lambda scores, _: jnp.clip(scores, -tau, tau))
    return _with_gradient_of_jensen_shannon(pairs, clipped, partial(_donsker_varadhan, pairs))
