"""Deep InfoMax (DIM): global and local mutual information maximisation with prior matching.

    maximise alpha * I(y; map) + beta * mean_l I(y; local_l), and match y to a prior with gamma

Players: `encoder` (the encoder, its critics and heads) and, with a prior, `discriminator`, unless
the prior is matched by a statistic. DIM(G) is alpha=1, beta=0, gamma=1; DIM(L) is alpha=0, beta=1,
gamma=0.1.

An encoder with the tap "globals" f[n,g,g,d] has several globals: in the local term each of them
predicts all local features of its image, with one shared critic.

Source: Hjelm et al. 2019, Eq. 8 and section 4.2; official DIM code, functions/dim_losses.py,
  models/dim.py, prior_matching.py.
Differs: same-image candidates are removed from the negatives, not filled with a constant; the
gradient penalty has its nominal weight, which the newest official code divides by the batch size.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import augment, bounds, contracts, losses
from dim_jax.bounds import divergences
from dim_jax.losses import priors, score_blocks, score_metrics
from dim_jax.nets import pure

# Purposes of the random keys of a step.
_PRIOR, _OCCLUSION, _LOCATIONS, _NEGATIVES, _SOURCES, _DROPOUT, _GLOBALS = range(7)


def _flatten(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1)


def _keep(features: jax.Array) -> jax.Array:
    return features


def _flatten_map(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1, features.shape[-1])


def _globals(name: str, taps: contracts.Taps) -> jax.Array:
    """The anchors f[n, b, d] of a term: all globals of an image for the local term, else y."""
    if name == "local" and "globals" in taps:
        return _flatten_map(taps["globals"])
    return taps["y"][:, None]


def _sample(features: jax.Array, count: int, rng: jax.Array) -> jax.Array:
    """`count` of each image's features f[n, l, c] as f[n, count, c], drawn with replacement."""
    places = jax.random.randint(rng, (len(features), count), 0, features.shape[1])
    return jnp.take_along_axis(features, places[:, :, None], axis=1)


def _estimate(bound, scores: jax.Array, positives: np.ndarray, negatives: int | None, rng):
    """The bound of scores f[n * b, n, *l], whose anchors are the b globals of each image."""
    if not negatives:
        return bound(scores, positives)
    by_global = scores.reshape(scores.shape[1], -1, *scores.shape[1:])
    count = by_global.shape[1]
    rngs = jax.random.split(rng, count) if count > 1 else rng[None]

    def estimate_one(scores, rng):
        return bounds.with_fewer_negatives(bound, scores, negatives, rng)

    return jax.vmap(estimate_one, in_axes=(1, 0))(by_global, rngs).mean()


def make(
    *,
    encoder: pure.Net,
    bound: Callable[..., jax.Array],
    alpha: float,
    beta: float,
    gamma: float,
    global_critic: pure.Critic | None,
    local_critic: pure.Critic | None,
    prior: priors.Prior | None,
    discriminator: pure.Net | None,
    penalty: float,
    occlusion: bool | None = None,
    sampled_locations: int | None = None,
    sampled_globals: int | None = None,
    negatives: int | None = None,
    block: int | None = None,
    absolute: float = 0.0,
    relative: float = 0.0,
    coordinates: Callable[[int], pure.Net] | None = None,
) -> contracts.Method:
    """The DIM method.

    Args:
      bound: (scores f[n,n,*l], positives i[n]) -> f32[], maximised; the same for the global and
        the local term. With b globals, scores are f[n*b,n,*l] and are averaged as one batch; a
        bound that compares the anchors of a candidate is not meaningful then.
      alpha, beta, gamma: weights of the global term, the local term and the prior term. A term
        with weight 0 is omitted, and its critic or discriminator may be None.
      global_critic: of y and the flattened map `conv`; one of maps (`tail_critics`) gets the map
        `local` in its place, as in the official code.
      prior: a `priors.Prior`; its squashing is applied only in the prior term. With a `distance`
        the encoder minimises gamma * distance(y), and `discriminator` may be None.
      penalty: weight of the discriminator's gradient penalty (half on prior samples, half on
        representations).
      occlusion: y is computed from the image with a random rectangle occluded, the features that
        it predicts from the intact image (`augment.occlude`, on the grid of the encoder's
        `fields`). Batch statistics are those of the intact images, which evaluations use too.
      sampled_locations: number of local features per image and step, drawn with replacement; None =
        all of them.
      sampled_globals: number of globals per image and step, likewise; None = all of them, as in
        the official code. In the paper they are drawn.
      negatives: number of negatives per positive (`bounds.with_fewer_negatives`); None = all.
      block: number of images whose features are scored at a time, in the forward and again in the
        backward pass (`score_blocks`), for scores that do not fit: value and gradient are the same.
        0 = all at once; None = all at once up to 64 MiB on a device of scores, or of what the
        critic stores of each pair, and blocks of 4 MiB above, where bound and critic have that
        form and `negatives` is None.
      absolute, relative: weights of the coordinate tasks: predict the row and column of a local
        feature from y and this feature; predict the offset of two local features from y and both,
        one of which is the same for the entire image. Like the prior term they need one vector per
        image, so they exclude several globals; the global term uses y, which is then the
        concatenation of all globals.
      coordinates: `heads.coordinates`, needed by these two.

    Metrics: "global/bound", "local/bound": the value that is maximised. "*/nats": a lower bound of
    the mutual information, capped at log(batch), from the same scores. "*/score_joint",
    "*/score_product": mean scores of pairs from the joint and from the product of marginals.
    "prior/confusion": the encoder's prior loss; of a prior with a distance its metrics instead,
    such as "prior/sigreg" and "prior/sigreg_level". "absolute/accuracy", "relative/accuracy":
    fraction with both coordinates right.
    """
    critics = {}
    if alpha:
        is_of_maps = global_critic is not None and global_critic.axes > 1
        read = ("local", _keep) if is_of_maps else ("conv", _flatten)
        critics["global"] = (alpha, global_critic, *read)
    if beta:
        critics["local"] = (beta, local_critic, "local", _flatten_map)
    tasks = {name: w for name, w in (("absolute", absolute), ("relative", relative)) if w}
    _check(critics, gamma, prior, discriminator, tasks, coordinates)
    if block:
        _check_block(block, bound, critics, negatives)
    sampled = dict(sampled_locations=sampled_locations, sampled_globals=sampled_globals)
    occluder = _occluder(encoder) if occlusion else None

    def init(rng, batch):
        rngs = jax.random.split(rng, 6)
        images = batch["images"][0]
        modules, state = {}, {}
        modules["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=False)
        _check_globals(taps, gamma, tasks, sampled_globals)
        _check_sampled(taps, sampled)
        for index, (name, (_, critic, tap, shape)) in enumerate(critics.items()):
            anchors = _globals(name, taps)[:, 0]
            modules[name], state[name] = critic.init(rngs[1 + index], anchors, shape(taps[tap]))
        for index, name in enumerate(tasks):
            task = losses.coordinate_task(name, taps["y"], taps["local"], rng)
            head = coordinates(2 * task.classes)
            modules[name], state[name] = head.init(rngs[4 + index], task.inputs)
        params = {"encoder": modules}
        if gamma and not prior.distance:
            params["discriminator"], _ = discriminator.init(rngs[3], taps["y"])
        return params, state

    def information_terms(modules, state, taps, keys):
        total, metrics, stats = 0.0, {}, {}
        for index, (name, (weight, critic, tap, shape)) in enumerate(critics.items()):
            anchors, candidates = _globals(name, taps), shape(taps[tap])
            if name == "local" and sampled_locations:
                candidates = _sample(candidates, sampled_locations, keys[_LOCATIONS])
            if name == "local" and sampled_globals:
                anchors = _sample(anchors, sampled_globals, keys[_GLOBALS])
            positives = np.repeat(np.arange(len(anchors)), anchors.shape[1])
            anchors = anchors.reshape(-1, anchors.shape[-1])
            images = block
            if block is None and not _missing(bound, critic, negatives):
                size = dict(axes=critic.axes, numbers=critic.numbers)
                images = score_blocks.images_per_block(len(anchors), candidates, **size)
            value, found, stats[name] = information(
                *(name, bound, critic, modules[name], state[name]),
                *(anchors, candidates, positives),
                **dict(images=images, negatives=negatives),
                rng=jax.random.fold_in(keys[_NEGATIVES], index),
            )
            total += weight * value
            metrics |= {f"{name}/bound": value, **found}
        return total, metrics, stats

    def coordinate_terms(modules, state, taps, keys):
        total, metrics, stats = 0.0, {}, {}
        for name, weight in tasks.items():
            task = losses.coordinate_task(name, taps["y"], taps["local"], keys[_SOURCES])
            logits, stats[name] = coordinates(2 * task.classes).apply(
                modules[name], state[name], task.inputs, train=True
            )
            value, metrics[f"{name}/accuracy"] = losses.coordinate_loss(logits, task.targets)
            total += weight * value
        return total, metrics, stats

    def prior_terms(params, y, rng):
        """(loss of the encoder, those of other players, metrics)."""
        if prior.distance:
            value, measures = prior.distance(y, rng)
            return value, {}, {f"prior/{name}": each for name, each in measures.items()}

        def logits(codes):
            return discriminator.apply(params["discriminator"], {}, codes, train=True)[0]

        real, fake = prior.sample(rng, y.shape), prior.squash(y)
        confusion, discrimination = losses.adversarial_losses(logits(real), logits(fake))
        smoothness = 0.5 * sum(divergences.gradient_penalty(logits, x) for x in (real, fake))
        others = {"discriminator": discrimination + penalty * smoothness}
        return confusion, others, {"prior/confusion": confusion}

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(7)]
        modules, images = params["encoder"], batch["images"][0]
        encode = functools.partial(encoder.apply, modules["encoder"], state["encoder"], train=True)
        dropout = jax.random.split(keys[_DROPOUT])
        taps, stats = encode(images, rng=dropout[0])
        features = contracts.probed(taps)
        if occluder:
            occluded = occluder.occlude(keys[_OCCLUSION], images)
            occluded_taps, _ = encode(occluded, rng=dropout[1])
            taps |= {
                name: occluded_taps[name] for name in ("y", "globals") if name in occluded_taps
            }
        total, metrics, critic_stats = information_terms(modules, state, taps, keys)
        task_loss, task_metrics, task_stats = coordinate_terms(modules, state, taps, keys)
        player_losses = {"encoder": task_loss - total}
        metrics |= task_metrics
        if gamma:
            matching, others, prior_metrics = prior_terms(params, taps["y"], keys[_PRIOR])
            player_losses["encoder"] += gamma * matching
            player_losses |= others
            metrics |= prior_metrics
        new_state = {"encoder": stats, **critic_stats, **task_stats}
        return contracts.Step(player_losses, metrics, new_state, features)

    def scores(params, state, views):
        modules = params["encoder"]
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], views[0], train=False)
        return {
            name: _all_pairs(
                critic, modules[name], state[name], _globals(name, taps), shape(taps[tap])
            )
            for name, (_, critic, tap, shape) in critics.items()
        }

    represent = pure.represent(encoder)
    return contracts.Method(init, loss, represent, scores=scores, occlusion=occluder)


def information(
    name: str,
    bound: Callable[..., jax.Array],
    critic: pure.Critic,
    params: contracts.Tree,
    stats: contracts.Tree,
    anchors: jax.Array,
    candidates: jax.Array,
    positives: np.ndarray,
    *,
    images: int | None = None,
    negatives: int | None = None,
    rng: jax.Array | None = None,
) -> tuple[jax.Array, contracts.Scalars, contracts.Tree]:
    """(bound, metrics, batch statistics of the critic) of a term in training.

    Args:
      anchors: f[n,d], all of an image one after the other.
      candidates: f[m,*l,c].
      positives: i[n], the image of each anchor.
      images: how many candidates are scored at a time; 0 or None = all.
      negatives: `with_fewer_negatives`, drawn by `rng`; of all at a time only.
    """
    variables = (params, stats)
    if not images:
        scores, after = critic.all_pairs(*variables, anchors, candidates, train=True)
        value = _estimate(bound, scores, positives, negatives, rng)
        return value, score_metrics.compute(name, scores, positives), after
    (rows, columns), after = critic.sides(*variables, anchors, candidates, train=True)

    def score(variables, rows, columns):
        return critic.scores(*variables, rows, columns, train=True)[0]

    value, metrics = score_blocks.compute(
        name, bound, score, variables, rows, columns, positives, images
    )
    # What one pair changes in the statistics is what each block would change.
    pair = jax.tree.map(lambda x: x[:1], (rows, columns))
    _, after = critic.scores(params, after, *pair, train=True)
    return value, metrics, after


def _missing(bound, critic: pure.Critic, negatives: int | None) -> str:
    """The reason why scores cannot be computed in blocks, "" if they can."""
    if negatives:
        return f"method.negatives={negatives} draws from complete rows of scores"
    if score_blocks.formula_of(bound) is None:
        return "the bound takes a matrix of scores (`bounds.definition.bound` gives the other form)"
    return "" if critic.scores else "the critic has no functions `sides` and `scores`"


def _check_block(block: int, bound, critics, negatives) -> None:
    for _, critic, _, _ in critics.values():
        if missing := _missing(bound, critic, negatives):
            raise contracts.UserError(
                f"method.block is {block} and {missing}; set method.block to None, or change that"
            )


def _all_pairs(critic: pure.Critic, params, stats, anchors, candidates) -> jax.Array:
    """Evaluation-mode scores f[n,m,b,*l] of anchors f[n,b,d], b of each image."""
    rows = anchors.reshape(-1, anchors.shape[-1])
    scores, _ = critic.all_pairs(params, stats, rows, candidates, train=False)
    scores = scores.reshape(*anchors.shape[:2], *scores.shape[1:])
    return jnp.moveaxis(scores, 1, 2)


def _occluder(encoder: pure.Net) -> contracts.Occlusion:
    if encoder.fields is None:
        raise contracts.UserError(
            "method.occlusion is True and the encoder does not state which pixels its local "
            "features see (`fields` of its pure.Net); set method.occlusion to None or choose an "
            "encoder of convolutions, such as dcgan32"
        )

    def occlude(rng, images):
        return augment.occlude(rng, images, fields=encoder.fields(images.shape[1]))

    return contracts.Occlusion(occlude, encoder.fields)


def _check(critics, gamma, prior, discriminator, tasks, coordinates) -> None:
    if not (critics or gamma or tasks):
        raise contracts.UserError(
            "the weights alpha, beta, gamma, absolute and relative of the method 'dim' are all 0, "
            "so that nothing would be trained; set one of them to more than 0"
        )
    for name, (_, critic, _, _) in critics.items():
        if critic is None:
            raise contracts.UserError(
                f"the weight of the {name} term is not 0 and method.{name}_critic is None; set a "
                f"critic or {'alpha' if name == 'global' else 'beta'}=0"
            )
    if gamma and (prior is None or not (prior.distance or discriminator)):
        raise contracts.UserError(
            f"gamma is {gamma} and method.prior or method.discriminator is None; "
            "set both or gamma=0"
        )
    if tasks and coordinates is None:
        raise contracts.UserError(
            f"the weights of {' and '.join(tasks)} are not 0 and method.coordinates is None; set a "
            "head or both weights to 0"
        )


def _check_globals(taps: contracts.Taps, gamma, tasks, sampled_globals) -> None:
    if "globals" not in taps:
        if sampled_globals:
            raise contracts.UserError(
                f"sampled_globals is {sampled_globals} and the encoder has one global per image; "
                "set method.sampled_globals to None or choose an encoder with several globals"
            )
        return
    excluded = {**({"gamma": gamma} if gamma else {}), **tasks}
    if excluded:
        weights = ", ".join(f"{name}={weight}" for name, weight in excluded.items())
        raise contracts.UserError(
            f"the encoder has {_globals('local', taps).shape[1]} globals per image and {weights} "
            f"needs a single vector; set {'=0, '.join(excluded)}=0 or choose an encoder with one "
            "global"
        )


def _check_sampled(taps: contracts.Taps, counts: dict[str, int | None]) -> None:
    there = {
        "sampled_locations": _flatten_map(taps["local"]).shape[1],
        "sampled_globals": _globals("local", taps).shape[1],
    }
    for name, count in counts.items():
        if count and count > there[name]:
            raise contracts.UserError(
                f"method.{name} is {count:,} and an image has {there[name]} of them; set it to "
                f"{there[name]} or less, or to None for all"
            )
