"""Encoders with a projection head, applied to several views of the images of a batch."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import pure

PROJECTED = "z"  # the output of the head, beside the encoder's taps


def projected(encoder: pure.Net, projector: pure.Net, tap: str) -> pure.Net:
    """The encoder and the projector of one of its taps, f[n,...] -> z f[n,d], as one network.

    Its outputs are the encoder's taps and "z"; params and stats are {"encoder": .., "projector":
    ..}.

    Raises: contracts.UserError: on initialisation or use, an encoder without this tap.
    """
    return pure.with_head(encoder, projector, tap, part="projector", output=PROJECTED)


def encode_views(
    net: pure.Net, params, stats, views: Sequence[jax.Array], rng: jax.Array
) -> tuple[list[contracts.Taps], contracts.Tree]:
    """The outputs for each view f[n,h,w,c] in training mode, and the stats after the last one.

    Views are encoded in sequence: batch statistics are those of one view, and no image moves to
    another device, as it would in a concatenated batch. Views may differ in size.
    """
    outputs = []
    for number, images in enumerate(views):
        key = jax.random.fold_in(rng, number)
        taps, stats = net.apply(params, stats, images, train=True, rng=key)
        outputs.append(taps)
    return outputs, stats


def training_taps(views: Sequence[contracts.Taps]) -> contracts.Taps:
    """`Step.features` of a method across views: the taps and z of the first view, y of the second.

    Without gradient.
    """
    first = contracts.probed(views[0]) | {PROJECTED: views[0][PROJECTED]}
    return jax.lax.stop_gradient(first | {contracts.POSITIVE: views[1]["y"]})


def method(
    encoder: pure.Net,
    projector: pure.Net,
    tap: str,
    criterion: Callable[..., tuple[jax.Array, contracts.Scalars]],
    *,
    temperature: float = 1.0,
    multi_crop: bool = False,
) -> contracts.Method:
    """The method whose loss is a function of the projections of all views; one player, `encoder`.

    Args:
      criterion: (z of each full view, z of each small crop, rng) -> (loss f[], metrics); lists of
        f[n,d]. Metrics have no gradient.
      temperature: divides the cosines that `contracts.Method.scores` returns.
      multi_crop: two or more views and small crops beside them; else exactly two views.
    """
    net = projected(encoder, projector, tap)

    def init(rng, batch):
        check_views(batch["images"], most=None if multi_crop else 2)
        check_crops(net, batch)
        params, stats = net.init(rng, batch["images"][0])
        return {"encoder": params}, stats

    def loss(params, state, batch, rng, step):
        del step
        keys, images = jax.random.split(rng), all_views(batch)
        views, stats = encode_views(net, params["encoder"], state, images, keys[0])
        rows, full = [view[PROJECTED] for view in views], len(batch["images"])
        cost, metrics = criterion(rows[:full], rows[full:], keys[1])
        metrics = jax.lax.stop_gradient(metrics)
        return contracts.Step({"encoder": cost}, metrics, stats, training_taps(views))

    scores = view_scores(net, temperature)
    represent = pure.represent(encoder)
    return contracts.Method(init, loss, represent, scores=scores, uses_crops=multi_crop)


def all_views(batch: contracts.Batch) -> list[jax.Array]:
    """The views f[n,h,w,c] of a batch and after them its small crops, if it has some."""
    return [*batch["images"], *batch.get("crops", ())]


def check_crops(net: pure.Net, batch: contracts.Batch) -> None:
    """Raises UserError if a network has no place for the small crops beside the views."""

    def parameters(images):
        made = jax.eval_shape(net.init, jax.random.key(0), images)
        return [*map(jnp.shape, jax.tree.leaves(made))]

    views, crops = batch["images"], batch.get("crops")
    if crops is None:
        return
    expected, reason = parameters(views[0]), ""
    try:
        fits = parameters(crops[0]) == expected
    except contracts.UserError as error:
        fits, reason = False, f" ({str(error).partition(';')[0]})"  # its advice is on the views
    if not fits:
        full, small = ("x".join(map(str, each.shape[2:4])) for each in (views, crops))
        raise contracts.UserError(
            f"this encoder of views of {full} pixels cannot take small crops of {small}{reason}; "
            "choose one for images of several sizes, such as resnet18, or another "
            "augment.small_crop"
        )


def unit(rows: jax.Array) -> jax.Array:
    """Rows f[n,d] divided by their lengths; those of length 0 stay 0."""
    squares = jnp.sum(jnp.square(rows), axis=-1, keepdims=True)
    return rows * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))


def cosines(first: jax.Array, second: jax.Array) -> jax.Array:
    """Cosine similarities f[n,m] of rows f[n,d] and f[m,d] of length 1.

    In full precision on every device and for every compute dtype, because they are divided by a
    small temperature.
    """
    return jnp.dot(first, second.T, precision=jax.lax.Precision.HIGHEST)


def view_scores(net: pure.Net, temperature: float = 1.0):
    """`scores` of a method across views: cosines of z of the first and the last view."""

    def scores(params, state, views):
        stats = {part: state[part] for part in ("encoder", "projector")}
        weights = {part: params["encoder"][part] for part in stats}
        rows = [
            unit(net.apply(weights, stats, views[index], train=False)[0][PROJECTED])
            for index in (0, -1)
        ]
        return {"views": cosines(*rows) / temperature}

    return scores


def check_views(views: jax.Array, *, most: int | None = 2) -> None:
    """Raises UserError unless there are two views of each image; with `most` None two or more."""
    count = len(views)
    if count < 2 or count > (most or count):
        raise contracts.UserError(
            f"a batch has {count} view{'s' if count > 1 else ''} of each image and this method "
            f"compares {'two' if most else 'two or more'}; set augment.views=2"
        )
