"""Exemplar-CNN: every training image is a class of its own, told from changed copies of itself.

    loss = mean over images n and their views of -log softmax(W y + b)_n

With images drawn uniformly from N, and log softmax as the model of which one a feature is of, this
is variational information maximisation (Barber and Agakov):

    I(image; y) >= log N - loss

The loss of several views is that of their mean feature and what the views vary
(`losses.surrogate_split`).

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2.2; Barber and Agakov 2003 for the bound.
Differs: copies are drawn anew in every step; the published ones are 100 or so of each image, drawn
  once.
"""

import math

import jax
import jax.numpy as jnp

from dim_jax import bounds, contracts, losses
from dim_jax.nets import heads, pure

_HEAD = "surrogate"


def make(*, encoder: pure.Net, classes: int, pooled: bool) -> contracts.Method:
    """The method; one player, `encoder`: the encoder and the classifier of its y.

    Args:
      classes: N, the number of training images; `batch["index"]` counts them from 0.
      pooled: `represent` has the encoder's pooled taps too, for several times its time.

    Metrics: "exemplar/bound": log N - loss in nats, at most log N and 0 where nothing is known.
    "exemplar/accuracy": of the classifier. With two views or more, "exemplar/mean_loss" and
    "exemplar/variation", whose sum is the loss.

    Taps of `represent` besides conv, fc and y: "logits" f[n,N], and those whose names begin with
    "pooled". All of them are without dropout.

    Raises: contracts.UserError: fewer than two classes; on initialisation, an encoder whose y is no
      vector, or without pooled taps where they are asked for.
    """
    if classes < 2:
        raise contracts.UserError(
            f"method.classes is {classes}; set it to the number of training images, 2 or more"
        )
    classifier = heads.affine(outputs=classes)

    def init(rng, batch):
        rngs, images = jax.random.split(rng), batch["images"][0]
        params, stats = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(params, stats, images, train=False)
        _check_taps(taps, pooled)
        head, _ = classifier.init(rngs[1], taps["y"])
        return {"encoder": {"encoder": params, _HEAD: head}}, {"encoder": stats}

    def loss(params, state, batch, rng, step):
        del step
        own, images = params["encoder"], batch["images"]
        views, n = images.shape[:2]
        # All views of an image in a row: no image leaves its device.
        rows = images.swapaxes(0, 1).reshape(n * views, *images.shape[2:])
        taps, stats = encoder.apply(own["encoder"], state["encoder"], rows, train=True, rng=rng)
        logits, _ = classifier.apply(own[_HEAD], {}, taps["y"], train=True)
        index = jnp.repeat(batch["index"], views)
        bound = surrogate_bound(logits, index)
        metrics = {
            "exemplar/bound": bound,
            "exemplar/accuracy": jnp.mean(jnp.argmax(logits, axis=-1) == index),
        }
        if views > 1:
            of_views = logits.reshape(n, views, classes).swapaxes(0, 1)
            parts = losses.surrogate_split(of_views, batch["index"])
            metrics["exemplar/mean_loss"], metrics["exemplar/variation"] = parts
        features = {name: tap[::views] for name, tap in contracts.probed(taps).items()}
        value = math.log(classes) - bound
        return contracts.Step({"encoder": value}, metrics, {"encoder": stats}, features)

    def represent(params, state, images):
        own = params["encoder"]
        taps, _ = encoder.apply(own["encoder"], state["encoder"], images, train=False)
        kept = {name: tap for name, tap in taps.items() if pooled and name.startswith("pooled")}
        logits, _ = classifier.apply(own[_HEAD], {}, taps["y"], train=False)
        return contracts.probed(taps) | kept | {"logits": logits}

    return contracts.Method(init, loss, represent, examples=classes, per_example=True)


def surrogate_bound(
    logits: jax.Array, index: jax.Array, *, axis_name: str | None = None
) -> jax.Array:
    """log N + mean of log softmax(logits)[index], in nats: f32[], at most log N, to be maximised.

    Args:
      logits: f[n,N]. Inside `shard_map` or `pmap` with `axis_name` those of all examples and of
        this device's classes f[n,N/devices], classes divided in the order of the devices; the
        value is that of all of them and no device holds more (see `bounds` for gradients).
      index: i32[n] in 0..N-1, the class of each example.
    """
    if axis_name is None:
        return bounds.infonce(logits, index)
    held = logits.shape[1]
    place = index - held * jax.lax.axis_index(axis_name)
    place = jnp.where((place >= 0) & (place < held), place, -1)
    return bounds.infonce(logits, place, axis_name=axis_name, sharded="candidates")


def _check_taps(taps: contracts.Taps, pooled: bool) -> None:
    if taps["y"].ndim != 2:
        raise contracts.UserError(
            f"the y of the encoder has the shape {taps['y'].shape[1:]} and the method 'exemplar' "
            "needs a vector; choose another encoder"
        )
    if pooled and "pooled" not in taps:
        raise contracts.UserError(
            "method.pooled asks for pooled taps and the encoder has none; set it to False, or "
            "choose the encoder 'exemplar'"
        )
