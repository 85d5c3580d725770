"""MoCo: a view recognises the key of its image among those of earlier batches, in a queue.

    loss = mean over images i of -log( exp(q_i . k_i / t)
           / (exp(q_i . k_i / t) + sum over keys k in the queue of exp(q_i . k / t)) )

q is the unit projection of one view, k that of the other view by the key network, an exponential
moving average of the encoder and its projector, updated before the loss of a step; keys have no
gradient. After the loss the keys of the batch replace the oldest of the queue.

Shuffled batch norm: in groups (`train.norm_groups`), the key network sees the images in a random
order, so that no key shares the statistics of its query. In one group, the default, the statistics
are those of all images in any order.

Source: He et al. 2020; Chen et al. 2020 (MoCo v2); official code, moco/builder.py.
Differs: no.
"""

import math

import jax
import jax.numpy as jnp

from dim_jax import bounds, contracts
from dim_jax.losses import priors
from dim_jax.nets import averages, projection, pure

_VIEWS, _KEYS, _ORDER = range(3)  # purposes of the random keys of a step


def make(
    *,
    encoder: pure.Net,
    projector: pure.Net,
    tap: str = "y",
    queue: int,
    decay: float,
    temperature: float,
    shuffle: bool,
) -> contracts.Method:
    """The MoCo method; one player, `encoder`: the encoder and the projector.

    Args:
      projector: f[n,...] -> z f[n,d]. Published, v2: widths (2048,), 128 features; v1: no hidden
        layer.
      tap: the input of the projector.
      queue: the number of keys in the queue, at least those of a batch. Published: 65536.
      decay: of the key network. Published: 0.999.
      temperature: published: 0.2 (v2), 0.07 (v1).
      shuffle: the key network sees the images in a random order.

    State: "keys": the key network's {"params", "stats"}; "queue" f32[queue,d], unit rows, at first
    uniform on the sphere; "oldest" i32[], the row that is replaced next.

    Metrics: "views/nats": a lower bound of the mutual information of query and key,
    `bounds.infonce` of the n keys of the batch, at most log n. "views/accuracy": the fraction of
    queries with the highest score for their key. "views/positive", "views/negative": mean cosines.

    Raises: contracts.UserError: on initialisation, another number of views than two, or a batch
      larger than the queue.
    """
    net = projection.projected(encoder, projector, tap)

    def init(rng, batch):
        images = batch["images"]
        projection.check_views(images)
        if images.shape[1] > queue:
            raise contracts.UserError(
                f"a batch has {images.shape[1]} images and method.queue is {queue}; set it to a "
                "multiple of them, published 65536"
            )
        params, stats = net.init(rng, images[0])
        outputs = jax.eval_shape(lambda: net.apply(params, stats, images[0], train=False))[0]
        shape = (queue, outputs[projection.PROJECTED].shape[-1])
        state = {
            "keys": {"params": params, "stats": stats},
            "queue": priors.sphere().sample(jax.random.fold_in(rng, _ORDER), shape),
            "oldest": jnp.zeros((), jnp.int32),
        }
        return {"encoder": params}, stats | state

    def encode_keys(params, state, images, rng):
        """The unit keys f[n,d] of images f[n,h,w,c], the taps, and the new state "keys"."""
        average = averages.update(state["keys"]["params"], params, decay)
        order = jnp.arange(len(images))
        if shuffle:
            order = jax.random.permutation(jax.random.fold_in(rng, _ORDER), order)
        key = jax.random.fold_in(rng, _KEYS)
        stats = state["keys"]["stats"]
        taps, stats = net.apply(average, stats, images[order], train=True, rng=key)
        taps = jax.lax.stop_gradient({name: x[jnp.argsort(order)] for name, x in taps.items()})
        return taps, {"params": average, "stats": stats}

    def loss(params, state, batch, rng, step):
        del step
        images = batch["images"]
        views, stats = projection.encode_views(
            net, params["encoder"], _online(state), images[:1], jax.random.fold_in(rng, _VIEWS)
        )
        taps, keys = encode_keys(params["encoder"], state, images[1], rng)
        query, key = (projection.unit(x[projection.PROJECTED]) for x in (views[0], taps))
        positive = jnp.sum(query * key, axis=-1, keepdims=True)
        negative = projection.cosines(query, state["queue"])
        scores = jnp.concatenate([positive, negative], axis=1) / temperature
        bound = bounds.infonce(scores, jnp.zeros(len(scores), jnp.int32))
        cost = math.log(scores.shape[1]) - bound
        metrics = {
            "views/nats": bounds.infonce(projection.cosines(query, key) / temperature),
            "views/accuracy": jnp.mean(jnp.argmax(scores, axis=1) == 0),
            "views/positive": jnp.mean(positive),
            "views/negative": jnp.mean(negative),
        }
        places = (state["oldest"] + jnp.arange(len(key), dtype=jnp.int32)) % queue
        new = {
            "keys": keys,
            "queue": state["queue"].at[places].set(key),
            "oldest": (state["oldest"] + len(key)) % queue,
        }
        features = projection.training_taps([views[0], taps])
        metrics = jax.lax.stop_gradient(metrics)
        return contracts.Step({"encoder": cost}, metrics, stats | new, features)

    scores = projection.view_scores(net, temperature)
    return contracts.Method(init, loss, pure.represent(encoder), scores=scores)


def _online(state):
    return {part: state[part] for part in ("encoder", "projector")}
