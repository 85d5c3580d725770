"""BYOL: the projection of one view predicts what a target network makes of the other view.

    loss = mean over both directions and the batch of
           2 - 2 cosine( predictor(z of one view), target z of the other view )

The target network is an exponential moving average of the encoder and its projector, without
gradient; its decay rises along half a cosine to 1 (`averages.rising_decay`). Nothing compares
different images: that the features do not collapse rests on the predictor and on the target's lack
of gradient. Without a predictor they do, the published ablation.

A decay of 0 stays 0 and makes the target the network itself: SimSiam (Chen and He 2021). In a loop
other than the trainer's the decay is constant, unless in `averages.total_steps(steps)`.

Source: Grill et al. 2020; official code, byol_experiment.py.
Differs: the loss is the mean of the two directions, there their sum.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import averages, projection, pure


def make(
    *,
    encoder: pure.Net,
    projector: pure.Net,
    predictor: pure.Net | None,
    tap: str = "y",
    decay: float,
) -> contracts.Method:
    """The BYOL method; one player, `encoder`: the encoder, the projector and the predictor.

    Args:
      projector, predictor: f[n,...] -> f[n,d] of equal d, such as `heads.projector`. Published:
        both widths (4096,) and 256 features. A predictor None compares z itself, and collapses.
      tap: the input of the projector.
      decay: of the target network at the first step. Published: 0.996.

    State: "target": the target network's {"params", "stats"}.

    Metrics: "views/cosine": of prediction and target. "target/decay".

    Raises: contracts.UserError: on initialisation, another number of views than two, or a predictor
      whose output has another number of features than its input.
    """
    net = projection.projected(encoder, projector, tap)

    def init(rng, batch):
        images = batch["images"]
        projection.check_views(images)
        params, stats = net.init(rng, images[0])
        state = stats | {"target": {"params": params, "stats": stats}}
        if predictor is None:
            return {"encoder": params}, state
        taps, _ = net.apply(params, stats, images[0], train=False)
        z = taps[projection.PROJECTED]
        head = predictor.init(jax.random.fold_in(rng, 1), z)
        outputs, _ = predictor.apply(*head, z, train=False)
        if outputs.shape != z.shape:
            raise contracts.UserError(
                f"the predictor makes {outputs.shape[-1]} features of the projector's "
                f"{z.shape[-1]}; set method.predictor.features={z.shape[-1]}"
            )
        return {"encoder": params | {"predictor": head[0]}}, state | {"predictor": head[1]}

    def predict(params, stats, views):
        """The predictions f[n,d] of each view, and the predictor's new stats."""
        rows = [view[projection.PROJECTED] for view in views]
        if predictor is None:
            return rows, {}
        stats = stats["predictor"]
        for number, row in enumerate(rows):
            rows[number], stats = predictor.apply(params["predictor"], stats, row, train=True)
        return rows, {"predictor": stats}

    def loss(params, state, batch, rng, step):
        online = {part: params["encoder"][part] for part in ("encoder", "projector")}
        stats = {part: state[part] for part in online}
        keys = jax.random.split(rng)
        views, stats = projection.encode_views(net, online, stats, batch["images"], keys[0])
        predictions, head = predict(params["encoder"], state, views)
        now = averages.rising_decay(decay, step)
        target = averages.update(state["target"]["params"], online, now)
        targets, target_stats = projection.encode_views(
            net, target, state["target"]["stats"], batch["images"], keys[1]
        )
        cosines = [
            jnp.sum(
                projection.unit(prediction)
                * jax.lax.stop_gradient(projection.unit(other[projection.PROJECTED])),
                axis=-1,
            )
            for prediction, other in zip(predictions, reversed(targets), strict=True)
        ]
        cosine = jnp.mean(jnp.stack(cosines))
        new = stats | head | {"target": {"params": target, "stats": target_stats}}
        metrics = {"views/cosine": cosine, "target/decay": now}
        features = projection.training_taps(views)
        return contracts.Step({"encoder": 2 - 2 * cosine}, metrics, new, features)

    scores = projection.view_scores(net)
    return contracts.Method(init, loss, pure.represent(encoder), scores=scores)
