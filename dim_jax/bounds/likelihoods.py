"""Bounds from normalised models: log-likelihoods log q in place of critic scores.

A matrix of them, `log_conditional` f[n, m, *l], has log q(y_j | x_i) at [i, j]: anchors x are rows,
candidates y columns.
"""

import jax
import jax.numpy as jnp
from jax import lax

from dim_jax.bounds.contrastive import infonce
from dim_jax.bounds.definition import bound, estimator
from dim_jax.bounds.f_divergences import difference_of_means
from dim_jax.bounds.labels import LOG_N, Facts
from dim_jax.bounds.pairs import Pairs, log, replicated
from dim_jax.bounds.statistics import AxisName, LogSumExp, Per, Positive

_EXACT = dict(condition="q(y | x) is exact", takes="log-likelihoods")


@estimator(
    Facts(
        *("lower bound", "I(x; y)"),
        **dict(condition="the entropy is that of y", takes="log-likelihoods", pairs=False),
    )
)
def barber_agakov(
    log_conditional: jax.Array, *, entropy: jax.Array | float, axis_name: AxisName | None = None
) -> jax.Array:
    """Barber-Agakov bound, in nats; larger is better. Equal to I where q is the true conditional.

        entropy + mean of log q(y | x) over joint pairs

    Args:
      log_conditional: f[n] or f[n, *l], log q(y_i | x_i) of the joint pairs; with `axis_name`
        those of this device, as many on each.
      entropy: H(Y) of the true distribution, in nats (differential for densities).
    Raises: TypeError, ValueError at trace time: no floats, or none at all.
    Source: Barber and Agakov 2003; Poole et al. 2019, equation 2. Differs: no.
    """
    mean = _mean(log_conditional, "log_conditional", axis_name)
    return replicated(jnp.asarray(entropy, mean.dtype) + mean, axis_name)


@estimator(Facts("neither", "I(x; y)", takes="log-likelihoods", pairs=False))
def difference_of_entropies(
    log_marginal: jax.Array, log_conditional: jax.Array, *, axis_name: AxisName | None = None
) -> jax.Array:
    """Difference of two cross-entropies, in nats. Neither a lower nor an upper bound.

        mean of log q(y | x) - mean of log q(y)

    Each model is fitted by its own likelihood: NEVER train the marginal model on this value,
    which would push its likelihood down. The errors of the two partly cancel.

    Args:
      log_marginal, log_conditional: f[n] or f[n, *l], log q(y_i) and log q(y_i | x_i); with
        `axis_name` those of this device, as many on each.
    Raises: TypeError, ValueError at trace time: no floats, or none at all, or not of one shape.
    Source: McAllester and Stratos 2020, equation 7. Differs: no.
    """
    if jnp.shape(log_marginal) != jnp.shape(log_conditional):
        raise ValueError(
            f"log_marginal has shape {jnp.shape(log_marginal)} and log_conditional "
            f"{jnp.shape(log_conditional)}; both are of the same samples; pass equal shapes"
        )
    marginal = _mean(log_marginal, "log_marginal", axis_name)
    conditional = _mean(log_conditional, "log_conditional", axis_name)
    return replicated(conditional - marginal, axis_name)


@bound(Facts("upper bound", "I(x; y)", invariant_to=("c(x, l)", "c(y, l)"), **_EXACT))
def club(pairs: Pairs, *, include_positives: bool = False) -> jax.Array:
    """Contrastive log-ratio upper bound, in nats; minimise it to make x and y independent.

        mean over positives of log q(y | x) - mean over negatives of log q(y | x)

    An upper bound if q is the true conditional (then it is Jeffreys' divergence I + KL(product ||
    joint): loose), or close enough to it; otherwise neither. Fit q by its likelihood, apart.

    Args:
      include_positives: the second mean runs over all pairs, as published; the value is then
        (n - 1) / n of the default's.
    Source: Cheng et al. 2020 (CLUB), equation 10.
    Differs: the positives are left out of the second mean unless `include_positives`.
    """
    share = 1.0 - pairs.anchors / (pairs.anchors + pairs.negatives) if include_positives else 1.0
    return share * difference_of_means(pairs)


@bound(Facts("upper bound", "I(x; y)", batch="too high", invariant_to=("c(y, l)",), **_EXACT))
def leave_one_out(pairs: Pairs) -> jax.Array:
    """Leave-one-out upper bound, in nats.

        mean over positives j of log q(y_j | x_j) - log mean over i != j of q(y_j | x_i)

    The marginal of y is the mixture of the batch's other conditionals. An upper bound in
    expectation if q is the true conditional; for any other q neither. Candidates have one positive
    each.

    Source: Poole et al. 2019, equation 15.
    Differs: Linear95/CLUB (L1OutUB) broadcasts to [n, n, n] and so computes CLUB instead.
    """
    per = Per.CANDIDATE_AND_LOCATION
    positive, others = pairs.reduce(Positive(per), LogSumExp(per))
    return pairs.mean(positive - others + log(pairs.anchors_of_candidate - 1))


@bound(
    Facts(
        *("lower bound", "mean over l of I(x; y_l)", LOG_N, "grows with n", ("c(y, l)",)),
        takes="log-likelihoods",
    )
)
def known_conditional(pairs: Pairs) -> jax.Array:
    """InfoNCE whose critic is the conditional density of y, from which y was drawn, in nats.

        mean over positives j of log q(y_j | x_j) - log mean over i of q(y_j | x_i)

    The marginal of y is the mixture of all of the batch's conditionals, the own one too, which
    keeps the value at or below log n; `leave_one_out` is the same without it. A lower bound for
    any q; the true conditional is the best critic. Locations are bounded one by one; candidates
    have one positive each.

    Source: Poole et al. 2019, section 2.5 (tractable conditional). Differs: no.
    """
    return infonce.formula(pairs, negatives="anchors")


def _mean(values: jax.Array, name: str, axis_name: AxisName | None) -> jax.Array:
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(
            f"{name} is {values.dtype}{list(values.shape)}; log-likelihoods are floats; convert "
            "with astype(jnp.float32)"
        )
    if values.ndim < 1 or values.size == 0:
        raise ValueError(
            f"{name} has shape {values.shape}; a mean needs one number per sample, f[n]; pass the "
            "log-likelihoods themselves"
        )
    mean = jnp.mean(values.astype(jnp.promote_types(values.dtype, jnp.float32)))
    return mean if axis_name is None else lax.pmean(mean, axis_name)
