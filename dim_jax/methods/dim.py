"""Deep InfoMax: global and local mutual information maximisation with prior matching.

    maximise alpha * I(y; conv) + beta * mean_l I(y; local_l), and match y to a prior with gamma

Players: `encoder` (the encoder, its critics and heads) and, with a prior, `discriminator`. DIM(G)
is alpha=1, beta=0, gamma=1; DIM(L) is alpha=0, beta=1, gamma=0.1.

An encoder with the tap "globals" f[n,g,g,d] has several globals: in the local term each of them
predicts all local features of its image, by one critic for all.

Source: Hjelm et al. 2019, Eq. 8 and section 4.2; official DIM code, functions/dim_losses.py,
  models/dim.py, prior_matching.py.
Differs: same-image candidates are removed from the negatives, not filled with a constant;
the gradient penalty has its nominal weight, which the newest official code divides by the batch.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import augment, bounds, contracts, losses
from dim_jax.bounds import divergences
from dim_jax.losses import score_metrics
from dim_jax.nets import pure

# What the random numbers of one step are for.
_PRIOR, _OCCLUSION, _LOCATIONS, _NEGATIVES, _SOURCES, _DROPOUT, _GLOBALS = range(7)


def _flat(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1)


def _locations(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1, features.shape[-1])


def _globals(name: str, taps: contracts.Taps) -> jax.Array:
    """The anchors f[n, b, d] of a term: for the local one all globals of an image, else y."""
    if name == "local" and "globals" in taps:
        return _locations(taps["globals"])
    return taps["y"][:, None]


def _sampled(features: jax.Array, count: int, rng: jax.Array) -> jax.Array:
    """`count` of each image's features f[n, l, c] as f[n, count, c], drawn with replacement."""
    places = jax.random.randint(rng, (len(features), count), 0, features.shape[1])
    return jnp.take_along_axis(features, places[:, :, None], axis=1)


def _value(bound, scores: jax.Array, positives: np.ndarray, negatives: int | None, rng):
    """The bound of scores f[n * b, n, *l], whose anchors are the b globals of each image."""
    if not negatives:
        return bound(scores, positives)
    by_global = scores.reshape(scores.shape[1], -1, *scores.shape[1:])
    count = by_global.shape[1]
    rngs = jax.random.split(rng, count) if count > 1 else rng[None]

    def of_one(scores, rng):
        return bounds.with_fewer_negatives(bound, scores, negatives, rng)

    return jax.vmap(of_one, in_axes=(1, 0))(by_global, rngs).mean()


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
    sampled_globals: int | None = None,
    negatives: int | None = None,
    absolute: float = 0.0,
    relative: float = 0.0,
    coordinates=None,
) -> contracts.Method:
    """The DIM method.

    Args:
      bound: (scores f[n,n,*l], positives i[n]) -> f32[], maximised; the same for the global and
        the local term. With b globals scores are f[n*b,n,*l]: all globals' scores are averaged
        as one batch, and a bound that compares the anchors of a candidate has no meaning.
      alpha, beta, gamma: weights of the global term, the local term and the prior term. A term
        with weight 0 is left out, and its critic or discriminator may be None.
      prior: a `priors.Prior`; its squashing is applied inside the prior term only.
      penalty: weight of the discriminator's gradient penalty (half on prior samples, half on
        representations).
      occlusion: y is that of the image behind a random rectangle, the features it predicts those
        of the intact one (`augment.occlude`, with this block in pixels). Batch statistics are of
        the intact images, which are also what evaluations see.
      sampled_locations: so many local features per image and step, drawn with replacement.
      sampled_globals: so many of an encoder's globals likewise; none = all of them, as in the
        official code. In the paper they are drawn.
      negatives: so many negatives per positive (`bounds.with_fewer_negatives`) instead of all.
      absolute, relative: weights of predicting from y and a local feature its row and column;
        from y and two local features, one of them the same for all, their offset. Like the
        prior they speak of one vector for each image, so that several globals allow neither; the
        global term takes y, which is then all globals in a row.
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
        _check_globals(taps, gamma, tasks, sampled_globals)
        for index, (name, (_, critic, tap, shape)) in enumerate(critics.items()):
            anchors = _globals(name, taps)[:, 0]
            own[name], state[name] = critic.init(rngs[1 + index], anchors, shape(taps[tap]))
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
            anchors, candidates = _globals(name, taps), shape(taps[tap])
            if name == "local" and sampled_locations:
                candidates = _sampled(candidates, sampled_locations, keys[_LOCATIONS])
            if name == "local" and sampled_globals:
                anchors = _sampled(anchors, sampled_globals, keys[_GLOBALS])
            positives = np.repeat(np.arange(len(anchors)), anchors.shape[1])
            anchors = anchors.reshape(-1, anchors.shape[-1])
            scores, stats[name] = critic.all_pairs(
                own[name], state[name], anchors, candidates, train=True
            )
            key = jax.random.fold_in(keys[_NEGATIVES], index)
            value = _value(bound, scores, positives, negatives, key)
            total += weight * value
            metrics |= {f"{name}/bound": value, **score_metrics.of_scores(name, scores, positives)}
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
        confusion, discrimination = losses.adversarial_losses(logits(real), logits(fake))
        smoothness = 0.5 * sum(divergences.gradient_penalty(logits, x) for x in (real, fake))
        return confusion, discrimination + penalty * smoothness

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(7)]
        own, images = params["encoder"], batch["images"][0]
        encode = functools.partial(encoder.apply, own["encoder"], state["encoder"], train=True)
        dropout = jax.random.split(keys[_DROPOUT])
        taps, stats = encode(images, rng=dropout[0])
        features = contracts.probed(taps)
        if occlusion:
            occluded = augment.occlude(keys[_OCCLUSION], images, block=occlusion)
            hidden, _ = encode(occluded, rng=dropout[1])
            taps |= {name: hidden[name] for name in ("y", "globals") if name in hidden}
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

    def scores(params, state, views):
        own = params["encoder"]
        taps, _ = encoder.apply(own["encoder"], state["encoder"], views[0], train=False)
        return {
            name: _all_pairs(critic, own[name], state[name], _globals(name, taps), shape(taps[tap]))
            for name, (_, critic, tap, shape) in critics.items()
        }

    return contracts.Method(init, loss, pure.represent(encoder), scores=scores)


def _all_pairs(critic: pure.Critic, params, stats, anchors, candidates) -> jax.Array:
    """Evaluation-mode scores of anchors f[n,b,d], several of an image as one more location."""
    rows = anchors.reshape(-1, anchors.shape[-1])
    scores, _ = critic.all_pairs(params, stats, rows, candidates, train=False)
    scores = scores.reshape(*anchors.shape[:2], *scores.shape[1:])
    return jnp.moveaxis(scores, 1, 2)


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


def _check_globals(taps: contracts.Taps, gamma, tasks, sampled_globals) -> None:
    if "globals" not in taps:
        if sampled_globals:
            raise contracts.UserError(
                f"sampled_globals is {sampled_globals} and the encoder has one global per image; "
                "set method.sampled_globals to none or choose an encoder with several globals"
            )
        return
    unfit = {**({"gamma": gamma} if gamma else {}), **tasks}
    if unfit:
        weights = ", ".join(f"{name}={weight}" for name, weight in unfit.items())
        raise contracts.UserError(
            f"the encoder has {_globals('local', taps).shape[1]} globals per image and {weights} "
            f"needs a single vector; set {'=0, '.join(unfit)}=0 or choose an encoder with one "
            "global"
        )
