"""Lower bounds, in nats, of the information of seed patch and representation.

For methods that classify their training images, each a class of its own, on copies that are changed
at random as in training by draws of their own. With N patches, equally likely, the information of
patch and representation is at most log N.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 3, for the split of the loss; Barber and
  Agakov 2003 for the bound.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts, losses
from dim_jax.data import dataset, random_streams
from dim_jax.data.random_streams import Stream
from dim_jax.evaluate import features, fit
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.probes import labelled, linear, networks
from dim_jax.evaluate.protocols import Protocols

_LOGITS = "logits"
_REPORT, _FIT, _CHOICE = range(3)  # the purposes of random copies
_SEEDS = 512  # patches at a time, all copies' logits of which are in memory
_ROWS = 2048  # likewise, copies whose logits a fitted map gives


class Protocol(NamedTuple):
    """An affine map and a softmax, fitted to copies of seed patches and reported on others.

    standardise, betas, batch, epochs, min_steps: as in `mlp.Protocol`, of each fit; the rate falls
      to zero along half a cosine.
    learning_rates: one fit for each, at that rate over sqrt(d) for d features; the rate and the
      number of passes are those with the largest bound on copies neither fitted nor reported.
    patience: a fit ends after this many passes without a larger bound.
    """

    standardise: bool
    learning_rates: tuple[float, ...]
    betas: tuple[float, float]
    batch: int
    epochs: int
    min_steps: int
    patience: int


PROTOCOLS = Protocols(
    "exemplar bound",
    {
        # Ours. On 1,000 CIFAR-10 images moved, flipped and jittered, untrained encoder, of the
        # rates 1e-4 to 1e-1 the best was near 0.1 / sqrt(d) for d = 64, 1,024 and 4,096: at 0.01 it
        # is 2.8, at 0.005 4.7, at 0.001 5.1 of 6.9 nats; ten times as much or as little costs one
        # or two.
        "surrogate-v1": Protocol(
            standardise=True,
            learning_rates=(0.06, 0.13, 0.3),
            betas=(0.9, 0.999),
            batch=512,
            epochs=10,
            min_steps=500,
            patience=3,
        ),
    },
)


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "surrogate-v1",
    taps: Iterable[str] = labelled.TAPS,
    transformations: int = 16,
    fitted: int = 16,
) -> dict[str, float]:
    """Lower bounds of the information of patch and representation, in nats; larger is better.

        bound = log N + mean of log q(patch | representation) = log N - cross-entropy

    with q the method's own softmax, or an affine map of a tap and a softmax that are fitted to
    frozen features of copies of their own. The rate and length of that fit are those that are best
    on a third set of copies, a quarter of `fitted`; before its first step the bound is 0.

    Args:
      protocol: of the fits, a name of `PROTOCOLS`.
      taps: those that a softmax is fitted to.
      transformations: copies of each patch that all bounds are reported on.
      fitted: copies of each patch that a softmax is fitted to.

    Returns:
      "logits/bound": under the method's own softmax; "logits/bound_ceiling": log N.
      "logits/surrogate_accuracy": the copies that are classified as their patch, a fraction.
      "logits/mean_loss", "logits/variation": `losses.surrogate_split`; bound_ceiling - bound is
          their sum.
      "<tap>/bound": under the fitted softmax.

    Raises:
      UserError: no seed patches; a method that does not classify them; an unknown protocol or tap;
        a number of copies below 1.
    """
    settings = PROTOCOLS.find(protocol)
    check_splits(splits)
    check_frozen(frozen, splits)
    _check_numbers(transformations=transformations, fitted=fitted)
    seeds, taps = splits["seeds"], tuple(taps)
    frozen = features.without_cache(frozen)  # no copy's features are needed twice
    keys = [jax.random.fold_in(rng, purpose) for purpose in (_REPORT, _FIT, _CHOICE)]
    results, reported = _of_softmax(frozen, seeds, taps, keys[_REPORT], transformations)
    if not taps:
        return results
    train = _copies(frozen, seeds, taps, keys[_FIT], fitted)
    held_out = _copies(frozen, seeds, taps, keys[_CHOICE], max(1, fitted // 4))
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    for tap in taps:
        parts = (copies.pop(tap) for copies in (train, held_out, reported))
        results[f"{tap}/bound"] = refitted_bound(settings, *parts, seed=seed)
    return results


def check_splits(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless there are seed patches."""
    if "seeds" not in splits:
        raise contracts.UserError(
            "the evaluation 'exemplar_bound' is of seed patches and this data has none; set "
            "data.seeds and data.patch, or remove it from evals"
        )


def check_method(method: contracts.Method | None) -> None:
    """Raises UserError on a representation without a method."""
    if method is None:
        raise contracts.UserError(
            "the evaluation 'exemplar_bound' needs a method that classifies seed patches; remove "
            "it from evals"
        )


def check_frozen(frozen: contracts.Frozen, splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless there is a logit for each seed patch."""
    count, shape = len(splits["seeds"].images), None
    if frozen.prepare is not None:
        shape = features.shapes(frozen, splits["seeds"], views=1).get(_LOGITS)
    if shape != (count,):
        given = "has no tap 'logits'" if shape is None else f"has {shape[0]:,} logits"
        raise contracts.UserError(
            f"the evaluation 'exemplar_bound' needs a method with a logit for each of the "
            f"{count:,} seed patches and this one {given}; remove it from evals"
        )


EVALUATION = Evaluation(
    evaluate,
    representations="encoders",
    taps=labelled.TAPS,
    protocols=PROTOCOLS,
    check_splits=check_splits,
    check_method=check_method,
    check_frozen=check_frozen,
)


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise contracts.UserError(
                f"{name} is {value} in the evaluation 'exemplar_bound'; set it to 1 or more"
            )


def _copies(frozen, seeds: dataset.Split, taps, rng: jax.Array, count: int) -> features.Features:
    """The features {tap: f32[v,n,d]} of `count` changed copies of each patch."""
    batch = min(_SEEDS, len(seeds.images))
    copies = {tap: [] for tap in taps}
    for number in range(count):
        drawn = dict(views=1, rng=jax.random.fold_in(rng, number))
        for tap, rows in features.extract(frozen, seeds, taps, batch, **drawn).items():
            copies[tap].append(rows)
    return {tap: np.stack(rows) for tap, rows in copies.items()}


def _of_softmax(frozen, seeds: dataset.Split, taps, rng: jax.Array, count: int):
    """Results of the method's own softmax, and the features {tap: f32[v,n,d]} of the same copies.

    In groups of patches: the logits of all copies at once would be N^2 numbers for each.
    """
    total, means, groups = len(seeds.images), {}, {tap: [] for tap in taps}
    for start in range(0, total, _SEEDS):
        rows = np.arange(start, min(start + _SEEDS, total))
        part, key = dataset.select(seeds, rows), jax.random.fold_in(rng, start)
        copies = _copies(frozen, part, (*taps, _LOGITS), key, count)
        logits = copies.pop(_LOGITS)
        for name, value in _of_logits(jnp.asarray(logits), jnp.asarray(rows)).items():
            means[name] = means.get(name, 0.0) + float(value) * len(rows) / total
        for tap in taps:
            groups[tap].append(copies[tap])
    results = {f"{_LOGITS}/{name}": value for name, value in means.items()}
    results[f"{_LOGITS}/bound_ceiling"] = math.log(total)
    return results, {tap: np.concatenate(rows, axis=1) for tap, rows in groups.items()}


@jax.jit
def _of_logits(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """Bound, accuracy and split of the loss, of logits f[v,n,k] and labels i32[n]."""
    mean_loss, variation = losses.surrogate_split(logits, labels)
    return {
        "bound": bounds.barber_agakov(
            jnp.mean(_log_conditional(logits, labels), axis=0), entropy=math.log(logits.shape[-1])
        ),
        "surrogate_accuracy": jnp.mean(jnp.argmax(logits, axis=-1) == labels),
        "mean_loss": mean_loss,
        "variation": variation,
    }


def _log_conditional(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """log softmax(logits f[...,n,k]) at labels i32[n], f[...,n]."""
    labels = jnp.broadcast_to(labels, logits.shape[:-1])[..., None]
    return jnp.take_along_axis(jax.nn.log_softmax(logits), labels, axis=-1)[..., 0]


def refitted_bound(
    settings: Protocol,
    train: np.ndarray,
    held_out: np.ndarray,
    reported: np.ndarray,
    *,
    seed: int,
) -> float:
    """The bound in nats under a softmax that is fitted to features; at most log n.

    Args:
      train, held_out, reported: f32[v,n,d] of v copies of each of n patches: those that are fitted,
        those that choose the fit, and those that the bound is of.
      seed: of the order in which they are fitted.
    """
    count, dim = train.shape[1:]
    rows = jnp.asarray(train.reshape(-1, dim))
    scaling = labelled.statistics(rows) if settings.standardise else (0.0, 1.0)
    labels = np.tile(np.arange(count, dtype=np.int32), len(train))
    examples = (labelled.scaled(rows, *scaling), jnp.asarray(labels))
    most, best = -math.inf, None
    for rate in settings.learning_rates:
        waited, highest = 0, -math.inf
        for params in _fitted(settings, rate / math.sqrt(dim), examples, count, seed):
            value = _bound(params, held_out, scaling)
            waited, highest = (0, value) if value > highest else (waited + 1, highest)
            if value > most:
                most, best = value, jax.tree.map(jnp.copy, params)
            if waited == settings.patience:
                break
    return _bound(best, reported, scaling)


def _fitted(settings: Protocol, rate: float, examples, count: int, seed: int) -> Iterator[fit.Tree]:
    """A fit before its first pass and after each; its memory is reused for the next."""
    rows, labels = examples
    per_pass, passes = fit.duration(settings, len(labels))
    transformation = fit.adam(rate, settings.betas, None, per_pass, passes)
    # Every start has the same best fit; at this one all patches are equally likely.
    zeros = {"weight": jnp.zeros((1, count, rows.shape[1])), "bias": jnp.zeros((1, count))}
    fits = fit.start(zeros, {}, transformation)
    yield fits.params
    loss = linear.network((rows.shape[1], count)).loss
    keys = jax.random.split(jax.random.key(seed), 1)  # nothing is drawn by them
    random = random_streams.generator(Stream.EXEMPLAR_ORDER, seed)
    orders = fit.orders(np.arange(len(labels), dtype=np.int32), settings.batch, random)
    for order in itertools.islice(orders, passes):
        fits = fit.one_pass(fits, examples, order, keys, loss=loss, transformation=transformation)
        yield fits.params


def _bound(params, copies: np.ndarray, scaling) -> float:
    """The bound under a fitted softmax, over copies f32[v,n,d], some at a time."""
    count, dim = copies.shape[1:]
    rows, labels = copies.reshape(-1, dim), np.tile(np.arange(count), len(copies))
    total = 0.0
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        total += float(_sum(params, rows[part], labels[part], scaling))
    return math.log(count) + total / len(rows)


@jax.jit
def _sum(params, rows: jax.Array, labels: jax.Array, scaling) -> jax.Array:
    one = jax.tree.map(lambda leaf: leaf[0], params)
    return jnp.sum(_log_conditional(networks.affine(one, labelled.scaled(rows, *scaling)), labels))
