"""AMDIM: features of one view of an image predict those of another view, at several scales.

    loss = sum over terms a_to_b of
           mean over both directions of [ log n - infonce(s_ab) + penalty * mean(raw_ab^2) ]
    raw_ab[i, j, l] = <r_a of view v, image i> . <r_b of the other view, image j, location l>
                      / sqrt(d),    s = clip * tanh(raw / clip)

r_1 is y; r_5 and r_7 are the maps fc and local, embedded into the space of y by one net each.
The antecedent of a map is one random location of each image, drawn independently for each view.
Negatives are all locations of the other images. log n - infonce is the published loss, which has no
log n: it is log(1 + (n - 1) l) for uninformative scores.

A batch with one view uses that view twice: the ablation without augmentation.

Source: Bachman et al. 2019, section 3; official AMDIM code, costs.py and model.py.
Differs: the mixture of features is omitted, as in the official code. On several devices batch
statistics are those of the full batch of a view (`layers.batch_norm`), not of a device's part.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dim_jax import bounds, contracts, losses
from dim_jax.nets import products, pure

_PLACES, _DROPOUT = range(2)  # purposes of the random keys of a step
_TAPS = {"1": "y", "5": "fc", "7": "local"}  # by the side of the map
_TERMS = tuple(f"{a}_to_{b}" for a, b in itertools.product(_TAPS, _TAPS))


def make(
    *,
    encoder: pure.Net,
    embedding: Callable[[int], pure.Net],
    terms: Sequence[str],
    penalty: float,
    clip: float | None,
) -> contracts.Method:
    """The AMDIM method; one player, `encoder`: the encoder and the embedding nets of its maps.

    Args:
      encoder: its taps y, fc and local are f[n,d] and the maps 5x5 and 7x7, as in `nets.amdim`.
      embedding: `heads.embedding`.
      terms: pairs of source and target: "1_to_5" predicts the 5x5 map from y. Published: "1_to_5",
        "1_to_7" and "5_to_5".
      penalty: weight of the mean squared raw scores, summed over the terms.
      clip: scores are softly clipped to [-clip, clip]; None = no clipping.

    Metrics: "<term>/loss": in nats, without the penalty, the mean of both directions.
    "<term>/nats": a lower bound of the mutual information, capped at log(batch), from the same
    scores. "clip/largest": the largest magnitude of a clipped score. "penalty": as in the loss.

    Raises: contracts.UserError: no term, an unknown or repeated one; penalty < 0; clip <= 0; an
      encoder whose taps do not have these shapes.
    """
    _check(terms, penalty, clip)
    pairs = {term: tuple(term.split("_to_")) for term in terms}
    maps = [side for side in ("5", "7") if any(side in pair for pair in pairs.values())]

    def init(rng, batch):
        rngs = jax.random.split(rng, 3)
        images = batch["images"][0]
        params, stats = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(params, stats, images, train=False)
        _check_taps(taps)
        modules, state = {"encoder": params}, {"encoder": stats}
        for key, side in zip(rngs[1:], maps, strict=False):
            head = embedding(taps["y"].shape[-1])
            modules[side], state[side] = head.init(key, taps[_TAPS[side]])
        return {"encoder": modules}, state

    def embed(modules, state, images, *, train: bool, rng=None):
        """The taps of a view, its embedded features f[n,l,d] by map side, and the new state."""
        new = {}
        taps, new["encoder"] = encoder.apply(
            modules["encoder"], state["encoder"], images, train=train, rng=rng
        )
        rows = {"1": taps["y"][:, None]}
        for side in maps:
            head = embedding(taps["y"].shape[-1])
            embedded, new[side] = head.apply(
                modules[side], state[side], taps[_TAPS[side]], train=train
            )
            rows[side] = embedded.reshape(len(embedded), -1, embedded.shape[-1])
        return taps, rows, new

    def compare(sources, targets):
        """(loss, nats, mean squared raw score, largest score) by term, in one direction."""
        values = {}
        for term, (source, target) in pairs.items():
            raw = _raw_scores(sources[source], targets[target])
            scores = losses.soft_clip(raw, clip)
            values[term] = (
                math.log(len(scores)) - bounds.infonce(scores, negatives="locations"),
                bounds.infonce(scores, negatives="candidates"),
                jnp.mean(raw**2),
                jnp.max(jnp.abs(scores)),
            )
        return values

    def loss(params, state, batch, rng, step):
        del step
        modules, images = params["encoder"], batch["images"]
        dropout = jax.random.split(jax.random.fold_in(rng, _DROPOUT))
        # Views are encoded in sequence, as published: batch statistics are those of one view, and
        # no image moves to another device, as it would in a concatenated batch of 2n.
        taps, first, state = embed(modules, state, images[0], train=True, rng=dropout[0])
        last = first
        if len(images) > 1:
            _, last, state = embed(modules, state, images[-1], train=True, rng=dropout[1])
        keys = jax.random.split(jax.random.fold_in(rng, _PLACES))
        forth = compare(_antecedents(first, keys[0]), last)
        back = compare(_antecedents(last, keys[1]), first)
        costs, nats, squares, largest = zip(*forth.values(), *back.values(), strict=True)
        squares = penalty * sum(squares) / 2
        metrics = {"penalty": squares, "clip/largest": jnp.max(jnp.stack(largest))}
        for index, term in enumerate(pairs):
            metrics[f"{term}/loss"] = (costs[index] + costs[index - len(pairs)]) / 2
            metrics[f"{term}/nats"] = (nats[index] + nats[index - len(pairs)]) / 2
        total = sum(costs) / 2 + squares
        return contracts.Step({"encoder": total}, metrics, state, contracts.probed(taps))

    def scores(params, state, views):
        """Scores of every term from view 0 to the last view; a map's antecedent is its centre."""
        first, last = (
            embed(params["encoder"], state, views[index], train=False)[1] for index in (0, -1)
        )
        centres = {side: rows[:, rows.shape[1] // 2] for side, rows in first.items()}
        return {
            term: losses.soft_clip(_raw_scores(centres[source], last[target]), clip)
            for term, (source, target) in pairs.items()
        }

    return contracts.Method(init, loss, pure.represent(encoder), scores=scores)


def _raw_scores(sources: jax.Array, targets: jax.Array) -> jax.Array:
    """Scores f[n,m,l] of antecedents f[n,d] with the locations of f[m,l,d], not clipped."""
    return products.dot_of_rows(sources, targets) / sources.shape[-1] ** 0.5


def _antecedents(rows: dict[str, jax.Array], rng: jax.Array) -> dict[str, jax.Array]:
    """One random location f[n,d] of each image's features f[n,l,d], by map side."""
    antecedents = {}
    for side, features in rows.items():
        key = jax.random.fold_in(rng, int(side))
        places = jax.random.randint(key, (len(features), 1, 1), 0, features.shape[1])
        antecedents[side] = jnp.take_along_axis(features, places, axis=1)[:, 0]
    return antecedents


def _check(terms: Sequence[str], penalty: float, clip: float | None) -> None:
    for term in terms:
        if term not in _TERMS:
            raise contracts.unknown("term of AMDIM", term, _TERMS)
    if not terms or len(set(terms)) < len(terms):
        raise contracts.UserError(
            f"method.terms is {tuple(terms)}; name at least one of {', '.join(_TERMS)}, each once"
        )
    if penalty < 0:
        raise contracts.UserError(f"method.penalty is {penalty}; set it to 0 or more")
    if clip is not None and not clip > 0:
        raise contracts.UserError(
            f"method.clip is {clip}; set it to the largest score, a positive number, or to None"
        )


def _check_taps(taps: contracts.Taps) -> None:
    for side, tap in _TAPS.items():
        shape = taps[tap].shape[1:]
        wanted = () if tap == "y" else (int(side), int(side))
        if len(shape) != len(wanted) + 1 or shape[:-1] != wanted:
            raise contracts.UserError(
                f"the tap {tap} of the encoder has the shape {shape} and AMDIM needs "
                f"{'a vector' if tap == 'y' else f'a map of {side}x{side}'}; choose one of the "
                "encoders amdim32, amdim64 and amdim128"
            )
