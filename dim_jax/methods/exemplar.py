"""Exemplar-CNN: every training image is a surrogate class, with its augmented copies as examples.

    loss = mean over images n and their views of -log softmax(W y + b)_n

With images drawn uniformly from N, and log softmax as the variational posterior of the image given
its features, this is variational information maximisation (Barber and Agakov):

    I(image; y) >= log N - loss

The loss of several views is the loss of their mean feature plus a term for the variation between
views (`losses.surrogate_split`).

Source: Dosovitskiy et al. 2014 (Exemplar-CNN), section 2.2; Barber and Agakov 2003 for the bound.
Differs: copies are drawn anew in every step; the published ones are about 100 of each image, drawn
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
      pooled: `represent` also returns the encoder's pooled taps, which multiplies its time.

    Metrics: "exemplar/bound": log N - loss in nats, at most log N, and 0 for uninformative logits.
    "exemplar/accuracy": of the classifier. With two views or more, "exemplar/mean_loss" and
    "exemplar/variation", whose sum is the loss.

    Taps of `represent` besides conv, fc and y: "logits" f[n,N], and those whose names begin with
    "pooled". All of them are without dropout.

    Raises: contracts.UserError: fewer than two classes; on initialisation, an encoder whose y is
      not a vector, or one without pooled taps if `pooled`.
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
        modules, images = params["encoder"], batch["images"]
        views, n = images.shape[:2]
        # The views of an image are adjacent rows, so that no image moves to another device.
        rows = images.swapaxes(0, 1).reshape(n * views, *images.shape[2:])
        taps, stats = encoder.apply(modules["encoder"], state["encoder"], rows, train=True, rng=rng)
        logits, _ = classifier.apply(modules[_HEAD], {}, taps["y"], train=True)
        index = jnp.repeat(batch["index"], views)
        bound = surrogate_bound(logits, index)
        metrics = {
            "exemplar/bound": bound,
            "exemplar/accuracy": jnp.mean(jnp.argmax(logits, axis=-1) == index),
        }
        if views > 1:
            view_logits = logits.reshape(n, views, classes).swapaxes(0, 1)
            parts = losses.surrogate_split(view_logits, batch["index"])
            metrics["exemplar/mean_loss"], metrics["exemplar/variation"] = parts
        features = {name: tap[::views] for name, tap in contracts.probed(taps).items()}
        value = math.log(classes) - bound
        return contracts.Step({"encoder": value}, metrics, {"encoder": stats}, features)

    def represent(params, state, images):
        modules = params["encoder"]
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=False)
        pooled_taps = {
            name: tap for name, tap in taps.items() if pooled and name.startswith("pooled")
        }
        logits, _ = classifier.apply(modules[_HEAD], {}, taps["y"], train=False)
        return contracts.probed(taps) | pooled_taps | {"logits": logits}

    return contracts.Method(init, loss, represent, examples=classes, per_example=True)


def surrogate_bound(
    logits: jax.Array, index: jax.Array, *, axis_name: str | None = None
) -> jax.Array:
    """log N + mean of log softmax(logits)[index], in nats: f32[], at most log N, to be maximised.

    Args:
      logits: f[n,N]. Inside `shard_map` or `pmap` with `axis_name`: f[n,N/devices], the logits of
        all examples for this device's shard of the classes, sharded in the order of the devices.
        The value is that of all classes, without gathering them (see `bounds` for gradients).
      index: i32[n] in 0..N-1, the class of each example.
    """
    if axis_name is None:
        return bounds.infonce(logits, index)
    shard_size = logits.shape[1]
    column = index - shard_size * jax.lax.axis_index(axis_name)
    column = jnp.where((column >= 0) & (column < shard_size), column, -1)
    return bounds.infonce(logits, column, axis_name=axis_name, sharded="candidates")


def _check_taps(taps: contracts.Taps, pooled: bool) -> None:
    if taps["y"].ndim != 2:
        raise contracts.UserError(
            f"the tap y of the encoder has shape {taps['y'].shape[1:]} and the method 'exemplar' "
            "needs a vector; choose another encoder"
        )
    if pooled and "pooled" not in taps:
        raise contracts.UserError(
            "method.pooled is True and the encoder has no pooled taps; set it to False, or "
            "choose the encoder 'exemplar'"
        )
