"""CMC, contrastive multiview coding: which features of two views belong to the same image?

The y of each view is divided by its length, here and not in the encoder. For every ordered pair of
views a -> b, the score f_a . c / temperature tells the own one of several candidates c:

    "softmax"  the f_b of the batch; the cross-entropy among n
    "bank"     rows of b's bank, the own one and `negatives` others; the cross-entropy among them
    "nce"      the same candidates; `losses.nce_loss`

and the losses of all ordered pairs are added. Banks (`banks`) are read before the features of this
step enter them.

Views are made of one augmented image: two crops would not show the same place, and two that are
alike in other ways would be matched by those.

Source: Tian, Krishnan and Isola 2019; official code, NCE/NCEAverage.py and NCECriterion.py.
Differs: as in `banks`; Z of "nce" is a moving average with the own candidate as one of N, where the
  official one is for ever that of the first batch, when banks are noise. Without a bank, "softmax"
  is the form of CLIP.
"""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts, losses
from dim_jax.losses import memory_bank, priors, score_metrics
from dim_jax.nets import pure

_WORDS = dict(
    graph=("core", "full"), objective=("softmax", "bank", "nce"), pairing=("own", "random")
)
_ENCODER, _BANKS, _DROPOUT, _NEGATIVES = range(4)


def make(
    *,
    encoder: pure.Net,
    views: Sequence[str],
    graph: str,
    objective: str,
    temperature: float,
    pairing: str = "own",
    negatives: int | None = None,
    momentum: float | None = None,
    z_decay: float | None = None,
    examples: int | None = None,
) -> contracts.Method:
    """The CMC method; one player, `encoder`.

    Args:
      encoder: with a tap "y_<view>" for each view, such as `multiview.colour_views`.
      views: two or more; the first one is the core.
      graph: "core", the first view paired with each other one; "full", all pairs.
      pairing: "own"; or "random", a control: the j-th view, from 0, counts as that of the image j
        places on in the batch.
      negatives, momentum, examples: of the banks, needed by "bank" and "nce"; `examples` is the
        number of training images.
      z_decay: of the moving average, needed by "nce".

    State: "banks" {view: f32[examples,d]}; "log_z" {"a_to_b": f32[]}, -inf before the first step.

    Metrics of each "a_to_b": "a_to_b/nats", `bounds.infonce` of the scores, at most the logarithm
    of the number of candidates; "/score_joint" and "/score_product", mean scores of the own and of
    the other candidates; "/log_z".

    Raises: contracts.UserError: an unknown word, fewer than two views, a number missing or of no
      use; on initialisation, an encoder without these views or a batch of the wrong size.
    """
    _check(views, temperature, graph=graph, objective=objective, pairing=pairing)
    with_bank, with_z = objective != "softmax", objective == "nce"
    if with_bank:
        memory_bank.check(negatives=negatives, momentum=momentum, examples=examples)
    if with_z:
        memory_bank.check(z_decay=z_decay)
    squash, directions = priors.sphere().squash, _directions(views, graph)

    def init(rng, batch):
        images = batch["images"][0]
        params, stats = encoder.init(jax.random.fold_in(rng, _ENCODER), images)
        taps, _ = encoder.apply(params, stats, images, train=False)
        _check_batch(views, taps, len(images), examples if with_bank else None)
        state = {"encoder": stats}
        if with_bank:
            keys = jax.random.split(jax.random.fold_in(rng, _BANKS), len(views))
            state["banks"] = {
                view: memory_bank.start(key, examples, taps[f"y_{view}"].shape[-1])
                for view, key in zip(views, keys, strict=True)
            }
        if with_z:
            state["log_z"] = dict.fromkeys(directions, jnp.array(-jnp.inf))
        return {"encoder": {"encoder": params}}, state

    def compared(unit, index, state, rng):
        """The sum of the losses of all ordered pairs, its metrics, and each log Z."""
        total, metrics, log_zs = 0.0, {}, {}
        for number, (name, (a, b)) in enumerate(directions.items()):
            if with_bank:
                key = jax.random.fold_in(rng, number)
                dots = memory_bank.against(unit[a], state["banks"][b], index[b], negatives, key)
                positives = np.zeros(len(dots), np.int32)
            else:
                dots, positives = _dots(unit[a], unit[b]), np.arange(len(unit[a]))
            scores = dots / temperature
            metrics |= score_metrics.of_scores(name, scores, positives)
            if with_z:
                log_z = memory_bank.moved_log_z(state["log_z"][name], scores, z_decay, examples)
                log_zs[name] = metrics[f"{name}/log_z"] = log_z
                total += losses.nce_loss(scores, log_z, examples)
            else:
                total += math.log(scores.shape[1]) - bounds.infonce(scores, positives)
        return total, metrics, log_zs

    def loss(params, state, batch, rng, step):
        del step
        own, key = params["encoder"]["encoder"], jax.random.fold_in(rng, _DROPOUT)
        taps, stats = encoder.apply(own, state["encoder"], batch["images"][0], train=True, rng=key)
        unit = {view: squash(taps[f"y_{view}"]) for view in views}
        index = dict.fromkeys(views, batch["index"])
        if pairing == "random":
            unit, index = _apart(unit), _apart(index)
        key = jax.random.fold_in(rng, _NEGATIVES)
        total, metrics, log_zs = compared(unit, index, state, key)
        new_state = {"encoder": stats}
        if with_bank:
            new_state["banks"] = {
                view: memory_bank.entered(state["banks"][view], unit[view], index[view], momentum)
                for view in views
            }
        if with_z:
            new_state["log_z"] = log_zs
        return contracts.Step({"encoder": total}, metrics, new_state, contracts.probed(taps))

    def encoded(params, state, images):
        own = params["encoder"]["encoder"]
        return encoder.apply(own, state["encoder"], images, train=False)[0]

    def represent(params, state, images):
        taps = encoded(params, state, images)
        return contracts.probed(taps) | {f"y_{view}": taps[f"y_{view}"] for view in views}

    def scores(params, state, images):
        taps = encoded(params, state, images[0])
        unit = {view: squash(taps[f"y_{view}"]) for view in views}
        return {name: _dots(unit[a], unit[b]) / temperature for name, (a, b) in directions.items()}

    places = examples if with_bank else None
    return contracts.Method(init, loss, represent, examples=places, scores=scores)


def _directions(views: Sequence[str], graph: str) -> dict[str, tuple[str, str]]:
    """{"a_to_b": (a, b)}, both orders of each pair of the graph."""
    return {
        f"{a}_to_{b}": (a, b)
        for pair in itertools.combinations(views, 2)
        if graph == "full" or pair[0] == views[0]
        for a, b in (pair, pair[::-1])
    }


def _apart(of_views: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The arrays with the j-th one moved by j places, so that no two are of the same image."""
    return {view: jnp.roll(x, -j, axis=0) for j, (view, x) in enumerate(of_views.items())}


def _dots(anchors: jax.Array, candidates: jax.Array) -> jax.Array:
    # In full precision, as in `banks`; the official README reports a loss with mixed precision.
    return jnp.dot(anchors, candidates.T, precision=jax.lax.Precision.HIGHEST)


def _check(views: Sequence[str], temperature: float, **words: str) -> None:
    for name, value in words.items():
        if value not in _WORDS[name]:
            raise contracts.unknown(f"method.{name}", value, _WORDS[name])
    if len(set(views)) < 2 or len(set(views)) < len(views):
        raise contracts.UserError(
            f"method.views is {tuple(views)}; name two views or more, each once"
        )
    if not temperature > 0:
        raise contracts.UserError(
            f"method.temperature is {temperature}; set it to more than 0, as published to 0.07"
        )


def _check_batch(views: Sequence[str], taps, batch: int, examples: int | None) -> None:
    for view in views:
        if f"y_{view}" not in taps:
            raise contracts.UserError(
                f"method.views names '{view}' and the encoder has the taps {', '.join(taps)}; "
                "give the method and its encoder the same views"
            )
    if batch < len(views) or batch > (examples or batch):
        most = f", at most method.examples={examples}" if examples else ""
        raise contracts.UserError(
            f"a batch has {batch} images and there are {len(views)} views; set train.batch_size to "
            f"{len(views)} or more{most}"
        )
