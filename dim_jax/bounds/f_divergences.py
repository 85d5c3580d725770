"""f-divergences of the joint from the product distribution: measures of dependence, not nats of I.

All are lower bounds of a divergence that is 0 if and only if anchor and candidate are independent.
Two distributions with equal mutual information can differ in them.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dim_jax.bounds import divergences
from dim_jax.bounds.definition import bound
from dim_jax.bounds.labels import Ceiling, Facts
from dim_jax.bounds.pairs import Pairs
from dim_jax.bounds.statistics import Entry, Positive, Sum, unchanged

Term = Callable[[jax.Array], jax.Array]


def estimate(
    pairs: Pairs, positive: Term, negative: Term, of: Entry = unchanged, extra: Any = ()
) -> jax.Array:
    """mean over positives of positive(T) - mean over negatives of negative(T), T = of(score)."""
    joint, product = pairs.reduce(Positive(of=of), Sum(of, negative), extra=extra)
    return pairs.mean(positive(joint)) - product / pairs.negatives


def clipped(clip: float | None) -> Entry:
    """Scores clipped to [-clip, clip], or as they are."""
    if clip is None:
        return unchanged
    if not clip > 0:
        raise ValueError(f"clip is {clip}; scores end at -clip and clip; pass a positive one")
    return lambda scores, _: jnp.clip(scores, -clip, clip)


@bound(Facts("divergence", "2 JS(joint, product)", Ceiling("2 log 2", lambda n: 2 * math.log(2))))
def jensen_shannon(pairs: Pairs) -> jax.Array:
    """Lower bound of twice the Jensen-Shannon divergence of joint and product; at most 2 log 2.

        2 log 2 - mean over positives of softplus(-T) - mean over negatives of softplus(T)

    A measure of dependence, NOT mutual information in nats: `jsd_to_mi_lower_bound` turns it into
    a guaranteed one. Both means also run over locations. 0 for constant zero scores. Low variance,
    unbiased gradient. The optimal critic is the log density ratio, so its scores also fit
    `donsker_varadhan`.

    Source: Nowozin et al. 2016; Hjelm et al. 2019, equation 4; rdevon/DIM dim_losses.py
      (fenchel_dual_loss, measure JSD), whose loss is minus this value. Differs: no.
    """
    return estimate(pairs, divergences.jensen_shannon_positive, divergences.jensen_shannon_negative)


@bound(Facts("divergence", "2 JS(joint, product) - 2 log 2", Ceiling("0", lambda n: 0.0)))
def gan(pairs: Pairs) -> jax.Array:
    """The GAN game's value: `jensen_shannon` minus 2 log 2, with the same gradient; at most 0.

        - mean over positives of softplus(-T) - mean over negatives of softplus(T)

    Source: Goodfellow et al. 2014; rdevon/DIM dim_losses.py (measure GAN). Differs: no.
    """
    return estimate(pairs, divergences.gan_positive, divergences.gan_negative)


@bound(Facts("divergence", "KL(product || joint)"))
def reverse_kl(pairs: Pairs, *, clip: float | None = None) -> jax.Array:
    """Lower bound of KL(product || joint), in nats but not of mutual information; no ceiling.

        mean over positives of -exp(-T) - mean over negatives of (T - 1)

    The optimal critic is the log density ratio. Heavy tails on the positives.

    Args:
      clip: as in `nwj`. Without it a positive's score below -88 overflows float32.
    Source: Nowozin et al. 2016; rdevon/DIM gan_losses.py (RKL). Differs: no.
    """
    terms = divergences.reverse_kl_positive, divergences.reverse_kl_negative
    return estimate(pairs, *terms, clipped(clip))


_TWO = Ceiling("2", lambda n: 2.0)


@bound(Facts("divergence", "squared Hellinger distance of joint and product", _TWO))
def squared_hellinger(pairs: Pairs, *, clip: float | None = None) -> jax.Array:
    """Lower bound of the integral of (sqrt(joint) - sqrt(product))^2; at most 2.

        mean over positives of (1 - exp(-T)) - mean over negatives of (exp(T) - 1)

    The optimal critic is HALF the log density ratio.

    Args:
      clip: as in `nwj`. Without it scores beyond 88 of the wrong sign overflow float32.
    Source: Nowozin et al. 2016; rdevon/DIM gan_losses.py (H2). Differs: no.
    """
    terms = divergences.squared_hellinger_positive, divergences.squared_hellinger_negative
    return estimate(pairs, *terms, clipped(clip))


@bound(Facts("divergence", "chi^2(joint || product)"))
def pearson_chi2(pairs: Pairs) -> jax.Array:
    """Lower bound of Pearson's chi-squared divergence of joint from product; no ceiling.

        mean over positives of T - mean over negatives of (T + T^2 / 4)

    The optimal critic is 2 (ratio - 1), the ratio itself and not its logarithm. A polynomial:
    nothing overflows. At high information the sample value is useless (22,025 for 5 nats).

    Source: Nowozin et al. 2016.
    Differs: rdevon/DIM gan_losses.py (X2) squares the positives' scores and has no maximum.
    """
    return estimate(pairs, divergences.pearson_chi2_positive, divergences.pearson_chi2_negative)


@bound(
    Facts(
        "divergence",
        "W1(joint, product), in units of the metric",
        condition="the critic is 1-Lipschitz",
        invariant_to=("c(x, l)", "c(y, l)"),
    )
)
def wasserstein(pairs: Pairs) -> jax.Array:
    """Wasserstein dependency measure: the transport distance from product to joint.

        mean over positives of T - mean over negatives of T

    In the units of the critic, and means something only while the critic is 1-Lipschitz: train it
    with `divergences.lipschitz_penalty`, or build it with spectral norm (`nets.critics.concat`),
    and report the slope that the penalty measures beside the value. Depends on metric and units.
    Wasserstein predictive coding is `infonce` over such a critic.

    Source: Ozair et al. 2019, equations 4 and 7; rdevon/DIM dim_losses.py (measure W1), which
      leaves the critic unconstrained. Differs: no.
    """
    return difference_of_means(pairs)


def difference_of_means(pairs: Pairs) -> jax.Array:
    """mean over positives - mean over negatives of the scores."""
    (positive,) = pairs.reduce(Positive())
    # Relative to a number of the scores' own size, so that large ones of one sign do not cancel.
    level = lax.stop_gradient(pairs.mean(positive))
    (product,) = pairs.reduce(Sum(lambda scores, _: scores - level))
    return pairs.mean(positive - level) - product / pairs.negatives
