"""How much a representation says of which seed patch it is of: bounds of that information in nats.

For methods that classify their training images, each a class of its own, on copies that are changed
at random as in training by draws of their own. With N patches, equally likely, the information of
patch and representation is at most log N.

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 3, for the split of the loss; Barber and
  Agakov 2003 for the bound.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts, losses
from dim_jax.data import dataset
from dim_jax.evaluate import features, fit, kinds, protocols
from dim_jax.evaluate.probes import labelled, linear, networks

NEEDS_LABELS = False
REPRESENTATIONS = "encoders"
TAPS = labelled.TAPS
PROTOCOL = kinds.Refitted

_LOGITS = "logits"
_JUDGED, _FITTED, _CHOSEN = range(3)  # what random copies are for
_SEEDS = 512  # of so many at a time all copies' logits are in memory
_ROWS = 2048  # likewise, of a linear map that is judged


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "surrogate-v1",
    taps: Iterable[str] = TAPS,
    transformations: int = 16,
    fitted: int = 16,
) -> dict[str, float]:
    """Lower bounds of the information of patch and representation, in nats; larger is better.

        bound = log N + mean of log q(patch | representation) = log N - cross-entropy

    with q the method's own softmax, or an affine map of a tap and a softmax that are fitted to
    frozen features of copies of their own. The rate and length of that fit are those that are best
    on a third set of copies, a quarter of `fitted`; before its first step the bound is 0.

    Args:
      protocol: of the fits, see `kinds.Refitted`.
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
    settings = protocols.find(protocol, PROTOCOL)
    check(splits)
    check_frozen(frozen, splits)
    _check_numbers(transformations=transformations, fitted=fitted)
    seeds, taps = splits["seeds"], tuple(taps)
    frozen = contracts.Frozen(*frozen)  # no copy's features are needed twice, so none are kept
    keys = [jax.random.fold_in(rng, purpose) for purpose in (_JUDGED, _FITTED, _CHOSEN)]
    results, judged = _own(frozen, seeds, taps, keys[_JUDGED], transformations)
    if not taps:
        return results
    seen = _copies(frozen, seeds, taps, keys[_FITTED], fitted)
    chosen = _copies(frozen, seeds, taps, keys[_CHOSEN], max(1, fitted // 4))
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    for tap in taps:
        parts = (found.pop(tap) for found in (seen, chosen, judged))
        results[f"{tap}/bound"] = refitted_bound(settings, *parts, seed=seed)
    return results


def check(splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless there are seed patches."""
    if "seeds" not in splits:
        raise contracts.UserError(
            "the evaluation 'surrogate' is of seed patches and this data has none; set data.seeds "
            "and data.patch, or remove it from evals"
        )


def check_frozen(frozen: contracts.Frozen, splits: Mapping[str, dataset.Split]) -> None:
    """Raises UserError unless there is a logit for each seed patch."""
    count, found = len(splits["seeds"].images), None
    if frozen.prepare is not None:
        found = features.shapes(frozen, splits["seeds"], views=1).get(_LOGITS)
    if found != (count,):
        given = "has no tap 'logits'" if found is None else f"has {found[0]:,} logits"
        raise contracts.UserError(
            f"the evaluation 'surrogate' needs a method with a logit for each of the {count:,} "
            f"seed patches and this one {given}; remove it from evals"
        )


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise contracts.UserError(
                f"{name} is {value} in the evaluation 'surrogate'; set it to 1 or more"
            )


def _copies(frozen, seeds: dataset.Split, taps, rng: jax.Array, count: int) -> features.Features:
    """The features {tap: f32[v,n,d]} of so many changed copies of each patch."""
    batch = min(_SEEDS, len(seeds.images))
    found = {tap: [] for tap in taps}
    for number in range(count):
        drawn = dict(views=1, rng=jax.random.fold_in(rng, number))
        for tap, rows in features.extract(frozen, seeds, taps, batch, **drawn).items():
            found[tap].append(rows)
    return {tap: np.stack(rows) for tap, rows in found.items()}


def _own(frozen, seeds: dataset.Split, taps, rng: jax.Array, count: int):
    """What the method's own softmax gives, and the features {tap: f32[v,n,d]} of the same copies.

    In groups of patches: the logits of all copies at once would be N^2 numbers for each.
    """
    total, means, kept = len(seeds.images), {}, {tap: [] for tap in taps}
    for start in range(0, total, _SEEDS):
        rows = np.arange(start, min(start + _SEEDS, total))
        part, key = dataset.select(seeds, rows), jax.random.fold_in(rng, start)
        found = _copies(frozen, part, (*taps, _LOGITS), key, count)
        logits = found.pop(_LOGITS)
        for name, value in _judged(jnp.asarray(logits), jnp.asarray(rows)).items():
            means[name] = means.get(name, 0.0) + float(value) * len(rows) / total
        for tap in taps:
            kept[tap].append(found[tap])
    results = {f"{_LOGITS}/{name}": value for name, value in means.items()}
    results[f"{_LOGITS}/bound_ceiling"] = math.log(total)
    return results, {tap: np.concatenate(rows, axis=1) for tap, rows in kept.items()}


@jax.jit
def _judged(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """Of logits f[v,n,k] and labels i32[n]."""
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
    settings: kinds.Refitted, seen: np.ndarray, chosen: np.ndarray, judged: np.ndarray, *, seed: int
) -> float:
    """The bound in nats under a softmax that is fitted to features; at most log n.

    Args:
      seen, chosen, judged: f32[v,n,d] of v copies of each of n patches: those that are fitted,
        those that choose the fit, and those that the bound is of.
      seed: of the order in which they are fitted.
    """
    count, dim = seen.shape[1:]
    rows = jnp.asarray(seen.reshape(-1, dim))
    scaling = labelled.statistics(rows) if settings.standardise else (0.0, 1.0)
    labels = np.tile(np.arange(count, dtype=np.int32), len(seen))
    examples = (labelled.scaled(rows, *scaling), jnp.asarray(labels))
    most, best = -math.inf, None
    for rate in settings.learning_rates:
        waited, highest = 0, -math.inf
        for params in _fitted(settings, rate / math.sqrt(dim), examples, count, seed):
            value = _bound(params, chosen, scaling)
            waited, highest = (0, value) if value > highest else (waited + 1, highest)
            if value > most:
                most, best = value, jax.tree.map(jnp.copy, params)
            if waited == settings.patience:
                break
    return _bound(best, judged, scaling)


def _fitted(
    settings: kinds.Refitted, rate: float, examples, count: int, seed: int
) -> Iterator[fit.Tree]:
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
    random = np.random.default_rng([seed, 2])
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
