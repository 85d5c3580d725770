"""Generative adversarial networks: non-saturating, least-squares and Wasserstein.

A critic T scores images of the data and of a generator G; the generator learns to raise the scores
of its images (`losses.generation.generation_losses`). The critic is regularised by one of

    contractive  penalty * (mean |dT(x) / dx|^2 of data, or half of it)          NS-GAN-CP
    lipschitz    penalty * mean (|dT(u) / du| - 1)^2 of points u between         WGAN-GP
                 images of the data and generated ones

Players: `encoder`, the critic, whose score is the tap y, and `generator`. Steps of the critic for
each of the generator are the `every` of the player `generator`; both move in the same step,
from the same parameters.

Source: Goodfellow et al. 2014; Mescheder et al. 2018; Gulrajani et al. 2017; Mao et al. 2017.
Differs: in the published algorithms the generator moves after the critic.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.bounds import divergences
from dim_jax.losses import generation, priors
from dim_jax.nets import pure

Regulariser = Literal["none", "contractive", "lipschitz"]

# Purposes of the random keys of a step.
_PRIOR, _BETWEEN = range(2)


def make(
    *,
    encoder: pure.Net,
    generator: pure.Net,
    prior: priors.Prior,
    dimensions: int,
    objective: generation.Objective,
    regulariser: Regulariser,
    penalty: float,
    convention: generation.Convention,
) -> contracts.Method:
    """The GAN.

    Args:
      encoder: the critic, with a tap y f[n,1], the score; without batch statistics, as a gradient
        penalty needs scores of single images.
      generator: codes f[n,d] -> images f[n,h,w,c].
      prior: of the codes.
      dimensions: d.
      objective: "non_saturating", "least_squares" or "wasserstein".
      regulariser: "none", "contractive" or "lipschitz".
      penalty: its weight.
      convention: "half" or "full", of the contractive regulariser alone.

    Metrics: "real/score", "generated/score": mean scores. "encoder/penalty": the regulariser
    without its weight; of "lipschitz" also "encoder/slope", the largest slope at the points.

    Raises:
      UserError: an unknown objective, regulariser or convention, or a Wasserstein critic that
        nothing constrains; on initialisation, generated images of another size than the data's,
        scores of another width than 1, or a critic with batch statistics.
    """
    if regulariser not in get_args(Regulariser):
        raise contracts.unknown("regulariser", regulariser, get_args(Regulariser))
    if objective == "wasserstein" and (regulariser != "lipschitz" or not penalty):
        raise contracts.UserError(
            f"the objective is wasserstein, the regulariser '{regulariser}' and its weight "
            f"{penalty:g}, so that nothing bounds the critic's scores; set regulariser='lipschitz' "
            "and penalty=10"
        )

    notes = (generation.penalty_note(penalty, convention),) if regulariser == "contractive" else ()

    def init(rng, batch):
        rngs = jax.random.split(rng, 2)
        images = batch["images"][0]
        critic, _ = init_critic(encoder, rngs[0], images)
        made, stats = init_generator(generator, rngs[1], images, dimensions)
        params = {"encoder": {"encoder": critic}, "generator": made}
        return params, {"encoder": {}, "generator": stats}

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(2)]
        images = batch["images"][0]
        codes = prior.sample(keys[_PRIOR], (len(images), dimensions))
        generated, stats = generator.apply(
            params["generator"], state["generator"], codes, train=True
        )

        def taps_of(images):
            return encoder.apply(params["encoder"]["encoder"], {}, images, train=True)[0]

        def score(images):
            return taps_of(images)["y"][:, 0]

        taps = taps_of(images)
        real, fake = taps["y"][:, 0], score(generated)
        confusion, discrimination = generation.generation_losses(objective, real, fake)
        metrics = {"real/score": jnp.mean(real), "generated/score": jnp.mean(fake)}
        if regulariser == "contractive":
            excess = generation.contractive_penalty(score, images, convention)
        elif regulariser == "lipschitz":
            points = divergences.between(keys[_BETWEEN], images, jax.lax.stop_gradient(generated))
            excess, metrics["encoder/slope"] = divergences.lipschitz_penalty(
                score, points, sided="two"
            )
        if regulariser != "none":
            metrics["encoder/penalty"] = excess
            discrimination += penalty * excess
        return contracts.Step(
            {"encoder": discrimination, "generator": confusion},
            metrics,
            {"encoder": {}, "generator": stats},
            contracts.probed(taps),
        )

    return contracts.Method(
        init,
        loss,
        pure.represent(encoder),
        contracts.Generative(decoder(generator), draw=prior.sample, width=dimensions),
        per_example=True,
        notes=notes,
    )


def init_critic(encoder: pure.Net, rng: jax.Array, images: jax.Array) -> tuple:
    """(parameters, taps) of a network that scores images f[n,h,w,c] by its tap y f[n,1].

    Raises:
      UserError: a network with batch statistics, or with another width of y.
    """
    params, stats = encoder.init(rng, images)
    if stats:
        raise contracts.UserError(
            "the encoder has batch statistics and its gradient penalty needs scores of single "
            "images; choose a network without batch norm, such as resnet_critic"
        )
    taps, _ = encoder.apply(params, {}, images, train=False)
    if (width := taps["y"].shape[-1]) != 1:
        raise contracts.UserError(
            f"the tap y of the encoder has the width {width} and is to be the score of an image; "
            "choose a network with one output, such as resnet_critic"
        )
    return params, taps


def init_generator(
    generator: pure.Net, rng: jax.Array, images: jax.Array, dimensions: int
) -> tuple:
    """(parameters, statistics) of a generator of images like f[n,h,w,c] from codes of a width.

    Raises:
      UserError: generated images of another size.
    """
    codes = jnp.zeros((len(images), dimensions))
    params, stats = generator.init(rng, codes)
    generated, _ = generator.apply(params, stats, codes, train=False)
    pure.check_images(generated, images, "generator")
    return params, stats


def decoder(generator: pure.Net):
    """`decode` of `contracts.Generative` for the player `generator`."""

    def decode(params, state, codes):
        return generator.apply(params["generator"], state["generator"], codes, train=False)[0]

    return decode
