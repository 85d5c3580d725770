"""WPC, Wasserstein predictive coding: the sides of a pair predict each other by a smooth critic.

The score of a pair of images is f(a, b) = critic(tap of a, tap of b); row i and column j are of the
images i and j. The bound is one of

    "infonce"      log n + mean over i of [ s_ii - log sum_j exp(s_ij) ],   s = f / temperature
    "wasserstein"  mean over i of f_ii - mean over i != j of f_ij

and loss = -bound + penalty * mean over points of (slope - 1)^2, where a slope is the norm of the
gradient of f by its inputs: both images, with the encoder a part of the critic, or both features.
The points lie between a joint pair (a_i, b_i) and a product pair (a_i, b_j).

Without a penalty, "infonce" is contrastive predictive coding of the pair, a lower bound of its
mutual information of at most log n. With f 1-Lipschitz, "wasserstein" is a lower bound of the
Wasserstein dependency measure, a distance of the joint law from the product, in the units of the
inputs; "infonce" stays a bound of the information, over smoother critics.

Source: Ozair et al. 2019 (from memory: the form of InfoNCE, the penalty); Gulrajani et al. 2017.
Differs: slopes are those of one side's pixels moved at a time, a_i, b between b_i and b_j; the
  metric is the Euclidean one of all pixels as the network gets them.
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.bounds import divergences
from dim_jax.losses import score_metrics
from dim_jax.nets import pure

_NAME = "pair"
_ENCODER, _CRITIC, _POINTS = range(3)


def make(
    *,
    encoder: pure.Net,
    global_critic: pure.Critic,
    taps: Sequence[str] = ("y", "y"),
    objective: Literal["infonce", "wasserstein"],
    temperature: float,
    penalty: float,
    sided: Literal["one", "two"],
    inputs: Literal["pixels", "features"],
    points: int,
) -> contracts.Method:
    """The WPC method; one player, `encoder`: the encoder and the critic.

    Args:
      encoder: of the images of both sides. Use one without batch norm: slopes are taken in
        evaluation mode, where the score of a pair depends on no other.
      global_critic: `critics.bilinear`, or in place of a penalty `critics.concat` with
        `spectral_norm`.
      taps: f[n,d] of the first and of the last view. With one view: two taps of the same image,
        such as ("y_first", "y_second") of `multiview.halves`.
      temperature: of "infonce". Its scores have slopes of at most 1 / temperature.
      penalty: its weight; 0: slopes are measured only.
      sided: "two", or "one" that leaves slopes below 1 alone.
      inputs: of f; "features" costs less and leaves the encoder free to scale its features.
      points: pairs of the batch at which slopes are taken.

    Metrics: "pair/bound", the objective's; "pair/nats", `bounds.infonce` of s; "pair/wasserstein",
    the difference of the mean f of joint and product pairs, a lower bound of the distance once
    divided by the critic's Lipschitz constant; "pair/slope_mean" and "pair/slope_max", of which the
    latter is a lower estimate of that constant; "pair/score_joint", "pair/score_product" of s.

    Raises: contracts.UserError: other than two taps, an unknown objective, side or input; on
      initialisation, an encoder without them, taps of other shapes than f[n,d],
      one image on both sides, a batch of fewer than two images.
    """
    if len(taps) != 2:
        raise contracts.UserError(
            f"method.taps is {tuple(taps)}; name the tap of each side, such as ('y', 'y')"
        )

    for kind, name, names in (
        ("objective", objective, ("infonce", "wasserstein")),
        ("sided", sided, ("one", "two")),
        ("inputs", inputs, ("pixels", "features")),
    ):
        if name not in names:
            raise contracts.unknown(f"method.{kind}", name, names)
    critic = global_critic

    def init(rng, batch):
        images = batch["images"]
        key = jax.random.fold_in(rng, _ENCODER)
        params, stats = encoder.init(key, images[0])
        encoded, _ = encoder.apply(params, stats, images[0], train=False)
        _check(images, encoded, taps)
        sides = (encoded[tap] for tap in taps)
        scorer, scorer_stats = critic.init(jax.random.fold_in(rng, _CRITIC), *sides)
        modules = {"encoder": params, "critic": scorer}
        return {"encoder": modules}, {"encoder": stats, "critic": scorer_stats}

    def encode(params, stats, images, rng):
        """The taps of the first and of the last view, and the stats, in training mode."""
        views = []
        for number, view in enumerate(images):
            key = jax.random.fold_in(rng, number)
            encoded, stats = encoder.apply(params, stats, view, train=True, rng=key)
            views.append(encoded)
        return views[0], views[-1], stats

    def slopes(modules, state, sides, images, rng):
        """The slopes f32[points] of f between joint and product pairs."""

        def score(pair):
            if inputs == "pixels":
                pair = [
                    encoder.apply(modules["encoder"], state["encoder"], image, train=False)[0][tap]
                    for image, tap in zip(pair, taps, strict=True)
                ]
            a, b = pair
            scored = critic.pairs(modules["critic"], state["critic"], a, b[:, None], train=False)
            return scored[0]

        pair = (images[0], images[-1]) if inputs == "pixels" else sides
        a, b = jax.lax.stop_gradient(tuple(pair))
        count = min(points, len(a))
        joint, product = (a[:count], b[:count]), (a[:count], jnp.roll(b, -1, axis=0)[:count])
        return divergences.input_slopes(score, divergences.between(rng, joint, product))

    def loss(params, state, batch, rng, step):
        del step
        modules, images = params["encoder"], batch["images"]
        first, last, stats = encode(modules["encoder"], state["encoder"], images, rng)
        sides = first[taps[0]], last[taps[1]]
        raw, scorer_stats = critic.all_pairs(modules["critic"], state["critic"], *sides, train=True)
        new_state = {"encoder": stats, "critic": scorer_stats}
        metrics = score_metrics.compute(_NAME, raw / temperature, np.arange(len(raw)))
        difference = temperature * (
            metrics[f"{_NAME}/score_joint"] - metrics[f"{_NAME}/score_product"]
        )
        bound = metrics[f"{_NAME}/nats"] if objective == "infonce" else difference
        key = jax.random.fold_in(rng, _POINTS)
        measured = slopes(modules, new_state, sides, images, key)
        cost = divergences.slope_penalty(measured, sided=sided)
        total = -bound + penalty * cost if penalty else -bound
        metrics |= {
            f"{_NAME}/bound": bound,
            f"{_NAME}/wasserstein": difference,
            f"{_NAME}/slope_mean": measured.mean(),
            f"{_NAME}/slope_max": measured.max(),
        }
        features = contracts.probed(first)
        if len(images) > 1:
            features[contracts.POSITIVE] = last["y"]
        metrics, features = jax.lax.stop_gradient((metrics, features))
        return contracts.Step({"encoder": total}, metrics, new_state, features)

    def scores(params, state, views):
        modules = params["encoder"]
        sides = [
            encoder.apply(modules["encoder"], state["encoder"], view, train=False)[0][tap]
            for view, tap in zip((views[0], views[-1]), taps, strict=True)
        ]
        raw, _ = critic.all_pairs(modules["critic"], state["critic"], *sides, train=False)
        return {_NAME: raw / temperature}

    def represent(params, state, images):
        weights = params["encoder"]["encoder"]
        encoded, _ = encoder.apply(weights, state["encoder"], images, train=False)
        return contracts.probed(encoded) | {tap: encoded[tap] for tap in taps}

    return contracts.Method(init, loss, represent, scores=scores)


def _check(images: jax.Array, encoded: contracts.Taps, taps: Sequence[str]) -> None:
    for tap in taps:
        if tap not in encoded:
            raise contracts.unknown("tap of the encoder", tap, encoded)
        if encoded[tap].ndim != 2:
            raise contracts.UserError(
                f"the tap '{tap}' of method.taps has the shape {encoded[tap].shape} and a side of "
                "a pair is one vector; name taps of vectors, such as y"
            )
    if len(images) > 2 or (len(images) == 1 and taps[0] == taps[1]):
        raise contracts.UserError(
            f"a batch has {len(images)} views and the taps of a pair are {tuple(taps)}; set "
            "augment.views=2, or for one view name the taps of two halves, such as "
            "('y_first', 'y_second')"
        )
    if images.shape[1] < 2:
        raise contracts.UserError(
            f"a batch has {images.shape[1]} image and pairs are told from those of other images; "
            "set train.batch_size to 2 or more"
        )
