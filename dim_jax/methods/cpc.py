"""Contrastive predictive coding (CPC): contexts predict local features in the rows below them.

    maximise mean over offsets k of I(context at (r, c); local feature at (r + k, c))

The only player, `encoder`, has the encoder and a critic "k<offset>" for each offset. The encoder
gives "local" and "context", maps of equal size; a context does not depend on the rows below it
(`nets.contexts`). Contexts of several directions (`contexts.in_directions`) predict the features
that lie in theirs, and the objective is the mean over directions and offsets; the critics of all
but "down" are "<direction>_k<offset>".

Source: van den Oord et al. 2018, sections 2.3 and 3.3; Hjelm et al. 2019, section 4.2; official
  Greedy InfoMax code (vision), for sampled negatives; Henaff et al. 2020, section 3.2, for several
  directions (from memory).
Differs: no.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.losses import score_metrics
from dim_jax.nets import pure, turns

_NEGATIVE_KINDS = ("images", "everywhere")
# Purposes of the random keys of a step.
_NEGATIVES, _DROPOUT = range(2)


class _Prediction(NamedTuple):
    """The two sides of a critic: contexts of a direction, and the features `offset` rows on."""

    direction: str
    offset: int

    @property
    def name(self) -> str:
        offset = f"k{self.offset}"
        return offset if self.direction == "down" else f"{self.direction}_{offset}"

    def sides(self, taps: contracts.Taps) -> tuple[jax.Array, jax.Array]:
        """The contexts f[n,p,d] of all but the last `offset` rows, and the features f[n,p,c] below.

        Places p are in row-major order, of the map that is turned to look in the direction.
        """
        contexts = turns.turned(turns.contexts_of(taps)[self.direction], self.direction)
        features = turns.turned(taps["local"], self.direction)
        contexts, features = contexts[:, : -self.offset], features[:, self.offset :]
        return tuple(x.reshape(len(x), -1, x.shape[-1]) for x in (contexts, features))


def _select_same_place(scores: jax.Array) -> jax.Array:
    """The scores f[n,n,p] of features at the same place, of those of all pairs f[n * p, n, p]."""
    n, places = scores.shape[1:]
    diagonal = jnp.arange(places)
    return jnp.moveaxis(scores.reshape(n, places, n, places)[:, diagonal, :, diagonal], 0, 2)


def _bound_with_sampled(bound, scores: jax.Array, count: int, rng: jax.Array) -> jax.Array:
    """The bound of scores f[n * p, n * p], each positive with `count` candidates of its row."""
    columns = jax.random.randint(rng, (len(scores), count), 0, len(scores))
    columns = jnp.column_stack([jnp.arange(len(scores)), columns])
    drawn = jnp.take_along_axis(scores, columns, axis=1)
    return bound(drawn, jnp.zeros(len(scores), jnp.int32))


def make(
    *,
    encoder: pure.Net,
    local_critic: pure.Critic,
    bound: Callable[..., jax.Array],
    offsets: Sequence[int],
    negatives: str | int,
) -> contracts.Method:
    """The CPC method.

    Args:
      local_critic: the critic; every offset has separate parameters.
      bound: (scores f[n,m], positives i[n] = diagonal) -> f32[], maximised.
      offsets: distances in rows from a context to the predicted features below it. Crops that
        overlap by half share pixels with those of the next row; offsets of 2 or more avoid this.
      negatives: the kind or number of negatives. "images": the features at the same place of the
        other images. With `bounds.infonce` this is a lower bound of the mean over places of the
        mutual information, capped at log n. "everywhere": the features at all places that this
        offset predicts, of all images including the context's image. A number: that many of those,
        drawn for each context with replacement, possibly including the positive. Features of one
        image are not independent, so neither of the latter two bounds the information.

    Metrics, for each direction and offset: "k<offset>/bound": the value that is maximised.
    "/nats": InfoNCE with negatives "images" by the same critic, a lower bound for every choice of
    negatives. "/score_joint", "/score_product": mean scores of joint pairs, and of pairs of two
    images at the same place.

    Scores: "k<offset>" f[n,n,places], of the contexts of one image with the features of another at
    the same place.

    All of these are "<direction>_k<offset>" for directions other than "down".

    Raises: contracts.UserError: offsets that are not distinct positive numbers or exceed the map;
      unknown negatives, or more than there are features; an encoder without contexts.
    """
    offsets = tuple(offsets)
    _check(offsets, negatives)

    def predictions(taps):
        directions = turns.contexts_of(taps)
        return [_Prediction(each, offset) for each in directions for offset in offsets]

    def init(rng, batch):
        rngs = jax.random.split(rng, 1 + len(offsets))
        images = batch["images"][0]
        modules, state = {}, {}
        modules["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=False)
        _check_maps(taps, offsets, negatives)
        for number, each in enumerate(predictions(taps)):
            # The keys of one direction are those that runs of one direction have always had.
            turn, index = divmod(number, len(offsets))
            key = jax.random.fold_in(rngs[1 + index], turn) if turn else rngs[1 + index]
            contexts, features = each.sides(taps)
            modules[each.name], state[each.name] = local_critic.init(key, contexts[:, 0], features)
        return {"encoder": modules}, state

    def compare(params, state, contexts, features, rng):
        """(value of the bound, scores f[n,n,p] at the same place, state) of one offset."""
        if negatives == "images":
            scores, stats = local_critic.same_location(
                params, state, contexts, features, train=True
            )
            return jax.vmap(bound, in_axes=2)(scores).mean(), scores, stats
        contexts = contexts.reshape(-1, contexts.shape[-1])
        scores, stats = local_critic.all_pairs(params, state, contexts, features, train=True)
        matrix = scores.reshape(len(scores), -1)
        if negatives == "everywhere":
            value = bound(matrix)
        else:
            value = _bound_with_sampled(bound, matrix, negatives, rng)
        return value, _select_same_place(scores), stats

    def loss(params, state, batch, rng, step):
        del step
        modules, images = params["encoder"], batch["images"][0]
        taps, stats = encoder.apply(
            modules["encoder"],
            state["encoder"],
            images,
            train=True,
            rng=jax.random.fold_in(rng, _DROPOUT),
        )
        values, metrics, new_state = [], {}, {"encoder": stats}
        for each in predictions(taps):
            name = each.name
            value, scores, new_state[name] = compare(
                modules[name], state[name], *each.sides(taps), _negatives_key(rng, each)
            )
            values.append(value)
            positives = np.arange(len(scores))
            metrics |= score_metrics.compute(name, scores, positives, negatives="same_location")
            metrics[f"{name}/bound"] = value
        player_losses = {"encoder": -sum(values) / len(values)}
        return contracts.Step(player_losses, metrics, new_state, contracts.probed(taps))

    def scores(params, state, views):
        modules = params["encoder"]
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], views[0], train=False)
        return {
            each.name: local_critic.same_location(
                modules[each.name], state[each.name], *each.sides(taps), train=False
            )[0]
            for each in predictions(taps)
        }

    return contracts.Method(init, loss, pure.represent(encoder), scores=scores)


def _negatives_key(rng: jax.Array, prediction: _Prediction) -> jax.Array:
    """The key of the drawn negatives of a step."""
    key = jax.random.fold_in(jax.random.fold_in(rng, _NEGATIVES), prediction.offset)
    turn = turns.DIRECTIONS.index(prediction.direction)
    return jax.random.fold_in(key, turn) if turn else key


def _check(offsets: tuple[int, ...], negatives: str | int) -> None:
    if not offsets or min(offsets) < 1 or len(set(offsets)) < len(offsets):
        raise contracts.UserError(
            f"method.offsets is {offsets}; give at least one number of rows below the context, "
            "each once, such as (1, 2, 3)"
        )
    if isinstance(negatives, str):
        if negatives not in _NEGATIVE_KINDS:
            raise contracts.unknown("negatives", negatives, _NEGATIVE_KINDS)
    elif negatives < 1:
        raise contracts.UserError(
            f"method.negatives is {negatives}; set it to 1 or more, or to one of {_NEGATIVE_KINDS}"
        )


def _check_maps(taps: contracts.Taps, offsets: tuple[int, ...], negatives: str | int) -> None:
    directions = turns.contexts_of(taps)
    if not directions:
        raise contracts.UserError(
            f"the encoder gives {', '.join(taps)} and no contexts; choose a method.encoder with a "
            "context network, such as folded_context_resnet32"
        )
    images, *sides = taps["local"].shape[:3]
    across = {"right", "left"} & directions.keys()
    rows, columns = sides if not across else (min(sides), max(sides))
    furthest = max(offsets)
    if furthest >= rows:
        raise contracts.UserError(
            f"method.offsets has {furthest} and the map has {rows} rows; use at most {rows - 1}"
        )
    places = (rows - furthest) * columns
    if not isinstance(negatives, str) and negatives > images * places:
        raise contracts.UserError(
            f"method.negatives is {negatives} and offset {furthest} predicts {places} features "
            f"of each of {images} images; set method.negatives to at most {images * places} or to "
            "'everywhere'"
        )
