"""Deep InfoMax: global and local mutual information maximisation with prior matching.

    maximise alpha * I(y; conv) + beta * mean_l I(y; local_l), and match y to a prior with gamma

Players: `encoder` (the encoder and its critics) and, with a prior, `discriminator`. DIM(G) is
alpha=1, beta=0, gamma=1; DIM(L) is alpha=0, beta=1, gamma=0.1.

Source: Hjelm et al. 2019, Eq. 8; official DIM code, functions/dim_losses.py, prior_matching.py.
Differs: same-image candidates are removed from the negatives, not filled with a constant;
the gradient penalty has its nominal weight, which the newest official code divides by the batch.
"""

import jax
import jax.numpy as jnp

from dim_jax import bounds, contracts, divergences
from dim_jax.nets import pure


def _flat(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1)


def _locations(features: jax.Array) -> jax.Array:
    return features.reshape(len(features), -1, features.shape[-1])


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
) -> contracts.Method:
    """The DIM method.

    Args:
      bound: scores f[n,n,*l] -> f32[], maximised; the same for the global and the local term.
      alpha, beta, gamma: weights of the global term, the local term and the prior term. A term
        with weight 0 is left out, and its critic or discriminator may be None.
      prior: a `priors.Prior`; its squashing is applied inside the prior term only.
      penalty: weight of the discriminator's gradient penalty (half on prior samples, half on
        representations).

    Metrics: "global/bound", "local/bound": what is maximised. "*/nats": a lower bound of the
    mutual information, capped at log(batch), from the same scores. "*/score_joint",
    "*/score_product": mean scores of joint and of product pairs. "prior/confusion": the
    encoder's prior loss.
    """
    critics = {}
    if alpha:
        critics["global"] = (alpha, global_critic, "conv", _flat)
    if beta:
        critics["local"] = (beta, local_critic, "local", _locations)
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

    def init(rng, batch):
        rngs = jax.random.split(rng, 4)
        images = batch["images"][0]
        own, state = {}, {}
        own["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(own["encoder"], state["encoder"], images, train=False)
        for index, (name, (_, critic, tap, shape)) in enumerate(critics.items()):
            own[name], state[name] = critic.init(rngs[1 + index], taps["y"], shape(taps[tap]))
        params = {"encoder": own}
        if gamma:
            params["discriminator"], _ = discriminator.init(rngs[3], taps["y"])
        return params, state

    def information(own, state, taps):
        total, metrics, stats = 0.0, {}, {}
        for name, (weight, critic, tap, shape) in critics.items():
            scores, stats[name] = critic.all_pairs(
                own[name], state[name], taps["y"], shape(taps[tap]), train=True
            )
            value = bound(scores)
            total += weight * value
            metrics |= {f"{name}/bound": value, **_score_metrics(name, scores)}
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
        own = params["encoder"]
        taps, stats = encoder.apply(
            own["encoder"], state["encoder"], batch["images"][0], train=True
        )
        total, metrics, critic_stats = information(own, state, taps)
        losses = {"encoder": -total}
        if gamma:
            confusion, losses["discriminator"] = prior_terms(
                params["discriminator"], taps["y"], rng
            )
            losses["encoder"] += gamma * confusion
            metrics["prior/confusion"] = confusion
        features = {name: taps[name] for name in contracts.PROBED_TAPS}
        return contracts.Step(losses, metrics, {"encoder": stats, **critic_stats}, features)

    def represent(params, state, images):
        taps, _ = encoder.apply(params["encoder"]["encoder"], state["encoder"], images, train=False)
        return {name: taps[name] for name in contracts.PROBED_TAPS}

    return contracts.Method(init, loss, represent)
