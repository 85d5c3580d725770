"""Estimates of f-divergences between joint and product law: measures of dependence, not nats of I.

All but `jsd_to_mi_lower_bound` are lower bounds of a divergence that is 0 if and only if anchor
and candidate are independent. Two laws with equal mutual information can differ in them.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from dim_jax.bounds import divergences, pairs
from dim_jax.bounds.labels import NONE, Facts, constant, label
from dim_jax.bounds.pairs import Pairs, Sharded
from dim_jax.bounds.statistics import ROWS_BY_LOCATION, AxisName, Joint, Sum

Term = Callable[[jax.Array], jax.Array]

JENSEN_SHANNON_NEGATIVE = Sum(term=divergences.jensen_shannon_negative)


def estimate(
    whole: Pairs,
    positive: Term,
    negative: Term,
    clip: float | None = None,
    critic=lambda scores, extra: scores,
    extra=(),
) -> jax.Array:
    """mean over positives of positive(T) - mean over negatives of negative(T)."""
    if clip is not None and not clip > 0:
        raise ValueError(
            f"clip is {clip}; scores are clipped to [-clip, clip]; pass a positive one"
        )

    def clipped(scores: jax.Array, extra) -> jax.Array:
        scores = critic(scores, extra)
        return scores if clip is None else jnp.clip(scores, -clip, clip)

    parts = whole.reduce(
        extra,
        joint=Joint(ROWS_BY_LOCATION, clipped),
        product=Sum(clipped, negative),
    )
    joint = whole.joint_mean(positive(parts["joint"]))
    return whole.value(joint - parts["product"] / whole.negatives)


def jensen_shannon_of(whole: Pairs, joint: jax.Array, product: jax.Array) -> jax.Array:
    """`jensen_shannon` from its statistics, for estimates that only borrow its gradient."""
    mean = whole.joint_mean(divergences.jensen_shannon_positive(joint))
    return mean - product / whole.negatives


@label(
    Facts(
        kind="divergence",
        of="2 JS(joint, product)",
        ceiling=constant("2 log 2", 2 * math.log(2)),
        batch="unbiased",
        invariant_to=(),
    )
)
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
    a guaranteed one. Both means also run over locations. Low variance, unbiased gradient. The
    optimal critic is the log density ratio, so its scores also fit `donsker_varadhan`.

    Args: see the package.
    Returns: f32[], larger is better; 0 for constant zero scores.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Nowozin et al. 2016; Hjelm et al. 2019, equation 4; rdevon/DIM dim_losses.py
      (fenchel_dual_loss, measure JSD), whose loss is minus this value.
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return estimate(whole, divergences.jensen_shannon_positive, divergences.jensen_shannon_negative)


@label(
    Facts(
        kind="divergence",
        of="2 JS(joint, product) - 2 log 2",
        ceiling=constant("0", 0.0),
        batch="unbiased",
        invariant_to=(),
    )
)
def gan(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """The GAN game's value: `jensen_shannon` minus 2 log 2, with the same gradient; at most 0.

        - mean over positives of softplus(-T) - mean over negatives of softplus(T)

    Args: see the package.
    Returns: f32[], larger is better.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Goodfellow et al. 2014; rdevon/DIM dim_losses.py (measure GAN).
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return estimate(whole, divergences.gan_positive, divergences.gan_negative)


@label(
    Facts(
        kind="divergence",
        of="KL(product || joint)",
        ceiling=NONE,
        batch="unbiased",
        invariant_to=(),
    )
)
def reverse_kl(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    clip: float | None = None,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Lower bound of KL(product || joint), in nats but not of mutual information; no ceiling.

        mean over positives of -exp(-T) - mean over negatives of (T - 1)

    The optimal critic is the log density ratio. Heavy tails on the positives.

    Args:
      clip: scores are first clipped to [-clip, clip]: still a lower bound, of another critic,
        whose gradient is 0 outside. Without it a positive's score below -88 overflows float32.
      Others: see the package.
    Returns: f32[], larger is better.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix; a
      clip that is not positive.
    Source: Nowozin et al. 2016; rdevon/DIM gan_losses.py (RKL).
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return estimate(whole, divergences.reverse_kl_positive, divergences.reverse_kl_negative, clip)


@label(
    Facts(
        kind="divergence",
        of="squared Hellinger distance of joint and product",
        ceiling=constant("2", 2.0),
        batch="unbiased",
        invariant_to=(),
    )
)
def squared_hellinger(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    clip: float | None = None,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Lower bound of the integral of (sqrt(joint) - sqrt(product))^2; at most 2.

        mean over positives of (1 - exp(-T)) - mean over negatives of (exp(T) - 1)

    The optimal critic is HALF the log density ratio.

    Args:
      clip: scores are first clipped to [-clip, clip]: still a lower bound, of another critic,
        whose gradient is 0 outside. Without it scores beyond 88 of the wrong sign overflow
        float32.
      Others: see the package.
    Returns: f32[], larger is better.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix; a
      clip that is not positive.
    Source: Nowozin et al. 2016; rdevon/DIM gan_losses.py (H2).
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return estimate(
        whole, divergences.squared_hellinger_positive, divergences.squared_hellinger_negative, clip
    )


@label(
    Facts(
        kind="divergence",
        of="chi^2(joint || product)",
        ceiling=NONE,
        batch="unbiased",
        invariant_to=(),
    )
)
def pearson_chi2(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Lower bound of Pearson's chi-squared divergence of joint from product law; no ceiling.

        mean over positives of T - mean over negatives of (T + T^2 / 4)

    The optimal critic is 2 (ratio - 1), the ratio itself and not its logarithm. A polynomial:
    nothing overflows. At high information the sample value is useless (22,025 for 5 nats).

    Args: see the package.
    Returns: f32[], larger is better.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Nowozin et al. 2016.
    Differs: rdevon/DIM gan_losses.py (X2) squares the positives' scores and has no maximum.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return estimate(whole, divergences.pearson_chi2_positive, divergences.pearson_chi2_negative)


@label(
    Facts(
        kind="divergence",
        of="W1(joint, product), in units of the metric",
        condition="the critic is 1-Lipschitz",
        ceiling=NONE,
        batch="unbiased",
        invariant_to=("c(x, l)", "c(y, l)"),
    )
)
def wasserstein(
    scores: jax.Array,
    positives: jax.Array | None = None,
    *,
    axis_name: AxisName | None = None,
    sharded: Sharded = "anchors",
) -> jax.Array:
    """Wasserstein dependency measure: the transport distance from product to joint law.

        mean over positives of T - mean over negatives of T

    Means something only while the critic is 1-Lipschitz: train it with
    `divergences.lipschitz_penalty`, or build it with spectral norm (`nets.critics.concat`), and
    report the slope that the penalty measures beside the value. Depends on metric and units.
    Wasserstein predictive coding is `infonce` over such a critic.

    Args: see the package.
    Returns: f32[], in the units of the critic; larger is better.
    Raises: TypeError, ValueError at trace time: scores or positives that make no score matrix.
    Source: Ozair et al. 2019, equations 4 and 7; rdevon/DIM dim_losses.py (measure W1), which
      leaves the critic unconstrained.
    Differs: no.
    """
    whole = pairs.of(scores, positives, axis_name, sharded)
    return whole.value(difference_of_means(whole))


def difference_of_means(whole: Pairs) -> jax.Array:
    """mean over positives - mean over negatives of the scores."""
    joint = whole.reduce(joint=Joint(ROWS_BY_LOCATION))["joint"]
    # Against a number of the scores' own size, so that large ones of one sign do not cancel.
    level = lax.stop_gradient(whole.joint_mean(joint))
    product = whole.negatives_mean(lambda scores, _: scores - level)
    return whole.joint_mean(joint - level) - product


@label(
    Facts(
        kind="lower bound",
        of="I(x; y)",
        condition="the value is at most 2 JS(joint, product)",
        ceiling=NONE,
        batch="exact",
        invariant_to=(),
        takes="value",
    )
)
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
