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
from dim_jax.data import dataset, random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import features, fit
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.probes import labelled
from dim_jax.evaluate.protocols import Protocols
from dim_jax.nets import heads, pure

_TAPS = ("conv",)


class Protocol(NamedTuple):
    """An encoder trained on through a classifier with one hidden layer on one of its taps.

    hidden, dropout: of `heads.classifier`.
    unsupervised: weight of the method's own losses beside the cross-entropy. 0: the encoder and the
      classifier see labelled images only. Else every player goes on with its loss on all training
      images, and those without a label weigh nothing in the cross-entropy.
    learning_rate, betas, milestones, batch, epochs, min_steps: as in `mlp.Protocol`, of all that is
      trained.
    fits: independent classifiers, orders and dropout masks, all from the same encoder.
    """

    hidden: int
    dropout: float
    unsupervised: float
    learning_rate: float
    betas: tuple[float, float]
    milestones: tuple[int, ...] | None
    batch: int
    epochs: int
    min_steps: int
    fits: int


# Hjelm et al. 2019, section 4.2, STL-10: the classifier of the supervised row on conv, gradients
# through the whole encoder. The schedule is not published: the rate, betas and batch are those of
# the pretraining (official code, README); 200 epochs are ours.
_PAPER = Protocol(
    hidden=200,
    dropout=0.1,
    unsupervised=0.0,
    learning_rate=1e-4,
    betas=(0.5, 0.999),
    milestones=(),
    batch=64,
    epochs=200,
    min_steps=0,
    fits=1,
)

PROTOCOLS = Protocols(
    "fine-tuning",
    {
        # After pretraining, as the text of the paper reads. On a GPU or TPU.
        "finetune-paper-v1": _PAPER,
        # Beside the method's own objective, as the released code adds the two up. An epoch is one
        # of all training images, so that it is 21 times as long on STL-10.
        "finetune-joint-v1": _PAPER._replace(unsupervised=1.0),
        # A few epochs at ten times the rate, which falls to zero: for a CPU. Not tuned.
        "finetune-v1": Protocol(
            hidden=200,
            dropout=0.1,
            unsupervised=0.0,
            learning_rate=1e-3,
            betas=(0.9, 0.999),
            milestones=None,
            batch=64,
            epochs=10,
            min_steps=200,
            fits=1,
        ),
    },
)


class _Plan(NamedTuple):
    """The constants of a fit, for which it is compiled."""

    method: contracts.Method
    normalise: Callable[[jax.Array], jax.Array]
    prepare: Callable[[jax.Array], jax.Array]
    head: pure.Net
    tap: str
    unsupervised: float
    transformation: optax.GradientTransformation


class _Tuned(NamedTuple):
    """A fit: params = {"head": .., "players": {..}} is trained, state = {"head": .., "method": ..}.

    `params` has the parameters that are trained; the others stay those of the representation.
    """

    params: contracts.Tree
    state: contracts.Tree
    optimizer: contracts.Tree


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "finetune-v1",
    taps: Iterable[str] = _TAPS,
    labels_per_class: int | None = None,
    subsets: int = 3,
    permuted: bool = False,
) -> dict[str, float]:
    """Test accuracy of the encoder fine-tuned through a classifier on each tap, larger is better.

    Training images without a label take part where the protocol goes on with the method's own
    losses. The parameters and the state of `frozen` stay as they are.

    Args:
      protocol: a name of `PROTOCOLS`; it holds every setting.
      taps: those that the classifier stands on, one after the other.
      labels_per_class, subsets, permuted: as in `labelled.probe`.

    Returns:
      "<tap>/accuracy" and its "_fits" and "_std" as in `labelled.summary`.

    Raises:
      UserError: a representation without a network; an unknown protocol or tap, missing labels,
        or too few of them.
    """
    settings = PROTOCOLS.find(protocol)
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


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=_TAPS,
    needs_labels=True,
    trains_encoder=True,
    protocols=PROTOCOLS,
)


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
    params = _merged(frozen.params, tuned.params)
    represent = functools.partial(_represent, params, tuned.state["method"], plan=plan)
    rows = features.extract(contracts.Frozen(represent), splits["test"], (tap,))[tap]
    logits, _ = plan.head.apply(tuned.params["head"], tuned.state["head"], rows, train=False)
    return float(np.mean(np.argmax(logits, axis=-1) == splits["test"].labels))


def _fitted(
    settings: Protocol,
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
    random = random_streams.generator(Stream.FINETUNE_ORDER, labels.seed, index)
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
    params = {"head": head, "players": players}
    state = {"head": head_state, "method": frozen.state}
    return _Tuned(params, state, plan.transformation.init(params))


def _merged(params: Mapping[str, Any], trained: contracts.Tree) -> dict[str, Any]:
    """All players' parameters, with the trained ones in their place."""
    players = trained["players"]
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
        updates, optimizer = plan.transformation.update(gradient, tuned.optimizer, tuned.params)
        return _Tuned(optax.apply_updates(tuned.params, updates), state, optimizer), None

    return jax.lax.scan(step, tuned, (steps, order))[0]


def _gradient(plan: _Plan, params, tuned: _Tuned, batch: contracts.Batch, rng, number):
    """The gradient of `tuned.params` and the new state: each player by its own loss, the head by
    the encoder's, of which the cross-entropy is a part."""
    values, pull_back, state = jax.vjp(
        lambda trained: _losses(plan, params, trained, tuned.state, batch, rng, number),
        tuned.params,
        has_aux=True,
    )
    pulled = {}
    for player in values:
        seed = {name: jnp.full_like(value, name == player) for name, value in values.items()}
        pulled[player] = pull_back(seed)[0]
    players = {player: gradient["players"][player] for player, gradient in pulled.items()}
    return {"head": pulled["encoder"]["head"], "players": players}, state


def _losses(plan: _Plan, params, trained, state, batch: contracts.Batch, rng, number):
    """One loss for each player that is trained, and the new state."""
    method_rng, head_rng = jax.random.split(rng)
    step = plan.method.loss(_merged(params, trained), state["method"], batch, method_rng, number)
    if plan.tap not in step.features:
        raise contracts.unknown("training tap of the method", plan.tap, step.features)
    logits, head_state = plan.head.apply(
        trained["head"], state["head"], step.features[plan.tap], train=True, rng=head_rng
    )
    entropy, _ = losses.classification_loss(logits, batch["labels"])
    if not plan.unsupervised:
        # The statistics of critics stay, so that the compiler drops all that they come from.
        moved = {**state["method"], "encoder": step.state["encoder"]}
        return {"encoder": entropy}, {"head": head_state, "method": moved}
    values = {player: plan.unsupervised * value for player, value in step.losses.items()}
    values["encoder"] += entropy
    return values, {"head": head_state, "method": step.state}
