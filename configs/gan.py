"""GANs, to which the generator of two Gaussians is compared (Hjelm et al. 2019, Table 11).

    python -m dim_jax.main --config configs/gan.py:ns_gan_cp,data=mnist,budget=cpu

Words: method=ns_gan_cp | wgan_gp | ls_gan | proxy; data=mnist | cifar10 | imagenette |
tiny_imagenet | celeb_a | lsun; penalty=paper | released; nets=auto | resnet | dcgan;
evaluated=last | average (of the generator's parameters over steps); budget=paper | cpu | smoke.

ns_gan_cp is the non-saturating GAN with a contractive penalty on data: 10 times half the mean
squared slope, as the paper of the penalty has it, or 10 times all of it, as its released code.
wgan_gp has a penalty between data and generated images and five steps of the critic for each of the
generator. ls_gan has the losses of least squares with the contractive penalty, proxy the
non-saturating losses without a penalty (Figure 15). MNIST is padded to 32 pixels; LSUN is its
bedrooms. Networks are the residual ones of WGAN-GP, in smaller budgets those of DCGAN.

Metric: Frechet distance and Inception score (`evals.fid`), which need a network:
--config.evals.fid.weights=FILE of the Inception network, or --config.evals.fid.encoder=RUN of
configs/supervised.py on the same data. Published for Tiny ImageNet, with Inception: NS-GAN-CP 8.65
and 40.17, WGAN-GP 8.41 and 42.30.
"""

from configs import common
from configs.common import generators

METHODS = ("ns_gan_cp", "wgan_gp", "ls_gan", "proxy")
_LOSSES = {
    "ns_gan_cp": dict(objective="non_saturating", regulariser="contractive"),
    "wgan_gp": dict(objective="wasserstein", regulariser="lipschitz"),
    "ls_gan": dict(objective="least_squares", regulariser="contractive"),
    "proxy": dict(objective="non_saturating", regulariser="none"),
}
_GENERATOR_STEPS = 200_000  # Gulrajani et al. 2017, released code


def get_config(argument: str = ""):
    words = generators.parse(argument, method=METHODS)
    kind = words["method"]
    wasserstein = kind == "wgan_gp"
    every = 5 if wasserstein else 1  # Gulrajani et al. 2017
    method = dict(
        name="gan",
        **generators.networks(words, norm="layer" if wasserstein else "none"),
        **_LOSSES[kind],
        penalty=10.0,  # Mescheder et al. 2018; Gulrajani et al. 2017
        convention=generators.CONVENTIONS[words["penalty"]],
    )
    # Gulrajani et al. 2017; of the others the rates are not published here: ours.
    adam = common.adam(1e-4, b1=0.0 if wasserstein else 0.5, b2=0.9 if wasserstein else 0.999)
    short = 5e-4 if wasserstein else 2e-4  # ours; at 2e-4 WGAN-GP, with few steps, is behind
    return generators.config(
        words,
        method=method,
        players=dict(encoder=adam, generator=adam | dict(every=every)),
        row=kind,
        steps=_GENERATOR_STEPS * every,
        cpu={"players.encoder.learning_rate": short, "players.generator.learning_rate": short},
    )
