"""The types that all packages share. Imports the errors of `settings`, and no framework.

Dimension letters in docstrings and error messages:

    v views    n batch (anchors)    m candidates    l locations    h w c image    d features
    k classes

Terms: an `anchor` is a row of a score matrix, a `candidate` a column; a `tap` is a named output of
an encoder; a `player` is a top-level key of `params` with a separate loss and optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

from dim_jax.settings import UserError, abridged, suggestion, unknown

if TYPE_CHECKING:  # commands that only read files start without JAX, which takes half a second
    import jax

__all__ = [
    "POSITIVE",
    "PROBED_TAPS",
    "Batch",
    "Embedded",
    "Fields",
    "Frozen",
    "Generative",
    "Method",
    "Occlusion",
    "Scalars",
    "Step",
    "Taps",
    "Tree",
    "UserError",
    "abridged",
    "probed",
    "suggestion",
    "unknown",
]

Tree = Any  # any nesting of dicts, lists and tuples with arrays at the leaves
Scalars = dict[str, "jax.Array"]
Taps = dict[str, "jax.Array"]

PROBED_TAPS = ("conv", "fc", "y")  # returned by `represent` of every method, for evaluations
POSITIVE = "y_positive"  # in `Step.features`: y of another view of the same images


class Batch(TypedDict):
    """A global training batch: images f32[v,n,h,w,c], labels i32[n], index i32[n].

    `labels` are -1 for unlabelled images; `index` is the position in the training set. `crops`
    f32[w,n,h',w',c] are small crops of the same images, where a config asks for some.
    """

    images: jax.Array
    labels: jax.Array
    index: jax.Array
    crops: NotRequired[jax.Array]


class Step(NamedTuple):
    """The result of a method's loss: one scalar per player, metrics, new state, training taps.

    features: f[n,...] by tap, of one view, at least `PROBED_TAPS`; "<tap>_positive" has that tap of
    another view of the same images (`POSITIVE` that of y).
    """

    losses: Scalars
    metrics: Scalars
    state: Tree
    features: Taps


class Fields(NamedTuple):
    """The receptive fields of the local features of an encoder, in pixels along each side.

    Location i sees `size` pixels from offset + i * stride on, as far as they are in the image.
    """

    size: int
    stride: int
    offset: int

    def spans(self, side: int) -> list[tuple[int, int]]:
        """The first pixel of an image of this side that each location sees, and the end.

        There are as many locations as padding by -offset on both sides gives.
        """
        count = (side - 2 * self.offset - self.size) // self.stride + 1
        starts = [self.offset + index * self.stride for index in range(count)]
        return [(max(start, 0), min(start + self.size, side)) for start in starts]


class Occlusion(NamedTuple):
    """The occlusion of training images by a method.

    occlude(rng, images f[n,h,w,c]) -> images f[n,h,w,c]: drawn anew for each image
    fields(side) -> Fields: of the local features in images of this side
    """

    occlude: Callable[[jax.Array, jax.Array], jax.Array]
    fields: Callable[[int], Fields]


class Embedded(NamedTuple):
    """The outputs of a layer that embeds its channels (a manifold layer).

    responses f[n,h,w,k]: at every location a distribution over the channels. mean and variance
    f[n,h,w,d]: those of the channels' positions f[k,d] under this distribution. filters f[s,s,c,k]:
    the filters of the channels on the layer's input.
    """

    responses: jax.Array
    mean: jax.Array
    variance: jax.Array
    positions: jax.Array
    filters: jax.Array


class Generative(NamedTuple):
    """The functions of a method with a decoder or generator, besides representing; all are pure.

    Images are normalised, as for `Method.represent`. A code is the input of the decoder: y, or for
    a prior with bounded support, y mapped to this support.

    decode(params, state, codes f[n,d]) -> images f[n,h,w,c]: evaluation mode
    code(y f[n,d]) -> codes f[n,d]: of representations; None if the method infers no codes
    infer(params, state, rng, images) -> codes f[n,d]: drawn from q(z | image), as in training; None
        if an image has one code
    draw(rng, shape [n,d]) -> codes f[n,d]: samples of the prior; None if the method has none
    log_weights(params, state, rng, images, count) -> f[count,n]: log p(image, z) - log q(z | image)
        in nats for samples z of q; their mean is the evidence lower bound. None without densities
    rate(params, state, images) -> f[n]: KL of q(z | image) from the prior in nats; None likewise
    width: d, the number of coordinates of a code; None = that of y
    targets: the means of the normal distributions of deviation 1 to which y f[n,1] of real and of
        generated images is matched; None for methods that have none
    """

    decode: Callable[..., jax.Array]
    code: Callable[[jax.Array], jax.Array] | None = None
    draw: Callable[..., jax.Array] | None = None
    infer: Callable[..., jax.Array] | None = None
    log_weights: Callable[..., jax.Array] | None = None
    rate: Callable[..., jax.Array] | None = None
    width: int | None = None
    targets: tuple[float, float] | None = None


class Method(NamedTuple):
    """A representation learner as pure functions.

    init(rng, batch) -> (params: {player: tree}, state: tree)
    loss(params, state, batch, rng, step) -> Step: training mode; losses.keys() == params.keys(),
        and player p receives the gradient of losses[p] with respect to params[p] only
    represent(params, state, images f32[n,h,w,c]) -> {"conv": .., "fc": .., "y": ..}: evaluation
        mode, the taps of an image do not depend on the other images
    generative: the functions of a method with a decoder; None for other methods
    examples: the number of training images with an entry in the state, one for each `index`; None
        for methods that store nothing per image
    per_example: True if every loss is a mean over examples (batch statistics aside), so that it can
        be accumulated over parts of a batch; False if examples are compared, as with negatives from
        the same batch
    scores(params, state, views f32[v,n,h,w,c]) -> {name: f32[n,n,*l]}: evaluation mode, the scores
        of the method's critics for all anchors and candidates, with row i and column i of image i;
        None for methods that compare no examples
    embedded(params, state, images f32[n,h,w,c]) -> (Embedded, ...): evaluation mode, one for every
        layer that embeds its channels; None for methods whose encoder has none
    notes: sentences for the report on choices of the method that its paper leaves open
    uses_crops: whether `loss` uses the small crops of a batch, if there are any
    occlusion: of images that `loss` encodes a second time with a part hidden; None for methods that
        hide nothing

    The exported encoder is the network at params["encoder"]["encoder"] with its batch statistics at
    state["encoder"].
    """

    init: Callable[..., tuple[Mapping[str, Tree], Tree]]
    loss: Callable[..., Step]
    represent: Callable[..., Taps]
    generative: Generative | None = None
    examples: int | None = None
    per_example: bool = False
    scores: Callable[..., dict[str, jax.Array]] | None = None
    embedded: Callable[..., tuple[Embedded, ...]] | None = None
    notes: tuple[str, ...] = ()
    uses_crops: bool = False
    occlusion: Occlusion | None = None


def probed(taps: Taps) -> Taps:
    """The taps of an encoder that `represent` returns for evaluations."""
    return {name: taps[name] for name in PROBED_TAPS}


class Frozen(NamedTuple):
    """A frozen representation, as evaluations receive it.

    Images are those of the data set: u8, or raw pixels of another type with a range.

    represent(images [n,h,w,c]) -> {tap: f32[n,...]}: jit-compiled, normalisation included.
    normalise(images [n,h,w,c]) -> f32[n,h,w,c]: the input of `method.represent`.
    prepare(images [n,h,w,c], rng=None) -> f32[v,n,h,w,c]: the views for `method.loss`, augmented
        as in training with a key; without a key, v times the unchanged images.
    varies: whether those with a key are changed at random.
    crops(images [n,h,w,c], rng) -> f32[w,n,h',w',c]: the small crops beside the views, or None.
    unreached: the taps that no loss of the method trains, which evaluations leave out
        (`training.reach`).
    All fields but `represent` and `varies` are None or empty for representations without a network
    (raw pixels, PCA).
    """

    represent: Callable[[jax.Array], Taps]
    method: Method | None = None
    params: Any = None
    state: Any = None
    normalise: Callable[[jax.Array], jax.Array] | None = None
    prepare: Callable[..., jax.Array] | None = None
    crops: Callable[..., jax.Array] | None = None
    unreached: tuple[str, ...] = ()
    varies: bool = True
