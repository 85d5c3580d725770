"""The types that every layer shares. This module imports nothing of ours and no framework but JAX.

Dimension letters used in every docstring and error message:

    v views    n batch (anchors)    m candidates    l locations    h w c image    d features
    k classes

Words: an `anchor` is the row of a score matrix, a `candidate` its column; a `tap` is a named
output of an encoder; a `player` is a top-level key of `params` with its own loss and optimizer.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict

import jax

Tree = Any  # any nesting of dicts, lists and tuples with arrays at the leaves
Scalars = dict[str, jax.Array]
Taps = dict[str, jax.Array]

PROBED_TAPS = ("conv", "fc", "y")  # what every method's `represent` gives and evaluators judge


class Batch(TypedDict):
    """One training batch, the global one: images f32[v,n,h,w,c], labels i32[n], index i32[n].

    `labels` are -1 where the data set has none; `index` is the position in the training set.
    """

    images: jax.Array
    labels: jax.Array
    index: jax.Array


class Step(NamedTuple):
    """What a method's loss returns: one scalar per player, metrics, new state, training taps."""

    losses: Scalars
    metrics: Scalars
    state: Tree
    features: Taps


class Embedded(NamedTuple):
    """What a layer that embeds its channels makes of images.

    responses f[n,h,w,k]: of the channels, at every location a distribution over them. mean and
    variance f[n,h,w,d]: where it lies, and how it spreads, among the positions f[k,d] of the
    channels. filters f[s,s,c,k]: what the channels look for in the layer's input.
    """

    responses: jax.Array
    mean: jax.Array
    variance: jax.Array
    positions: jax.Array
    filters: jax.Array


class Generative(NamedTuple):
    """What a method with a decoder or generator can do besides representing, as pure functions.

    Images are normalised ones, as `Method.represent` takes them. A code is what the decoder reads:
    y, or where its prior has a bounded support what y becomes there.

    decode(params, state, codes f[n,d]) -> images f[n,h,w,c]: evaluation mode
    code(y f[n,d]) -> codes f[n,d]: of representations
    infer(params, state, rng, images) -> codes f[n,d]: drawn from q(z | image), as in training; None
        where an image has one code
    draw(rng, shape [n,d]) -> codes f[n,d]: of the prior; None where the method has none
    log_weights(params, state, rng, images, count) -> f[count,n]: log p(image, z) - log q(z | image)
        in nats for draws z of q; their mean is the evidence lower bound. None without densities
    rate(params, state, images) -> f[n]: KL of q(z | image) from the prior in nats; None likewise
    """

    decode: Callable[..., jax.Array]
    code: Callable[[jax.Array], jax.Array]
    draw: Callable[..., jax.Array] | None = None
    infer: Callable[..., jax.Array] | None = None
    log_weights: Callable[..., jax.Array] | None = None
    rate: Callable[..., jax.Array] | None = None


class Method(NamedTuple):
    """A representation learner as pure functions.

    init(rng, batch) -> (params: {player: tree}, state: tree)
    loss(params, state, batch, rng, step) -> Step: training mode; losses.keys() == params.keys(),
        and player p receives the gradient of losses[p] with respect to params[p] only
    represent(params, state, images f32[n,h,w,c]) -> {"conv": .., "fc": .., "y": ..}: evaluation
        mode, one image's taps do not depend on the other images
    generative: what a method with a decoder can do besides; None for the others
    examples: the number of training images that the state has places for, one for each `index`;
        None for methods that keep nothing of single images
    per_example: every loss is the mean of a loss of single examples (batch statistics aside), so
        that the mean over parts of a batch is the loss of the batch; never so where examples are
        compared, as with negatives of the same batch
    scores(params, state, views f32[v,n,h,w,c]) -> {name: f32[n,n,*l]}: evaluation mode, what the
        method's critics say of every anchor and candidate, row i and column i being of image i;
        None for methods that compare no examples
    embedded(params, state, images f32[n,h,w,c]) -> (Embedded, ...): evaluation mode, of every layer
        that embeds its channels; None for methods whose encoder has none

    What is exported as the trained encoder is the network at params["encoder"]["encoder"] with its
    batch statistics at state["encoder"].
    """

    init: Callable[..., tuple[Mapping[str, Tree], Tree]]
    loss: Callable[..., Step]
    represent: Callable[..., Taps]
    generative: Generative | None = None
    examples: int | None = None
    per_example: bool = False
    scores: Callable[..., dict[str, jax.Array]] | None = None
    embedded: Callable[..., tuple[Embedded, ...]] | None = None


def probed(taps: Taps) -> Taps:
    """Those of an encoder's taps that methods represent and evaluators judge."""
    return {name: taps[name] for name in PROBED_TAPS}


class Frozen(NamedTuple):
    """All that an evaluator sees of a representation.

    represent(images u8[n,h,w,c]) -> {tap: f32[n,...]}: jit-compiled, normalisation included.
    normalise(images u8[n,h,w,c]) -> f32[n,h,w,c]: what `method.represent` takes.
    prepare(images u8[n,h,w,c], rng=None) -> f32[v,n,h,w,c]: the views that `method.loss` trains
        on, changed at random as in training by a key; without one v times the images as they are.
    All but `represent` is None for representations without a network (raw pixels, PCA).
    """

    represent: Callable[[jax.Array], Taps]
    method: Method | None = None
    params: Any = None
    state: Any = None
    normalise: Callable[[jax.Array], jax.Array] | None = None
    prepare: Callable[..., jax.Array] | None = None


class UserError(ValueError):
    """A mistake in a command, a config or the data: its message alone says what to change.

    The command line prints the message and exits with code 2; anything else shows a traceback.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a misspelt name: the nearest match first, then the whole list."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? There are" if near else "use one of"
    return UserError(f"unknown {kind} '{name}': {hint} {', '.join(known)}")
