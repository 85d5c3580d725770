"""CMC, contrastive multiview coding: matches the features of different views of the same image.

The y of each view is normalised to unit length f, here and not in the encoder. For every ordered
pair of views a -> b, the scores f_a . c / temperature identify the positive among candidates c:

    "softmax"  the f_b of the batch; cross-entropy over n candidates
    "bank"     rows of b's memory bank, the positive and `negatives` others; their cross-entropy
    "nce"      the same candidates; `losses.nce_loss`

and the losses of all ordered pairs are added. Memory banks (`losses.memory_bank`) are read before
they are updated with the features of the step.

All views come from one augmented image: two crops would not show the same place, and views that are
similar in other ways would be matched by those.

Source: Tian, Krishnan and Isola 2019; official code, NCE/NCEAverage.py and NCECriterion.py.
Differs: as in `losses.memory_bank`; Z of "nce" is a moving average with the positive as one of N,
  where the official one stays that of the first batch, when banks are noise. Without a bank,
  "softmax" is the form of CLIP.
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

_OPTIONS = dict(
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
      graph: "core", the first view paired with every other one; "full", all pairs.
      pairing: "own", the views of the same image; or "random", a control that shifts the j-th view,
        from 0, by j images of the batch.
      negatives, momentum, examples: of the banks, needed by "bank" and "nce"; `examples` is the
        number of training images.
      z_decay: of the moving average, needed by "nce".

    State: "banks" {view: f32[examples,d]}; "log_z" {"a_to_b": f32[]}, -inf before the first step.

    Metrics of each "a_to_b": "a_to_b/nats", `bounds.infonce` of the scores, at most the logarithm
    of the number of candidates; "/score_joint" and "/score_product", mean scores of the positives
    and of the other candidates; "/log_z".

    Raises: contracts.UserError: an unknown option, fewer than two views, a missing or invalid
      number; on initialisation, an encoder without these views or a batch of the wrong size.
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
                view: memory_bank.init(key, examples, taps[f"y_{view}"].shape[-1])
                for view, key in zip(views, keys, strict=True)
            }
        if with_z:
            state["log_z"] = dict.fromkeys(directions, jnp.array(-jnp.inf))
        return {"encoder": {"encoder": params}}, state

    def compare(unit, index, state, rng):
        """The sum of the losses of all ordered pairs, the metrics, and the log Z of each pair."""
        total, metrics, log_zs = 0.0, {}, {}
        for number, (name, (a, b)) in enumerate(directions.items()):
            if with_bank:
                key = jax.random.fold_in(rng, number)
                bank = state["banks"][b]
                dots = memory_bank.dot_products(unit[a], bank, index[b], negatives, key)
                positives = np.zeros(len(dots), np.int32)
            else:
                dots, positives = _dot(unit[a], unit[b]), np.arange(len(unit[a]))
            scores = dots / temperature
            metrics |= score_metrics.compute(name, scores, positives)
            if with_z:
                log_z = memory_bank.update_log_z(state["log_z"][name], scores, z_decay, examples)
                log_zs[name] = metrics[f"{name}/log_z"] = log_z
                total += losses.nce_loss(scores, log_z, examples)
            else:
                total += math.log(scores.shape[1]) - bounds.infonce(scores, positives)
        return total, metrics, log_zs

    def loss(params, state, batch, rng, step):
        del step
        images, key = batch["images"][0], jax.random.fold_in(rng, _DROPOUT)
        taps, stats = encoder.apply(
            params["encoder"]["encoder"], state["encoder"], images, train=True, rng=key
        )
        unit = {view: squash(taps[f"y_{view}"]) for view in views}
        index = dict.fromkeys(views, batch["index"])
        if pairing == "random":
            unit, index = _shift(unit), _shift(index)
        key = jax.random.fold_in(rng, _NEGATIVES)
        total, metrics, log_zs = compare(unit, index, state, key)
        new_state = {"encoder": stats}
        if with_bank:
            new_state["banks"] = {
                view: memory_bank.update(state["banks"][view], unit[view], index[view], momentum)
                for view in views
            }
        if with_z:
            new_state["log_z"] = log_zs
        return contracts.Step({"encoder": total}, metrics, new_state, contracts.probed(taps))

    def encode(params, state, images):
        weights = params["encoder"]["encoder"]
        return encoder.apply(weights, state["encoder"], images, train=False)[0]

    def represent(params, state, images):
        taps = encode(params, state, images)
        return contracts.probed(taps) | {f"y_{view}": taps[f"y_{view}"] for view in views}

    def scores(params, state, images):
        taps = encode(params, state, images[0])
        unit = {view: squash(taps[f"y_{view}"]) for view in views}
        return {name: _dot(unit[a], unit[b]) / temperature for name, (a, b) in directions.items()}

    rows = examples if with_bank else None
    return contracts.Method(init, loss, represent, examples=rows, scores=scores)


def _directions(views: Sequence[str], graph: str) -> dict[str, tuple[str, str]]:
    """{"a_to_b": (a, b)}, both orders of each pair of the graph."""
    return {
        f"{a}_to_{b}": (a, b)
        for pair in itertools.combinations(views, 2)
        if graph == "full" or pair[0] == views[0]
        for a, b in (pair, pair[::-1])
    }


def _shift(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The arrays with the j-th one shifted by j rows, so that no two rows are of the same image."""
    return {view: jnp.roll(x, -j, axis=0) for j, (view, x) in enumerate(arrays.items())}


def _dot(anchors: jax.Array, candidates: jax.Array) -> jax.Array:
    # In full precision, as in `memory_bank`; the official README reports a drop in
    # performance with mixed precision.
    return jnp.dot(anchors, candidates.T, precision=jax.lax.Precision.HIGHEST)


def _check(views: Sequence[str], temperature: float, **options: str) -> None:
    for name, value in options.items():
        if value not in _OPTIONS[name]:
            raise contracts.unknown(f"method.{name}", value, _OPTIONS[name])
    if len(set(views)) < 2 or len(set(views)) < len(views):
        raise contracts.UserError(
            f"method.views is {tuple(views)}; name at least two views, each once"
        )
    if not temperature > 0:
        raise contracts.UserError(
            f"method.temperature is {temperature}; set it to more than 0; the published value is "
            "0.07"
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
