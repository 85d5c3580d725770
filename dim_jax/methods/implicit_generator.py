"""A generator by implicit prior matching: two Gaussians instead of a minimax game.

An encoder E maps an image to one number. Two discriminators match the numbers of real images to
N(a, 1), and those of generated images to N(b, 1); the generator moves the mean of its numbers to a:

    discriminator_real       minimise mean softplus(-D(r)) + mean softplus(D(E(x)))
    discriminator_generated  minimise mean softplus(-D'(s)) + mean softplus(D'(E(G(z))))
    encoder                  minimise mean softplus(-D(E(x))) + mean softplus(-D'(E(G(z))))
                                 + penalty * contraction
    generator                minimise (mean E(G(z)) - a)^2

with r of N(a, 1) and s of N(b, 1), and as contraction the mean squared norm of dE / dx, or half of
it, averaged over real and generated images.

The distance of the means bounds how far apart the encoder takes real and generated images, so that
a gradient is left for the generator. Generator and encoder have no common term with opposite signs:
only the encoder and its discriminators play a game, in one dimension.

Players: as above. All move in the same step, from the same parameters, unless the config gives them
turns (`every` and `offset` of a player's optimizer).

Source: Hjelm et al. 2019, Appendix A.8, equations 13 to 15.
Differs: the means, the weight of the penalty, the images at which it is taken, the discriminators
  and the order of updates are not published; those here are ours.
"""

import jax
import jax.numpy as jnp

from dim_jax import contracts, losses
from dim_jax.losses import generation, priors
from dim_jax.methods import gan
from dim_jax.nets import pure

# Purposes of the random keys of a step.
_PRIOR, _REAL, _GENERATED = range(3)


def make(
    *,
    encoder: pure.Net,
    generator: pure.Net,
    discriminator: pure.Net,
    prior: priors.Prior,
    dimensions: int,
    targets: tuple[float, float],
    penalty: float,
    convention: generation.Convention,
) -> contracts.Method:
    """The method of two Gaussians.

    Args:
      encoder: with a tap y f[n,1], E; without batch statistics.
      generator: codes f[n,d] -> images f[n,h,w,c].
      discriminator: f[n,1] -> logits f[n], `heads.discriminator`, of which there are two.
      prior: of the codes.
      dimensions: d.
      targets: (a, b), different; `generation.overlap` is what their
        distributions have in common.
      penalty: weight of the contractive penalty on the encoder.
      convention: "half" or "full" (`generation.contractive_penalty`).

    Metrics: "real/mean", "real/deviation", "generated/mean", "generated/deviation": of E over the
    batch. "encoder/penalty": without its weight. "discriminator/accuracy": fraction of right signs
    of both discriminators; 0.5 where both are matched.

    Raises:
      UserError: equal targets, an unknown convention; on initialisation as `gan.make`.
    """
    real_mean, generated_mean = targets
    if real_mean == generated_mean:
        raise contracts.UserError(
            f"the targets are both {real_mean:g}, so that the encoder tells no images apart and "
            "the generator learns nothing; set two different means, such as (1.0, -1.0)"
        )

    def init(rng, batch):
        rngs = jax.random.split(rng, 4)
        images = batch["images"][0]
        encoding, taps = gan.init_critic(encoder, rngs[0], images)
        made, stats = gan.init_generator(generator, rngs[1], images, dimensions)
        params = {
            "encoder": {"encoder": encoding},
            "discriminator_real": discriminator.init(rngs[2], taps["y"])[0],
            "discriminator_generated": discriminator.init(rngs[3], taps["y"])[0],
            "generator": made,
        }
        return params, {"encoder": {}, "generator": stats}

    def match(params, rng, mean: float, codes):
        """Losses of encoder and discriminator, and the discriminator's fraction of right signs."""
        wanted = mean + jax.random.normal(rng, codes.shape)
        on_wanted, on_codes = (
            discriminator.apply(params, {}, each, train=True)[0] for each in (wanted, codes)
        )
        right = (jnp.mean(on_wanted > 0) + jnp.mean(on_codes < 0)) / 2
        return *losses.adversarial_losses(on_wanted, on_codes), right

    def loss(params, state, batch, rng, step):
        del step
        keys = [jax.random.fold_in(rng, purpose) for purpose in range(3)]
        images = batch["images"][0]
        z = prior.sample(keys[_PRIOR], (len(images), dimensions))
        generated, stats = generator.apply(params["generator"], state["generator"], z, train=True)

        def taps_of(images):
            return encoder.apply(params["encoder"]["encoder"], {}, images, train=True)[0]

        def encode(images):
            return taps_of(images)["y"][:, 0]

        taps = taps_of(images)
        real, fake = taps["y"], taps_of(generated)["y"]
        of_real = match(params["discriminator_real"], keys[_REAL], real_mean, real)
        of_fake = match(params["discriminator_generated"], keys[_GENERATED], generated_mean, fake)
        slopes = [
            generation.contractive_penalty(encode, each, convention)
            for each in (images, jax.lax.stop_gradient(generated))
        ]
        slope = sum(slopes) / 2
        return contracts.Step(
            {
                "encoder": of_real[0] + of_fake[0] + penalty * slope,
                "discriminator_real": of_real[1],
                "discriminator_generated": of_fake[1],
                "generator": (jnp.mean(fake) - real_mean) ** 2,
            },
            {
                "real/mean": jnp.mean(real),
                "real/deviation": jnp.std(real),
                "generated/mean": jnp.mean(fake),
                "generated/deviation": jnp.std(fake),
                "encoder/penalty": slope,
                "discriminator/accuracy": (of_real[2] + of_fake[2]) / 2,
            },
            {"encoder": {}, "generator": stats},
            contracts.probed(taps),
        )

    generative = contracts.Generative(
        gan.decoder(generator), draw=prior.sample, width=dimensions, targets=tuple(targets)
    )
    notes = (
        f"Targets: N({real_mean:g}, 1) of real and N({generated_mean:g}, 1) of generated images, "
        f"which have {generation.overlap(targets):.3g} of their mass in common.",
        *((generation.penalty_note(penalty, convention),) if penalty else ()),
    )
    return contracts.Method(init, loss, pure.represent(encoder), generative, notes=notes)
