"""SwAV: views of an image predict each other's assignment to learned prototypes.

    loss = mean over the two views t of full size and all other views s of
           -mean over images of sum_k q_tk log softmax( c_k . z_s / temperature )_k

z are unit projections, c unit prototypes, and q_t the assignment of view t: the scores c . z_t,
brought by Sinkhorn's iteration to rows of sum 1 that use all prototypes equally, over the global
batch and, from `queue_from` on, the projections of earlier batches. Assignments have no gradient.
Small crops (`augment.small_crops`) predict and are not predicted.

Source: Caron et al. 2020; official code, main_swav.py.
Differs: prototypes are normalised where they are used, which is the same function, and their
  gradient has no part along them; there, in place before each step.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts, losses
from dim_jax.nets import projection, pure

_GLOBAL = 2  # views of full size


def make(
    *,
    encoder: pure.Net,
    projector: pure.Net,
    tap: str = "y",
    prototypes: int,
    temperature: float,
    epsilon: float,
    iterations: int,
    frozen_steps: int,
    queue: int = 0,
    queue_from: int = 0,
) -> contracts.Method:
    """The SwAV method; one player, `encoder`: the encoder, the projector and the prototypes.

    Args:
      projector: f[n,...] -> z f[n,d]. Published: widths (2048,), 128 features.
      tap: the input of the projector.
      prototypes: their number. Published: 3000 on ImageNet.
      temperature: of the predictions. Published: 0.1.
      epsilon, iterations: of Sinkhorn's iteration. Published: 0.05 and 3.
      frozen_steps: steps, from the first, in which prototypes do not move. Published: 313, of
        batches of 4096 one epoch.
      queue: earlier projections of each view that assignments see too. Published for batches of
        256: 3840; for large batches 0, none.
      queue_from: the step from which they do; not before the queue is full.

    State: with a queue, "queue" f32[2,queue,d], the newest first.

    Metrics: "views/cosine" of z of the two full views. "prototypes/used": exp of the entropy of
    the mean assignment as a fraction of the prototypes; "prototypes/perplexity": exp of the mean
    entropy of an assignment, from 1.

    Raises: contracts.UserError: on initialisation, another number of views than two.
    """
    net = projection.projected(encoder, projector, tap)

    def init(rng, batch):
        images = batch["images"]
        projection.check_views(images)
        projection.check_crops(net, batch)
        params, state = net.init(rng, images[0])
        outputs = jax.eval_shape(lambda: net.apply(params, state, images[0], train=False))[0]
        width = outputs[projection.PROJECTED].shape[-1]
        drawn = jax.random.normal(jax.random.fold_in(rng, 1), (prototypes, width))
        if queue:
            state = state | {"queue": jnp.zeros((_GLOBAL, queue, width))}
        return {"encoder": params | {"prototypes": projection.unit(drawn)}}, state

    def assign(rows, earlier, centres, step):
        """The assignments f[n,k] of unit rows f[n,d], with those of earlier ones beside them."""

        def together(rows):
            scores = projection.cosines(jnp.concatenate([rows, earlier]), centres)
            return losses.sinkhorn(scores, epsilon=epsilon, steps=iterations)[: len(rows)]

        def alone(rows):
            scores = projection.cosines(rows, centres)
            return losses.sinkhorn(scores, epsilon=epsilon, steps=iterations)

        if earlier is None:
            return alone(rows)
        begins = jnp.maximum(queue_from, -(-queue // len(rows)))
        return jax.lax.cond(step >= begins, together, alone, rows)

    def loss(params, state, batch, rng, step):
        stats = {part: state[part] for part in ("encoder", "projector")}
        images = projection.all_views(batch)
        views, new = projection.encode_views(net, params["encoder"], stats, images, rng)
        rows = [projection.unit(view[projection.PROJECTED]) for view in views]
        centres = projection.unit(params["encoder"]["prototypes"])
        centres = jnp.where(step < frozen_steps, jax.lax.stop_gradient(centres), centres)
        scores = [projection.cosines(row, centres) for row in rows]
        fixed = jax.lax.stop_gradient((rows[:_GLOBAL], centres))
        costs, codes = [], []
        for number, row in enumerate(fixed[0]):
            earlier = state["queue"][number] if queue else None
            codes.append(assign(row, earlier, fixed[1], step))
            costs += [
                losses.swap_loss(other, codes[-1], temperature=temperature)
                for index, other in enumerate(scores)
                if index != number
            ]
        if queue:
            kept = [
                jnp.concatenate([row, before])[:queue]
                for row, before in zip(fixed[0], state["queue"], strict=True)
            ]
            new = new | {"queue": jnp.stack(kept)}
        metrics = {"views/cosine": jnp.mean(jnp.sum(fixed[0][0] * fixed[0][1], axis=-1))}
        metrics |= _usage(jnp.concatenate(codes))
        features = projection.training_taps(views)
        return contracts.Step({"encoder": jnp.mean(jnp.stack(costs))}, metrics, new, features)

    scores = projection.view_scores(net)
    represent = pure.represent(encoder)
    return contracts.Method(init, loss, represent, scores=scores, uses_crops=True)


def _usage(codes: jax.Array) -> contracts.Scalars:
    """The metrics "prototypes/..." of assignments f[n,k]."""

    def entropy(shares):
        return jnp.sum(jax.scipy.special.entr(shares), axis=-1)

    return {
        "prototypes/used": jnp.exp(entropy(codes.mean(axis=0))) / codes.shape[1],
        "prototypes/perplexity": jnp.exp(jnp.mean(entropy(codes))),
    }
