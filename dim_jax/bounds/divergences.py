"""Variational forms of f-divergences, and the penalties that keep their critics smooth.

For a joint distribution P, a product of marginals Q and scores T, a divergence is at least

    E_P[positive(T)] - E_Q[negative(T)]

with `<name>_positive` and `<name>_negative` applied entry by entry; the averages are the caller's.
One pair of functions serves mutual information (P = joint pairs, Q = shuffled pairs) and a
discriminator (P = real, Q = fake). At the optimal critic the estimate is the divergence itself,
with r the density ratio dP/dQ:

    gan                2 JS(P, Q) - 2 log 2                 log r
    jensen_shannon     2 JS(P, Q), from 0 to 2 log 2        log r
    kl                 KL(P, Q) in nats                     1 + log r
    reverse_kl         KL(Q, P) in nats                     log r; heavy-tailed on P
    squared_hellinger  sum of (sqrt p - sqrt q)^2, to 2     log(r) / 2
    pearson_chi2       sum of (p - q)^2 / q, of no use at   2 (r - 1)
                       high information: like exp(2 I)

A term that overflows is infinite and its gradient NaN or infinite: the overflow lies in the
definition, and clipping scores would estimate something else.

Source: Nowozin et al. 2016, table 2; Goodfellow et al. 2014 (gan); Nguyen et al. 2010 (kl);
  rdevon/DIM gan_losses.py.
Differs: the official KL scores with T - 1 (terms T + 1 and exp(T), optimal critic log r); its X2
  has T^2 and -(|T| + 1)^2 / 2, whose difference has no upper bound and so estimates nothing.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

Tree = Any
Sided = Literal["one", "two"]


def gan_positive(scores: jax.Array) -> jax.Array:
    """The original GAN game, entries of P: log sigmoid(T), at most 0."""
    return -jax.nn.softplus(-scores)


def gan_negative(scores: jax.Array) -> jax.Array:
    """The original GAN game, entries of Q: -log(1 - sigmoid(T)), at least 0."""
    return jax.nn.softplus(scores)


def jensen_shannon_positive(scores: jax.Array) -> jax.Array:
    """Jensen-Shannon, entries of P: log 2 - softplus(-T); the GAN game, shifted."""
    return math.log(2.0) + gan_positive(scores)


def jensen_shannon_negative(scores: jax.Array) -> jax.Array:
    """Jensen-Shannon, entries of Q: softplus(T) - log 2."""
    return gan_negative(scores) - math.log(2.0)


def kl_positive(scores: jax.Array) -> jax.Array:
    """Kullback-Leibler KL(P, Q), entries of P: T itself."""
    return scores


def kl_negative(scores: jax.Array) -> jax.Array:
    """Kullback-Leibler KL(P, Q), entries of Q: exp(T - 1). Overflows float32 above T = 89.7."""
    return jnp.exp(scores - 1)


def reverse_kl_positive(scores: jax.Array) -> jax.Array:
    """Reverse Kullback-Leibler, entries of P: -exp(-T). Overflows float32 below T = -88.7."""
    return -jnp.exp(-scores)


def reverse_kl_negative(scores: jax.Array) -> jax.Array:
    """Reverse Kullback-Leibler, entries of Q: T - 1."""
    return scores - 1


def squared_hellinger_positive(scores: jax.Array) -> jax.Array:
    """Squared Hellinger, entries of P: 1 - exp(-T), below 1. Overflows float32 below T = -88.7."""
    return -jnp.expm1(-scores)


def squared_hellinger_negative(scores: jax.Array) -> jax.Array:
    """Squared Hellinger, entries of Q: exp(T) - 1, above -1. Overflows float32 above T = 88.7."""
    return jnp.expm1(scores)


def pearson_chi2_positive(scores: jax.Array) -> jax.Array:
    """Pearson chi-squared, entries of P: T itself."""
    return scores


def pearson_chi2_negative(scores: jax.Array) -> jax.Array:
    """Pearson chi-squared, entries of Q: T + T^2/4, at least -1. Overflows above |T| = 3.69e19."""
    return scores + (scores / 2) ** 2


def gradient_penalty(score_fn: Callable[[Tree], jax.Array], inputs: Tree) -> jax.Array:
    """Mean squared norm of the input gradient of a critic; smaller is smoother.

        mean_i |d score_fn(inputs)_i / d inputs_i|^2, the norm over all leaves together

    A discriminator is regularised by the mean of its penalties on real and on fake inputs:
    `(gradient_penalty(d, real) + gradient_penalty(d, fake)) / 2`. It is centred on slope 0, so it
    flattens the critic; it is not a 1-Lipschitz constraint, for which see `lipschitz_penalty`.

    Args:
      score_fn: inputs -> one score per input, f[n] or f[n, 1]. The score of one input must not
        depend on the others (no batch statistics).
      inputs: f[n, ...] or a pytree of them, e.g. (images, codes), where the gradient is taken.
    Returns: f32[], to be added to the critic's loss.
    Raises: ValueError: score_fn does not give one score per input, or leaves disagree on n.
    Source: Mescheder et al. 2018 (R1, R2); rdevon/DIM gradient_penalty.py.
    Differs: the official helper differentiates the score of the last input only, and so divides
      by n once more.
    """
    leaves = jax.tree.leaves(_slopes(score_fn, inputs))
    return sum(jnp.sum(leaf**2) for leaf in leaves) / _count(inputs)


def lipschitz_penalty(
    score_fn: Callable[[Tree], jax.Array], inputs: Tree, *, sided: Sided
) -> tuple[jax.Array, jax.Array]:
    """How far a critic is from 1-Lipschitz at `inputs`, and its largest slope there.

        slope_i = |d score_fn(inputs)_i / d inputs_i|, the norm over all leaves together
        sided="one": mean_i max(0, slope_i - 1)^2      sided="two": mean_i (slope_i - 1)^2

    The constraint behind a Wasserstein value, in the Euclidean metric of the whole input (for a
    pair: of both sides together). For mutual dependence inputs are `between` joint and product
    pairs and score_fn scores pairs one by one, e.g. with a critic of `nets.critics`
    `lambda pair: critic.pairs(params, stats, pair[0], pair[1][:, None], train=False)[0]`.

    Args:
      score_fn: inputs -> one score per input, f[n] or f[n, 1]. The score of one input must not
        depend on the others (no batch statistics).
      inputs: a pytree of f[n, ...], e.g. (anchors, candidates).
      sided: "one" leaves slopes below 1 alone, "two" also pulls them up to 1.
    Returns: (penalty f32[], to be added to the critic's loss; largest slope f32[]). The slope is a
      lower estimate of the critic's Lipschitz constant, to be reported beside the Wasserstein
      value, which is a lower bound only once divided by the constant itself. An input of slope 0
      adds nothing to the penalty's gradient.
    Raises: ValueError: not one score per input, leaves that disagree on n, unknown sided.
    Source: Gulrajani et al. 2017 ("two", WGAN-GP); Petzka et al. 2018 ("one", WGAN-LP); Ozair et
      al. 2019 (Wasserstein dependency measure).
    Differs: rdevon/DIM has W1 without any constraint but `gradient_penalty`.
    """
    _check_sided(sided)
    slopes = input_slopes(score_fn, inputs)
    return slope_penalty(slopes, sided=sided), jnp.max(slopes)


def input_slopes(score_fn: Callable[[Tree], jax.Array], inputs: Tree) -> jax.Array:
    """The slope of a critic at each input, |d score_fn(inputs)_i / d inputs_i|, f32[n].

    Arguments and errors: as of `lipschitz_penalty`. The derivative at an input of slope 0 is 0.
    """
    n = _count(inputs)
    rows = [leaf.reshape(n, -1) for leaf in jax.tree.leaves(_slopes(score_fn, inputs))]
    squares = sum(jnp.sum(row**2, axis=1) for row in rows)
    # The root's derivative at 0 is infinite, and inf * 0 would be NaN.
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)


def slope_penalty(slopes: jax.Array, *, sided: Sided) -> jax.Array:
    """The penalty f32[] of `lipschitz_penalty` for slopes f[n].

    Raises: ValueError: unknown sided.
    """
    _check_sided(sided)
    excess = slopes - 1 if sided == "two" else jax.nn.relu(slopes - 1)
    return jnp.mean(excess**2)


def between(rng: jax.Array, joint: Tree, product: Tree) -> Tree:
    """Random points between joint and product pairs, where `lipschitz_penalty` is taken.

        w_i joint_i + (1 - w_i) product_i, one w_i uniform on [0, 1) for all leaves of pair i

    Args:
      joint, product: pytrees of f[n, ...] of the same structure and shapes, e.g.
        (anchors, candidates).
    Returns: as `joint`. Gradients flow to both; `lax.stop_gradient` keeps them off the encoder.
    Raises: ValueError: structures or shapes differ, or leaves disagree on n.
    Source: Gulrajani et al. 2017, section 4; Ozair et al. 2019. Differs: no.
    """
    shapes = jax.tree.map(jnp.shape, joint), jax.tree.map(jnp.shape, product)
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"joint pairs have shapes {shapes[0]} and product pairs {shapes[1]}; a segment needs "
            "two equal shapes; give one product pair per joint pair"
        )
    n = _count(joint)
    # float32 whatever the inputs are: in bfloat16 only 256 weights could be drawn.
    weights = jax.random.uniform(rng, (n,))

    def mix(p: jax.Array, q: jax.Array) -> jax.Array:
        w = weights.reshape(n, *[1] * (p.ndim - 1))
        return (w * p + (1 - w) * q).astype(jnp.result_type(p))

    return jax.tree.map(mix, joint, product)


def _check_sided(sided: str) -> None:
    if sided not in get_args(Sided):
        raise ValueError(
            f"sided is {sided!r}; the penalty is 'one' (slopes above 1) or 'two' (all slopes); "
            "set sided to one of them"
        )


def _count(inputs: Tree) -> int:
    """The n that all leaves f[n, ...] share."""
    leaves = jax.tree.leaves(inputs)
    counts = {jnp.shape(leaf)[:1] for leaf in leaves}
    if len(counts) != 1 or counts == {()}:
        raise ValueError(
            f"inputs have shapes {jax.tree.map(jnp.shape, inputs)}; every array needs the same "
            "first axis, one entry per input; repeat or drop entries"
        )
    return leaves[0].shape[0]


def _slopes(score_fn: Callable[[Tree], jax.Array], inputs: Tree) -> Tree:
    """Gradient of every score by its own input, at least float32."""
    n = _count(inputs)

    def total(inputs: Tree) -> jax.Array:
        scores = score_fn(inputs)
        if scores.shape not in {(n,), (n, 1)}:
            raise ValueError(
                f"score_fn gives shape {scores.shape} for inputs "
                f"{jax.tree.map(jnp.shape, inputs)}; the penalty "
                f"needs one score per input, shape {(n,)}; drop the other axes"
            )
        return scores.sum()

    slopes = jax.grad(total)(inputs)
    return jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), slopes)
