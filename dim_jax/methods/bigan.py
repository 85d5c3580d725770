"""Bidirectional GAN (BiGAN) and, with a sampled posterior, adversarially learned inference (ALI).

Pairs (image, code) come from two sources: an image of the data with its code E(x), and a sample z
of the prior with the generated image G(z). A discriminator T is trained to distinguish the sources;
encoder and generator, one player, are trained to make them indistinguishable.

    discriminator:          minimise mean softplus(-T(x, E(x))) + mean softplus(T(G(z), z))
                                + penalty * mean |d T(x, E(x)) / d (x, E(x))|^2
    encoder and generator:  minimise mean softplus(T(x, E(x))) + mean softplus(-T(G(z), z))

If the two sources cannot be distinguished, E and G invert each other; no pixels are compared.

Players: `encoder` (encoder, generator and the layer of log standard deviations) and
`discriminator`.

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

# Purposes of the random keys of a step.
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
        statistics, which the gradient penalty does not allow.
      prior: a `priors.Prior` of z; its squashing maps y to the support: E(x) = squash(y).
      penalty: weight of the discriminator's gradient penalty at the pairs of the data, with respect
        to image and code together.
      posterior: "deterministic" (BiGAN), or "gaussian" (ALI): in training E(x) is
        squash(y + exp(s) * noise), s f[n,d] an affine layer on the tap fc. y is the mean.

    Metrics: "encoded/score", "generated/score": mean logit of the pairs of the data and of those
    of the prior. "discriminator/accuracy": fraction of both with a logit of the right sign; 0.5 is
    the equilibrium. "discriminator/penalty": without its weight.

    Raises:
      UserError: an unknown posterior; on initialisation, generated images of another size than the
        data's, or a discriminator with batch statistics.
    """
    if posterior not in ("deterministic", "gaussian"):
        raise contracts.unknown("posterior", posterior, ("deterministic", "gaussian"))
    stochastic = posterior == "gaussian"

    def init(rng, batch):
        rngs = jax.random.split(rng, 4)
        images = batch["images"][0]
        modules, state = {}, {}
        modules["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=False)
        codes = prior.squash(taps["y"])
        modules["generator"], state["generator"] = generator.init(rngs[1], codes)
        generated, _ = generator.apply(modules["generator"], state["generator"], codes, train=False)
        pure.check_images(generated, images, "generator")
        if stochastic:
            modules["spread"], _ = _log_deviation_layer(taps).init(rngs[2], taps["fc"])
        joint, stats = discriminator.init(rngs[3], images, codes)
        if stats:
            raise contracts.UserError(
                "the discriminator has batch statistics and its gradient penalty needs scores of "
                "single pairs; choose a discriminator without batch norm"
            )
        return {"encoder": modules, "discriminator": joint}, state

    def encode(modules, taps, rng):
        """E(x), which is random if the posterior is gaussian."""
        if not stochastic:
            return prior.squash(taps["y"])
        layer = _log_deviation_layer(taps)
        log_deviation, _ = layer.apply(modules["spread"], {}, taps["fc"], train=True)
        noise = jax.random.normal(rng, taps["y"].shape)
        return prior.squash(taps["y"] + jnp.exp(log_deviation) * noise)

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(3)]
        modules, images = params["encoder"], batch["images"][0]
        taps, stats = encoder.apply(
            modules["encoder"], state["encoder"], images, train=True, rng=keys[_DROPOUT]
        )
        z = prior.sample(keys[_PRIOR], taps["y"].shape)
        generated, generator_stats = generator.apply(
            modules["generator"], state["generator"], z, train=True
        )

        def score(pair):
            return discriminator.apply(params["discriminator"], {}, *pair, train=True)[0]

        encoded = images, encode(modules, taps, keys[_POSTERIOR])
        on_data, on_prior = score(encoded), score((generated, z))
        slopes = divergences.gradient_penalty(score, encoded)
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
            {"encoder": stats, "generator": generator_stats},
            contracts.probed(taps),
        )

    def decode(params, state, codes):
        weights = params["encoder"]["generator"]
        return generator.apply(weights, state["generator"], codes, train=False)[0]

    def infer(params, state, rng, images):
        modules = params["encoder"]
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=False)
        return encode(modules, taps, rng)

    generative = contracts.Generative(decode, prior.squash, draw=prior.sample)
    if stochastic:
        generative = generative._replace(infer=infer)
    return contracts.Method(init, loss, pure.represent(encoder), generative, per_example=True)


def _separation(high: jax.Array, low: jax.Array) -> jax.Array:
    """The loss that is minimised by scores `high` above 0 and scores `low` below 0."""
    return jnp.mean(divergences.gan_negative(low)) - jnp.mean(divergences.gan_positive(high))


def _log_deviation_layer(taps: contracts.Taps) -> pure.Net:
    return heads.affine(outputs=taps["y"].shape[-1])
