"""Autoencoders: deterministic (AE), variational (VAE, beta-VAE) and adversarial (AAE).

    minimise reconstruction * sum of squared errors + beta * KL(q(z | x), N(0, 1))
                                                    + gamma * softplus(-D(z))

each the mean over images. The code z, the input of the decoder, is y itself (AE), a sample of the
posterior (VAE: y is its mean, and a second affine layer on the tap fc gives the log standard
deviations), or y mapped to the support of a prior, to which a discriminator D matches it (AAE).

Players: `encoder` (encoder, decoder and the layer of log standard deviations) and, with gamma,
`discriminator`.

Source: Kingma and Welling 2014; Higgins et al. 2017; Makhzani et al. 2015; the official framework
  of DIM, models/ae.py, vae.py, adversarial_autoencoder.py.
Differs: no; the layer that this framework calls "logvar" gives log standard deviations there too.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from dim_jax import contracts, losses
from dim_jax.bounds import divergences
from dim_jax.losses import priors
from dim_jax.nets import heads, pure

Posterior = Literal["deterministic", "gaussian"]


def make(
    *,
    encoder: pure.Net,
    decoder: pure.Net,
    reconstruction: float,
    posterior: Posterior,
    beta: float,
    gamma: float,
    prior: priors.Prior | None,
    discriminator: pure.Net | None,
    penalty: float,
) -> contracts.Method:
    """The autoencoder: AE with beta = gamma = 0, VAE with beta 1, AAE with gamma > 0.

    Args:
      reconstruction: weight of the squared error, which is summed over an image's pixels. It also
        sets the likelihood: pixels are normal with the decoded image as mean and the variance
        1 / (2 * reconstruction), so that the objective with beta 1 is the negative evidence lower
        bound up to a constant.
      posterior: "deterministic": the code is y. "gaussian": it is drawn around y, in training only.
      beta: weight of the KL divergence in nats, for a gaussian posterior only.
      gamma: weight of the adversarial term; with 0 prior and discriminator are not used.
      prior: a `priors.Prior` for gamma; its squashing is part of the code.
      penalty: weight of the discriminator's gradient penalty on samples of the prior.

    Metrics: "reconstruction/error": mean squared error per pixel in the units of the images.
    "rate": the KL divergence in nats. "prior/confusion": the encoder's adversarial loss.
    """
    _check(posterior, beta, gamma, prior, discriminator)
    stochastic = posterior == "gaussian"
    squash = prior.squash if gamma else lambda y: y

    def init(rng, batch):
        rngs = jax.random.split(rng, 4)
        images = batch["images"][0]
        modules, state = {}, {}
        modules["encoder"], state["encoder"] = encoder.init(rngs[0], images)
        taps, _ = encoder.apply(modules["encoder"], state["encoder"], images, train=False)
        modules["decoder"], state["decoder"] = decoder.init(rngs[1], taps["y"])
        decoded, _ = decoder.apply(modules["decoder"], state["decoder"], taps["y"], train=False)
        pure.check_images(decoded, images, "decoder")
        if stochastic:
            modules["deviation"], _ = _log_deviation_layer(taps).init(rngs[2], taps["fc"])
        params = {"encoder": modules}
        if gamma:
            params["discriminator"], _ = discriminator.init(rngs[3], taps["y"])
        return params, state

    def log_deviations(modules, taps):
        """The log standard deviations f[n,d] of the posterior."""
        layer = _log_deviation_layer(taps)
        return layer.apply(modules["deviation"], {}, taps["fc"], train=False)[0]

    def adversarial_terms(params, codes, rng):
        def logits(codes):
            return discriminator.apply(params, {}, codes, train=True)[0]

        real = prior.sample(rng, codes.shape)
        confusion, discrimination = losses.adversarial_losses(logits(real), logits(codes))
        return confusion, discrimination + penalty * divergences.gradient_penalty(logits, real)

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(3)]
        modules, images = params["encoder"], batch["images"][0]
        taps, stats = encoder.apply(
            modules["encoder"], state["encoder"], images, train=True, rng=keys[0]
        )
        codes, total, metrics = squash(taps["y"]), 0.0, {}
        if stochastic:
            log_deviation = log_deviations(modules, taps)
            noise = jax.random.normal(keys[1], codes.shape)
            codes = codes + jnp.exp(log_deviation) * noise
            metrics["rate"] = jnp.mean(losses.gaussian_kl(taps["y"], log_deviation))
            total += beta * metrics["rate"]
        decoded, decoder_stats = decoder.apply(
            modules["decoder"], state["decoder"], codes, train=True
        )
        error = jnp.mean(losses.squared_errors(decoded, images))
        metrics["reconstruction/error"] = error / images[0].size
        player_losses = {"encoder": total + reconstruction * error}
        if gamma:
            confusion, player_losses["discriminator"] = adversarial_terms(
                params["discriminator"], codes, keys[2]
            )
            player_losses["encoder"] += gamma * confusion
            metrics["prior/confusion"] = confusion
        features = contracts.probed(taps)
        new_state = {"encoder": stats, "decoder": decoder_stats}
        return contracts.Step(player_losses, metrics, new_state, features)

    def encode(params, state, images):
        modules = params["encoder"]
        return encoder.apply(modules["encoder"], state["encoder"], images, train=False)[0]

    def decode(params, state, codes):
        weights = params["encoder"]["decoder"]
        return decoder.apply(weights, state["decoder"], codes, train=False)[0]

    def log_weights(params, state, rng, images, count):
        taps = encode(params, state, images)
        mean, log_deviation = taps["y"], log_deviations(params["encoder"], taps)

        def weigh_one(rng):
            z = mean + jnp.exp(log_deviation) * jax.random.normal(rng, mean.shape)
            errors = losses.squared_errors(decode(params, state, z), images)
            likelihood = losses.image_log_density(errors, reconstruction, images[0].size)
            log_density = losses.gaussian_log_density
            return likelihood + log_density(z) - log_density(z, mean, log_deviation)

        return jax.lax.map(weigh_one, jax.random.split(rng, count))

    def infer(params, state, rng, images):
        taps = encode(params, state, images)
        deviation = jnp.exp(log_deviations(params["encoder"], taps))
        return taps["y"] + deviation * jax.random.normal(rng, taps["y"].shape)

    def rate(params, state, images):
        taps = encode(params, state, images)
        return losses.gaussian_kl(taps["y"], log_deviations(params["encoder"], taps))

    generative = contracts.Generative(decode, squash)
    if gamma:
        generative = generative._replace(draw=prior.sample)
    elif stochastic:
        generative = generative._replace(
            infer=infer, draw=priors.gaussian().sample, log_weights=log_weights, rate=rate
        )
    return contracts.Method(init, loss, pure.represent(encoder), generative, per_example=True)


def _log_deviation_layer(taps: contracts.Taps) -> pure.Net:
    return heads.affine(outputs=taps["y"].shape[-1])


def _check(posterior, beta, gamma, prior, discriminator) -> None:
    if posterior not in ("deterministic", "gaussian"):
        raise contracts.unknown("posterior", posterior, ("deterministic", "gaussian"))
    if beta and posterior == "deterministic":
        raise contracts.UserError(
            f"beta is {beta:g} and the KL divergence of a deterministic posterior is infinite; set "
            "beta=0 or posterior='gaussian'"
        )
    if gamma and posterior == "gaussian":
        raise contracts.UserError(
            f"gamma is {gamma:g} and the posterior is gaussian; only one of the two can match the "
            "codes to their prior: set gamma=0 or posterior='deterministic'"
        )
    if gamma and (prior is None or discriminator is None):
        raise contracts.UserError(
            f"gamma is {gamma:g} and the prior or the discriminator is None; set both or gamma=0"
        )
