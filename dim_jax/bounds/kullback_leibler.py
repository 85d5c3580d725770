"""Estimates of I = KL(joint || product) by critics whose optimum is the log density ratio."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dim_jax.bounds import divergences, f_divergences, pairs
from dim_jax.bounds.labels import NONE, Ceiling, Facts, label
from dim_jax.bounds.pairs import Sharded
from dim_jax.bounds.statistics import (
    COLUMNS_BY_LOCATION,
    EVERYTHING,
    ROWS_BY_LOCATION,
    AxisName,
    Joint,
    SumExp,
    SumExpButLargest,
    log_total,
    log_without,
)

_JOINT = Joint(ROWS_BY_LOCATION)


@label(
    Facts(
        kind="neither",
        of="I(x; y)",
        population="lower bound",
        ceiling=NONE,
        batch="too high",
        invariant_to=("c",),
    )
)
def donsker_varadhan(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Donsker-Varadhan estimate, in nats; larger is better, no ceiling.

        mean over positives of T - log mean over negatives of exp(T)

    Both means also run over locations: with locations it estimates the information between an
    anchor and the candidate at a uniformly random location (`jax.vmap` over locations gives it for
    each). The population value is a lower bound; a batch value is biased upwards (Jensen), and its
    gradient is that of a ratio of two averages (`mine` removes that bias).

    Args: see the package.
    Returns: f32[].
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Donsker and Varadhan 1983; Belghazi et al. 2018 (MINE); Hjelm et al. 2019, equation 2.
    Differs: rdevon/DIM dim_losses.py cannot mask local scores and leaves the locations out of the
      normaliser; here positives never enter the normaliser and the mean counts every entry.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    parts = whole.reduce(joint=_JOINT, rest=SumExp(EVERYTHING))
    return whole.value(_donsker_varadhan(whole, parts["joint"], parts["rest"]))


def _donsker_varadhan(whole, joint, rest) -> jax.Array:
    # Against the peak, so that large scores of one sign do not cancel in float32.
    above = whole.joint_mean(joint - rest.peak)
    return above - log_total(rest, minus=rest.peak) + math.log(whole.negatives)


class MineState(NamedTuple):
    """Moving average of the mean of exp(T) over the negatives: exp(log_sum) / weight."""

    log_sum: jax.Array  # f32[], log of sum_t (1 - decay) decay^age mean_t
    weight: jax.Array  # f32[], 1 - decay^steps


def mine_state() -> MineState:
    """The state before the first batch."""
    return MineState(jnp.full((), -jnp.inf), jnp.zeros(()))


@label(
    Facts(
        kind="neither",
        of="I(x; y)",
        population="lower bound",
        ceiling=NONE,
        batch="too high",
        invariant_to=("c",),
        gradient="of mean T - mean exp(T) / moving average",
        takes="scores and more",
    )
)
def mine(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    state: MineState,
    decay: float,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> tuple[jax.Array, jax.Array, MineState]:
    """Mutual information neural estimation: Donsker-Varadhan with a debiased gradient.

        value      Donsker-Varadhan
        gradient   of mean over positives of T - (mean over negatives of exp(T)) / m

    with m the moving average of the second mean, this batch included, held in logs and divided by
    1 - decay^steps as Adam does. As decay -> 1 the gradient's bias vanishes.

    Args:
      state: of the batches before, `mine_state()` at first.
      decay: of the moving average, in [0, 1); 0 is the plain gradient of Donsker-Varadhan.
      Others: see the package.
    Returns: (value f32[], surrogate f32[], new state): report the value, differentiate the
      surrogate (its number is the value's), carry the state. `jax.value_and_grad` of a function
      that returns (-surrogate, state) with has_aux=True does all three. On devices all hold
      the same state.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix; a
      decay outside [0, 1).
    Source: Belghazi et al. 2018, section 3.2.
    Differs: published code starts the average at a constant and is biased for the first steps.
    """
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"decay is {decay}; a moving average needs 0 <= decay < 1; try 0.99")
    whole = pairs.of(scores, positives, axis_name, sharded)
    parts = whole.reduce(joint=_JOINT, rest=SumExp(EVERYTHING))
    value = whole.value(_donsker_varadhan(whole, parts["joint"], parts["rest"]))
    log_mean = log_total(parts["rest"]).reshape(()) - math.log(whole.negatives)
    now = jax.lax.stop_gradient(log_mean) + math.log1p(-decay)
    before = state.log_sum + (math.log(decay) if decay else -math.inf)
    log_sum = jnp.logaddexp(now, before)
    new = MineState(log_sum, decay * state.weight + (1.0 - decay))
    ratio = jnp.exp(log_mean - (new.log_sum - jnp.log(new.weight)))
    surrogate = whole.joint_mean(parts["joint"]) - ratio
    return value, pairs.with_gradient_of(whole.value(surrogate), value), new


@label(
    Facts(
        kind="lower bound",
        of="I(x; y)",
        ceiling=NONE,
        batch="unbiased",
        invariant_to=(),
    )
)
def nwj(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    clip: float | None = None,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Nguyen-Wainwright-Jordan bound (the KL of f-GAN, MINE-f), in nats; larger is better.

        mean over positives of T - mean over negatives of exp(T - 1)

    A lower bound also in expectation over batches. The optimal critic is 1 + log ratio: at
    T = c + log ratio it is I + c - exp(c - 1). Its variance grows like exp(I).

    Args:
      clip: scores are first clipped to [-clip, clip]. The value stays a lower bound, of another
        critic, whose gradient is 0 outside. Without it a negative's score above 89 overflows
        float32: the value is -inf, as the definition has it, and the gradient is not finite.
      Others: see the package.
    Returns: f32[].
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix; a
      clip that is not positive.
    Source: Nguyen et al. 2010; Nowozin et al. 2016; Poole et al. 2019, equation 6.
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return f_divergences.estimate(whole, divergences.kl_positive, divergences.kl_negative, clip)


@label(
    Facts(
        kind="lower bound",
        of="I(x; y)",
        ceiling=NONE,
        batch="unbiased",
        invariant_to=(),
        takes="scores and more",
    )
)
def tuba(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    log_baseline: jax.Array | float,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Tractable unnormalised Barber-Agakov bound, in nats; larger is better.

        1 + mean over positives of (T - log a(y)) - mean over negatives of exp(T) / a(y)

    A lower bound for every a > 0, learned or not; tight at a(y) = E_x exp(T(x, y)). a = e is
    `nwj`.

    Args:
      log_baseline: log a(y) of each candidate, f[] or f[m, *l or 1s].
      Others: see the package.
    Returns: f32[].
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix; a
      baseline that does not match the candidates.
    Source: Poole et al. 2019, equation 5.
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return f_divergences.estimate(
        whole,
        divergences.kl_positive,
        divergences.kl_negative,
        critic=lambda scores, baseline: scores - baseline + 1.0,
        extra=whole.per_candidate(log_baseline, "log_baseline"),
    )


@label(
    Facts(
        kind="lower bound",
        of="I(x; y)",
        ceiling=Ceiling("log(n - 1)", lambda n: math.log(n - 1)),
        batch="grows with n",
        invariant_to=("c(y, l)",),
        variant="alpha=1",
    ),
    Facts(
        kind="lower bound",
        of="I(x; y)",
        ceiling=Ceiling("1 + log((n - 1) / alpha)", lambda n, alpha: 1 + math.log((n - 1) / alpha)),
        batch="grows with n",
        invariant_to=(),
        variant="0<alpha<1",
    ),
)
def interpolated(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    alpha: float,
    log_baseline: jax.Array | float = 0.0,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """The bound between TUBA (alpha = 0) and InfoNCE (alpha = 1), in nats; larger is better.

        A[j, k] = mean over anchors i != k of exp(T_ij)
        a[j, k] = alpha A[j, k] + (1 - alpha) a(y_j)
        1 + mean_{j != k}( T_jj - log a[j, k] ) - mean_{j != k}( exp(T_jk) / a[k, k] )

    for candidates j, k whose positives are the anchors j, k; with locations the mean of the value
    at each. The positive is in A of the first mean and left out of a of the second. alpha trades
    variance (small alpha) for bias: at most 1 + log((n - 1) / alpha), log(n - 1) at alpha = 1.

    Args:
      alpha: in [0, 1].
      log_baseline: log a(y) of each candidate, f[] or f[m, *l or 1s]; 0 is a = 1.
      Others: see the package; the matrix is square, every candidate has a positive.
    Returns: f32[].
    Raises: TypeError, ValueError at trace time: scores or positives that make no square score
      matrix; a baseline that does not match the candidates; alpha outside [0, 1].
    Source: Poole et al. 2019, equation 12 and appendix.
    Differs: leave-one-out sums never subtract a dominant term.
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is {alpha}; it interpolates; pass a number from 0 to 1")
    whole = pairs.of(scores, positives, axis_name, sharded)
    whole.require_square("interpolated")
    whole.require_one_positive_per_candidate("interpolated")
    others = whole.anchors - 1
    log_alpha = math.log(alpha) if alpha else -math.inf
    log_rest = math.log1p(-alpha) if alpha < 1 else -math.inf
    parts = whole.reduce(
        joint=Joint(COLUMNS_BY_LOCATION, everywhere=True),
        rest=SumExpButLargest(COLUMNS_BY_LOCATION),
    )
    joint, rest = parts["joint"], parts["rest"]
    baseline = whole.per_candidate(log_baseline, "log_baseline")

    def mixed(log_mean: jax.Array, base: jax.Array) -> jax.Array:
        if alpha in (0.0, 1.0):
            return log_mean if alpha else base
        return jnp.logaddexp(log_alpha + log_mean, log_rest + base)

    def excess(scores: jax.Array, extra) -> jax.Array:
        """log a[j, k] - T_jj, with k the anchor of this entry."""
        joint, rest, baseline = extra
        left = jnp.logaddexp(0.0, log_without(rest, scores, minus=joint))
        return mixed(left - math.log(others), baseline - joint)

    first = whole.negatives_mean(excess, (joint, rest, baseline))
    peak = rest.everything.peak
    log_mean = log_total(rest.everything, minus=peak) - math.log(others)
    second = jnp.exp(log_mean - mixed(log_mean, baseline - peak))
    return whole.value(1.0 - first - whole.joint_mean(second))


@label(
    Facts(
        kind="lower bound",
        of="I(x; y)",
        ceiling=NONE,
        batch="unbiased",
        invariant_to=(),
        gradient="of jensen_shannon",
    )
)
def js_nwj(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """The NWJ bound at 1 + T, trained by the Jensen-Shannon objective; in nats.

        value      mean over positives of (1 + T) - mean over negatives of exp(T)
        gradient   of `jensen_shannon`, whose optimal critic is T = log ratio as well

    Training is stable where that of `nwj` is not; the value has the variance of `nwj`.

    Args: see the package.
    Returns: f32[]; -inf where a negative's score is above 88 in float32, with a finite gradient.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Poole et al. 2019, section 2.4 (L_JS).
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    parts = whole.reduce(
        joint=_JOINT, rest=SumExp(EVERYTHING), softplus=f_divergences.JENSEN_SHANNON_NEGATIVE
    )
    mean = whole.joint_mean(1.0 + parts["joint"])
    value = mean - jnp.exp(log_total(parts["rest"]) - math.log(whole.negatives))
    objective = f_divergences.jensen_shannon_of(whole, parts["joint"], parts["softplus"])
    return pairs.with_gradient_of(whole.value(objective), value.reshape(()))


@label(
    Facts(
        kind="neither",
        of="I(x; y)",
        ceiling=NONE,
        batch="too high",
        invariant_to=(),
        gradient="of jensen_shannon",
    )
)
def smile(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    tau: float,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Smoothed mutual information lower-bound estimator, in nats. Despite its name NOT a bound.

        value      mean over positives of T - log mean over negatives of exp(clip(T, -tau, tau))
        gradient   of `jensen_shannon`

    Clipping lowers the variance and the partition: the value is too high, the more the smaller
    tau (+0.75 nats at tau = 1, +0.02 at tau = 10 for Gaussians of 5 nats).

    Args:
      tau: where the scores of negatives are clipped, positive; inf is Donsker-Varadhan.
      Others: see the package.
    Returns: f32[].
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix; a
      tau that is not positive.
    Source: Song and Ermon 2020, equation 17.
    Differs: no.
    """
    if not tau > 0:
        raise ValueError(f"tau is {tau}; scores are clipped to [-tau, tau]; pass a positive tau")
    whole = pairs.of(scores, positives, axis_name, sharded)
    parts = whole.reduce(
        joint=_JOINT,
        rest=SumExp(EVERYTHING, of=lambda scores, _: jnp.clip(scores, -tau, tau)),
        softplus=f_divergences.JENSEN_SHANNON_NEGATIVE,
    )
    value = _donsker_varadhan(whole, parts["joint"], parts["rest"])
    objective = f_divergences.jensen_shannon_of(whole, parts["joint"], parts["softplus"])
    return pairs.with_gradient_of(whole.value(objective), value.reshape(()))
