"""Deep InfoMax: global and local mutual information maximisation with prior matching.

    maximise alpha * I(y; conv) + beta * mean_l I(y; local_l), and match y to a prior with gamma

Players: `encoder` (the encoder, its critics and heads) and, with a prior, `discriminator`. DIM(G)
is alpha=1, beta=0, gamma=1; DIM(L) is alpha=0, beta=1, gamma=0.1.

Source: Hjelm et al. 2019, Eq. 8; official DIM code, functions/dim_losses.py, prior_matching.py.
Differs: same-image candidates are removed from the negatives, not filled with a constant;
the gradient penalty has its nominal weight, which the newest official code divides by the batch.
"""

import functools

import jax
import jax.numpy as jnp

from dim_jax import augment, bounds, contracts, divergences, losses
from dim_jax.nets import pure

# What the random numbers of one step are for.
_PRIOR, _OCCLUSION, _LOCATIONS, _NEGATIVES, _SOURCES = range(5)


def _flat(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1)


def _locations(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1, features.shape[-1])


def _sampled(local: jax.Array, count: int, rng: jax.Array) -> jax.Array:
    """`count` locations f[n, count, c] of each image's f[n, l, c], drawn with replacement."""
    places = jax.random.randint(rng, (len(local), count), 0, local.shape[1])
    return jnp.take_along_axis(local, places[:, :, None], axis=1)


def _score_metrics(name: str, scores: jax.Array) -> contracts.Scalars:
    n = len(scores)
    own = jnp.eye(n, dtype=bool).reshape((n, n) + (1,) * (scores.ndim - 2))
    return {
        # Type C keeps every location's negatives and IS a lower bound of mean_l I, capped at log n.
        f"{name}/nats": bounds.infonce(scores, negatives="candidates"),
        f"{name}/score_joint": jnp.mean(scores, where=own),
        f"{name}/score_product": jnp.mean(scores, where=~own),
    }


def make(
    *,
    encoder: pure.Net,
    bound,
    alpha: float,
    beta: float,
    gamma: float,
    global_critic: pure.Critic | None,
    local_critic: pure.Critic | None,
    prior,
    discriminator: pure.Net | None,
    penalty: float,
    occlusion: int | None = None,
    sampled_locations: int | None = None,
    negatives: int | None = None,
    absolute: float = 0.0,
    relative: float = 0.0,
    coordinates=None,
) -> contracts.Method:
    """The DIM method.

    Args:
      bound: scores f[n,n,*l] -> f32[], maximised; the same for the global and the local term.
      alpha, beta, gamma: weights of the global term, the local term and the prior term. A term
        with weight 0 is left out, and its critic or discriminator may be None.
      prior: a `priors.Prior`; its squashing is applied inside the prior term only.
      penalty: weight of the discriminator's gradient penalty (half on prior samples, half on
        representations).
      occlusion: y is that of the image behind a random rectangle, the features it predicts those
        of the intact one (`augment.occlude`, with this block in pixels). Batch statistics are of
        the intact images, which are also what evaluations see.
      sampled_locations: so many local features per image and step, drawn with replacement.
      negatives: so many negatives per positive (`bounds.with_fewer_negatives`) instead of all.
      absolute, relative: weights of predicting from y and a local feature its row and column;
        from y and two local features, one of them the same for all, their offset.
      coordinates: `heads.coordinates`, needed by these two.

    Metrics: "global/bound", "local/bound": what is maximised. "*/nats": a lower bound of the
    mutual information, capped at log(batch), from the same scores. "*/score_joint",
    "*/score_product": mean scores of joint and of product pairs. "prior/confusion": the
    encoder's prior loss. "absolute/accuracy", "relative/accuracy": both coordinates right.
    """
    critics = {}
    if alpha:
        critics["global"] = (alpha, global_critic, "conv", _flat)
    if beta:
        critics["local"] = (beta, local_critic, "local", _locations)
    tasks = {name: w for name, w in (("absolute", absolute), ("relative", relative)) if w}
    _check(critics, gamma, prior, discriminator, tasks, coordinates)

    def init(rng, batch):
        rngs = jax.random.split(rng, 6)
        images = batch["images"][0]
        own, state = {}, {}
        own["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(own["encoder"], state["encoder"], images, train=False)
        for index, (name, (_, critic, tap, shape)) in enumerate(critics.items()):
            own[name], state[name] = critic.init(rngs[1 + index], taps["y"], shape(taps[tap]))
        for index, name in enumerate(tasks):
            task = losses.coordinate_task(name, taps["y"], taps["local"], rng)
            head = coordinates(2 * task.classes)
            own[name], state[name] = head.init(rngs[4 + index], task.inputs)
        params = {"encoder": own}
        if gamma:
            params["discriminator"], _ = discriminator.init(rngs[3], taps["y"])
        return params, state

    def information(own, state, taps, keys):
        total, metrics, stats = 0.0, {}, {}
        for index, (name, (weight, critic, tap, shape)) in enumerate(critics.items()):
            candidates = shape(taps[tap])
            if name == "local" and sampled_locations:
                candidates = _sampled(candidates, sampled_locations, keys[_LOCATIONS])
            scores, stats[name] = critic.all_pairs(
                own[name], state[name], taps["y"], candidates, train=True
            )
            if negatives:
                key = jax.random.fold_in(keys[_NEGATIVES], index)
                value = bounds.with_fewer_negatives(bound, scores, negatives, key)
            else:
                value = bound(scores)
            total += weight * value
            metrics |= {f"{name}/bound": value, **_score_metrics(name, scores)}
        return total, metrics, stats

    def coordinate_terms(own, state, taps, keys):
        total, metrics, stats = 0.0, {}, {}
        for name, weight in tasks.items():
            task = losses.coordinate_task(name, taps["y"], taps["local"], keys[_SOURCES])
            logits, stats[name] = coordinates(2 * task.classes).apply(
                own[name], state[name], task.inputs, train=True
            )
            value, metrics[f"{name}/accuracy"] = losses.coordinate_loss(logits, task.targets)
            total += weight * value
        return total, metrics, stats

    def prior_terms(params, y, rng):
        def logits(codes):
            return discriminator.apply(params, {}, codes, train=True)[0]

        real, fake = prior.sample(rng, y.shape), prior.squash(y)
        judged = logits(fake)
        confusion = -jnp.mean(divergences.gan_positive(judged))
        discrimination = jnp.mean(divergences.gan_negative(judged)) - jnp.mean(
            divergences.gan_positive(logits(real))
        )
        smoothness = 0.5 * sum(divergences.gradient_penalty(logits, x) for x in (real, fake))
        return confusion, discrimination + penalty * smoothness

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(5)]
        own, images = params["encoder"], batch["images"][0]
        encode = functools.partial(encoder.apply, own["encoder"], state["encoder"], train=True)
        taps, stats = encode(images)
        features = {name: taps[name] for name in contracts.PROBED_TAPS}
        if occlusion:
            hidden, _ = encode(augment.occlude(keys[_OCCLUSION], images, block=occlusion))
            taps = {**taps, "y": hidden["y"]}
        total, metrics, critic_stats = information(own, state, taps, keys)
        task_loss, task_metrics, task_stats = coordinate_terms(own, state, taps, keys)
        player_losses = {"encoder": task_loss - total}
        metrics |= task_metrics
        if gamma:
            confusion, player_losses["discriminator"] = prior_terms(
                params["discriminator"], taps["y"], keys[_PRIOR]
            )
            player_losses["encoder"] += gamma * confusion
            metrics["prior/confusion"] = confusion
        new_state = {"encoder": stats, **critic_stats, **task_stats}
        return contracts.Step(player_losses, metrics, new_state, features)

    def represent(params, state, images):
        taps, _ = encoder.apply(params["encoder"]["encoder"], state["encoder"], images, train=False)
        return {name: taps[name] for name in contracts.PROBED_TAPS}

    return contracts.Method(init, loss, represent)


def _check(critics, gamma, prior, discriminator, tasks, coordinates) -> None:
    for name, (_, critic, _, _) in critics.items():
        if critic is None:
            raise contracts.UserError(
                f"the {name} term has a weight and method.{name}_critic is none; set a critic "
                f"or {'alpha' if name == 'global' else 'beta'}=0"
            )
    if gamma and (prior is None or discriminator is None):
        raise contracts.UserError(
            f"gamma is {gamma} and method.prior or method.discriminator is none; "
            "set both or gamma=0"
        )
    if tasks and coordinates is None:
        raise contracts.UserError(
            f"{' and '.join(tasks)} have a weight and method.coordinates is none; set a head "
            "or both weights to 0"
        )
