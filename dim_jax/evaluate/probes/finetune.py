"""Fine-tuning: test accuracy of the encoder itself, trained on with labels through a classifier.

Semi-supervised: pretrained on all images, fine-tuned on those that have a label. The untrained
encoder under the same protocol is the honest control: it is supervised training from scratch.
Nothing is chosen by the accuracy, which is that after the last step.

Source: Hjelm et al. 2019, section 4.2 (STL-10); official DIM code, classifier.py.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dim_jax import contracts, losses
from dim_jax.data import dataset
from dim_jax.evaluate import features, fit, kinds, protocols
from dim_jax.evaluate.probes import labelled
from dim_jax.nets import heads, pure

NEEDS_LABELS = True
TRAINS_ENCODER = True
REPRESENTATIONS = "encoders"
TAPS = ("conv",)
PROTOCOL = kinds.Tuning


class _Plan(NamedTuple):
    """What does not change during a fit, and what it is compiled for."""

    method: contracts.Method
    normalise: Callable[[jax.Array], jax.Array]
    prepare: Callable[[jax.Array], jax.Array]
    head: pure.Net
    tap: str
    unsupervised: float
    transformation: optax.GradientTransformation


class _Tuned(NamedTuple):
    """A fit: own = {"head": .., "players": {..}} is trained, state = {"head": .., "method": ..}."""

    own: contracts.Tree
    state: contracts.Tree
    optimizer: contracts.Tree


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "finetune-v1",
    taps: Iterable[str] = TAPS,
    labels_per_class: int | None = None,
    subsets: int = 3,
    permuted: bool = False,
) -> dict[str, float]:
    """Test accuracy of the encoder fine-tuned through a classifier on each tap, larger is better.

    Training images without a label take part where the protocol goes on with the method's own
    losses. The parameters and the state of `frozen` stay as they are.

    Args:
      protocol: a name of `protocols.PROTOCOLS`; it holds every setting.
      taps: those that the classifier stands on, one after the other.
      labels_per_class, subsets, permuted: as in `accuracy.evaluation`.

    Returns:
      "<tap>/accuracy" and its "_fits" and "_std" as in `accuracy.evaluation`.

    Raises:
      UserError: a representation without a network; an unknown protocol or tap, missing labels,
        or too few of them.
    """
    settings = protocols.find(protocol, PROTOCOL)
    _check_network(frozen)
    labelled.check_labels(splits)
    labels = labelled.drawn(
        labelled.labelled(splits), rng, labels_per_class, subsets, permuted=permuted
    )
    visible = _visible(splits["train"].labels, labels, settings.fits)
    results = {}
    for tap in taps:
        values = [
            _accuracy(settings, frozen, splits, tap, each, labels, index)
            for index, each in enumerate(visible)
        ]
        results |= labelled.summary(f"{tap}/accuracy", np.array(values))
    return results


def _check_network(frozen: contracts.Frozen) -> None:
    if frozen.method is None or frozen.prepare is None:
        raise contracts.UserError(
            "this representation has no network to fine-tune; remove it from the "
            "representations of the evaluation, which are trained and untrained at most"
        )


def _visible(train: np.ndarray, labels: labelled.Labels, fits: int) -> list[np.ndarray]:
    """For each fit the labels i32[n] of all training images that it may see, -1 for the others."""
    places = np.flatnonzero(train >= 0)
    chosen = [np.arange(len(places))] * fits if labels.subsets is None else labels.subsets
    visible = []
    for members in chosen:
        seen = np.full(len(train), -1, np.int32)
        seen[places[members]] = labels.train[members]
        visible.append(seen)
    return visible


def _accuracy(settings, frozen, splits, tap: str, visible, labels, index: int) -> float:
    """The test accuracy of one fit."""
    plan, tuned = _fitted(settings, frozen, splits["train"], tap, visible, labels, index)
    params = _merged(frozen.params, tuned.own)
    represent = functools.partial(_represent, params, tuned.state["method"], plan=plan)
    rows = features.extract(contracts.Frozen(represent), splits["test"], (tap,))[tap]
    logits, _ = plan.head.apply(tuned.own["head"], tuned.state["head"], rows, train=False)
    return float(np.mean(np.argmax(logits, axis=-1) == splits["test"].labels))


def _fitted(
    settings: kinds.Tuning,
    frozen: contracts.Frozen,
    train: dataset.Split,
    tap: str,
    visible: np.ndarray,
    labels: labelled.Labels,
    index: int,
) -> tuple[_Plan, _Tuned]:
    """The fit number `index` after its last step, from the parameters of `frozen`."""
    members = np.arange(len(visible), dtype=np.int32)
    if not settings.unsupervised:
        members = members[visible >= 0]
    per_pass, passes = fit.duration(settings, len(members))
    plan = _plan(settings, frozen, tap, labels.classes, per_pass, passes)
    start_key, key = jax.random.split(jax.random.fold_in(jax.random.key(labels.seed), index))
    tuned = _start(plan, frozen, train, start_key)
    examples = (jnp.asarray(train.images[members]), visible[members], members)
    random = np.random.default_rng([labels.seed, 5, index])
    orders = fit.orders(np.arange(len(members), dtype=np.int32), settings.batch, random)
    for number, order in enumerate(itertools.islice(orders, passes)):
        steps = np.arange(number * per_pass, (number + 1) * per_pass, dtype=np.int32)
        tuned = _one_pass(frozen.params, tuned, examples, order, steps, key, plan=plan)
    return plan, tuned


def _plan(settings, frozen, tap: str, classes: int, per_pass: int, passes: int) -> _Plan:
    return _Plan(
        frozen.method,
        frozen.normalise,
        frozen.prepare,
        _head(settings.hidden, settings.dropout, classes),
        tap,
        settings.unsupervised,
        fit.adam(settings.learning_rate, settings.betas, settings.milestones, per_pass, passes),
    )


@functools.cache  # one network for equal settings, so that equal fits are compiled once
def _head(hidden: int, dropout: float, classes: int) -> pure.Net:
    return heads.classifier(hidden=hidden, dropout=dropout, classes=classes)


def _start(plan: _Plan, frozen: contracts.Frozen, train: dataset.Split, key: jax.Array) -> _Tuned:
    sizes = features.shapes(frozen, train)
    if plan.tap not in sizes:
        raise contracts.unknown("tap", plan.tap, sizes)
    head, head_state = jax.jit(plan.head.init)(key, jnp.zeros((2, *sizes[plan.tap])))
    players = dict(frozen.params)
    if not plan.unsupervised:  # the critics have nothing to learn from
        players = {"encoder": {"encoder": frozen.params["encoder"]["encoder"]}}
    own = {"head": head, "players": players}
    state = {"head": head_state, "method": frozen.state}
    return _Tuned(own, state, plan.transformation.init(own))


def _merged(params: Mapping[str, Any], own: contracts.Tree) -> dict[str, Any]:
    """All players' parameters, with what is trained in its place."""
    players = own["players"]
    return {**params, **players, "encoder": {**params["encoder"], **players["encoder"]}}


@functools.partial(jax.jit, static_argnames="plan")
def _represent(params, state, images: jax.Array, *, plan: _Plan) -> contracts.Taps:
    return plan.method.represent(params, state, plan.normalise(images))


@functools.partial(jax.jit, static_argnames="plan")
def _one_pass(params, tuned: _Tuned, examples, order, steps, key, *, plan: _Plan) -> _Tuned:
    """The fit after one pass; nothing is donated, for it starts from the frozen parameters.

    Args:
      examples: images u8[n,h,w,c], labels i32[n] and positions in the training split i32[n].
      order: as from `fit.orders`.
      steps: the number of each step, from 0 at the first pass.
    """

    def step(tuned: _Tuned, scanned) -> tuple[_Tuned, None]:
        number, picked = scanned
        images, labels, positions = (jnp.asarray(array)[picked] for array in examples)
        batch = contracts.Batch(images=plan.prepare(images), labels=labels, index=positions)
        gradient, state = _gradient(
            plan, params, tuned, batch, jax.random.fold_in(key, number), number
        )
        updates, optimizer = plan.transformation.update(gradient, tuned.optimizer, tuned.own)
        return _Tuned(optax.apply_updates(tuned.own, updates), state, optimizer), None

    return jax.lax.scan(step, tuned, (steps, order))[0]


def _gradient(plan: _Plan, params, tuned: _Tuned, batch: contracts.Batch, rng, number):
    """The gradient of `own` and the new state: each player by its own loss, the head by the
    encoder's, of which the cross-entropy is a part."""
    values, pull_back, state = jax.vjp(
        lambda own: _losses(plan, params, own, tuned.state, batch, rng, number),
        tuned.own,
        has_aux=True,
    )
    pulled = {}
    for player in values:
        seed = {name: jnp.full_like(value, name == player) for name, value in values.items()}
        pulled[player] = pull_back(seed)[0]
    players = {player: gradient["players"][player] for player, gradient in pulled.items()}
    return {"head": pulled["encoder"]["head"], "players": players}, state


def _losses(plan: _Plan, params, own, state, batch: contracts.Batch, rng, number):
    """One loss for each player that is trained, and the new state."""
    method_rng, head_rng = jax.random.split(rng)
    found = plan.method.loss(_merged(params, own), state["method"], batch, method_rng, number)
    if plan.tap not in found.features:
        raise contracts.unknown("training tap of the method", plan.tap, found.features)
    logits, head_state = plan.head.apply(
        own["head"], state["head"], found.features[plan.tap], train=True, rng=head_rng
    )
    entropy, _ = losses.classification_loss(logits, batch["labels"])
    if not plan.unsupervised:
        # The statistics of critics stay, so that the compiler drops all that they come from.
        moved = {**state["method"], "encoder": found.state["encoder"]}
        return {"encoder": entropy}, {"head": head_state, "method": moved}
    values = {player: plan.unsupervised * value for player, value in found.losses.items()}
    values["encoder"] += entropy
    return values, {"head": head_state, "method": found.state}
