"""BiGAN, a baseline of Deep InfoMax: row BiGAN of Tables 1, 2 and 4 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/bigan.py:data=cifar10,budget=cpu

Words: posterior=deterministic | gaussian (ALI); prior=gaussian | uniform; data=cifar10 | cifar100 |
tiny_imagenet | stl10; budget=paper | long | cpu | smoke. A discriminator tells (image, its code)
from (generated image, code of the prior); encoder and generator learn to confuse it. With
prior=uniform the code is sigmoid(y).

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published for
CIFAR-10 after 1000 epochs: 62.57/62.74/52.54. `inversion` tells whether encoder and generator
invert each other, which takes longer to learn than the images' colours. Measured on CIFAR-10: only
3 epochs of a quarter of the encoder's channels and 16 codes. The mean cosine of E(G(z)) and z is
0.20 (chance 0.00), the squared error of G(E(x)) 0.46 (against other images 0.59), an MLP on y has
36.9 % (untrained 28.7 %), below raw pixels.
"""

from configs import common
from configs.common import baselines

# Hjelm et al. 2019, Tables 1 and 2, columns conv, fc and y, and column SS of Table 2.
PUBLISHED = {
    "cifar10": dict(conv=62.57, fc=62.74, y=52.54),
    "cifar100": dict(conv=37.59, fc=33.34, y=21.49),
    "tiny_imagenet": dict(conv=24.38, fc=20.21, y=13.06),
    "stl10": dict(conv=71.53, fc=67.18, y=58.48),
}
PUBLISHED_FINETUNED = {"stl10": dict(conv=74.77)}
# The discriminator in smaller budgets: ours.
CPU = dict(width=32, features=128, widths=(256, 64))
SMOKE = dict(width=4, features=16, widths=(16, 8))


def get_config(argument: str = ""):
    words = baselines.parse(
        argument, posterior=("deterministic", "gaussian"), prior=("gaussian", "uniform")
    )
    gaussian = words["prior"] == "gaussian"
    # The paper's row is the deterministic form; its prior is not printed, a normal one is the
    # official framework's.
    published = words["posterior"] == "deterministic" and gaussian
    method = dict(
        name="bigan",
        encoder=baselines.encoder(words),
        generator=baselines.decoder(words),
        # Official framework, models/ali.py; its width is that of the encoder.
        discriminator=dict(name="joint_discriminator", width=64, features=256, widths=(512, 128)),
        prior=dict(name=words["prior"]),
        # Not printed; ours. With 0.5 the discriminator is right for 65 to 90 % of the pairs of
        # CIFAR-10, so that it leaves a gradient; no other weight was tried there.
        penalty=0.5,
        posterior=words["posterior"],
    )
    inversion = dict(inversion=dict(name="inversion"))
    return baselines.config(
        words,
        method=method,
        players=("encoder", "discriminator"),
        published=PUBLISHED if published else {},
        published_finetuned=PUBLISHED_FINETUNED if published else {},
        evals=baselines.GENERATIVE | inversion | (common.GAUSSIAN if gaussian else {}),
        short_rate=5e-4,  # ours; one epoch at 2e-4 recovered no codes
        long=common.under("method.method.discriminator", CPU),
        cpu=common.under("method.method.discriminator", CPU),
        smoke=common.under("method.method.discriminator", SMOKE),
    )
