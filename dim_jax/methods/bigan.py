"""Bidirectional GAN (BiGAN) and, with a posterior that is sampled, adversarially learned inference.

Pairs (image, code) come from two sides: an image of the data with its code E(x), and a code z of
the prior with the image G(z) that a generator makes of it. A discriminator T tells the sides
apart; encoder and generator, one player, learn to be taken for each other.

    discriminator:          minimise mean softplus(-T(x, E(x))) + mean softplus(T(G(z), z))
                                + penalty * mean |d T(x, E(x)) / d (x, E(x))|^2
    encoder and generator:  minimise mean softplus(T(x, E(x))) + mean softplus(-T(G(z), z))

Where the two sides cannot be told apart, E and G invert each other; no pixels are compared.

Players: `encoder` (the encoder, the generator and the layer of deviations) and `discriminator`.

Source: Donahue et al. 2017 (BiGAN); Dumoulin et al. 2017 (ALI); Hjelm et al. 2019, Tables 1, 2 and
  4; the official framework of DIM, models/ali.py.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.bounds import divergences
from dim_jax.losses import priors
from dim_jax.nets import heads, pure

Posterior = Literal["deterministic", "gaussian"]

# What the random numbers of one step are for.
_DROPOUT, _PRIOR, _POSTERIOR = range(3)


def make(
    *,
    encoder: pure.Net,
    generator: pure.Net,
    discriminator: pure.Net,
    prior: priors.Prior,
    penalty: float,
    posterior: Posterior,
) -> contracts.Method:
    """The BiGAN method.

    Args:
      generator: codes f[n,d] -> images f[n,h,w,c], those of `heads.decoder`.
      discriminator: (images, codes) -> logits f[n], `heads.joint_discriminator`; without batch
        statistics, which the penalty does not bear.
      prior: a `priors.Prior` of z; its squashing brings y onto the support: E(x) = squash(y).
      penalty: weight of the discriminator's gradient penalty at the pairs of the data, by image
        and code together.
      posterior: "deterministic" (BiGAN), or "gaussian" (ALI): in training E(x) is
        squash(y + exp(s) * noise), s f[n,d] an affine layer on the tap fc. y is the mean.

    Metrics: "encoded/score", "generated/score": mean logit of the pairs of the data and of those
    of the prior. "discriminator/accuracy": how many of both are on the right side of 0; 0.5 is
    the equilibrium. "discriminator/penalty": before its weight.

    Raises:
      UserError: an unknown posterior; when initialised, images of another size than the data's.
    """
    if posterior not in ("deterministic", "gaussian"):
        raise contracts.unknown("posterior", posterior, ("deterministic", "gaussian"))
    stochastic = posterior == "gaussian"

    def init(rng, batch):
        rngs = jax.random.split(rng, 4)
        images = batch["images"][0]
        own, state = {}, {}
        own["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(own["encoder"], state["encoder"], images, train=False)
        codes = prior.squash(taps["y"])
        own["generator"], state["generator"] = generator.init(rngs[1], codes)
        made, _ = generator.apply(own["generator"], state["generator"], codes, train=False)
        heads.check_images(made, images, "generator")
        if stochastic:
            own["spread"], _ = _spread(taps).init(rngs[2], taps["fc"])
        joint, stats = discriminator.init(rngs[3], images, codes)
        if stats:
            raise contracts.UserError(
                "the discriminator has batch statistics and its gradient penalty needs the score "
                "of one pair alone; choose a discriminator without batch norm"
            )
        return {"encoder": own, "discriminator": joint}, state

    def encoded(own, taps, rng):
        """E(x), which is drawn where the posterior is gaussian."""
        if not stochastic:
            return prior.squash(taps["y"])
        spread, _ = _spread(taps).apply(own["spread"], {}, taps["fc"], train=True)
        noise = jax.random.normal(rng, taps["y"].shape)
        return prior.squash(taps["y"] + jnp.exp(spread) * noise)

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(3)]
        own, images = params["encoder"], batch["images"][0]
        taps, stats = encoder.apply(
            own["encoder"], state["encoder"], images, train=True, rng=keys[_DROPOUT]
        )
        z = prior.sample(keys[_PRIOR], taps["y"].shape)
        made, made_stats = generator.apply(own["generator"], state["generator"], z, train=True)

        def score(pair):
            return discriminator.apply(params["discriminator"], {}, *pair, train=True)[0]

        of_data = images, encoded(own, taps, keys[_POSTERIOR])
        on_data, on_prior = score(of_data), score((made, z))
        slopes = divergences.gradient_penalty(score, of_data)
        right = jnp.mean(on_data > 0) + jnp.mean(on_prior < 0)
        return contracts.Step(
            {
                "encoder": _separation(on_prior, on_data),
                "discriminator": _separation(on_data, on_prior) + penalty * slopes,
            },
            {
                "encoded/score": jnp.mean(on_data),
                "generated/score": jnp.mean(on_prior),
                "discriminator/accuracy": right / 2,
                "discriminator/penalty": slopes,
            },
            {"encoder": stats, "generator": made_stats},
            contracts.probed(taps),
        )

    def decode(params, state, codes):
        own = params["encoder"]["generator"]
        return generator.apply(own, state["generator"], codes, train=False)[0]

    def infer(params, state, rng, images):
        own = params["encoder"]
        taps, _ = encoder.apply(own["encoder"], state["encoder"], images, train=False)
        return encoded(own, taps, rng)

    generative = contracts.Generative(decode, prior.squash, draw=prior.sample)
    if stochastic:
        generative = generative._replace(infer=infer)
    return contracts.Method(init, loss, pure.represent(encoder), generative, per_example=True)


def _separation(high: jax.Array, low: jax.Array) -> jax.Array:
    """The loss of whoever wants the scores `high` above 0 and those `low` below it."""
    return jnp.mean(divergences.gan_negative(low)) - jnp.mean(divergences.gan_positive(high))


def _spread(taps: contracts.Taps) -> pure.Net:
    """The layer of log deviations."""
    return heads.affine(outputs=taps["y"].shape[-1])
