"""The adversarial autoencoder, a baseline of Deep InfoMax: row AAE of Tables 1, 2 and 4.

    python -m dim_jax.main --config configs/aae.py:data=cifar10,budget=cpu

Words: prior=gaussian | uniform; data=cifar10 | cifar100 | tiny_imagenet | stl10; budget=paper |
long | cpu | smoke. A discriminator tells codes from samples of the prior, and the encoder learns to
confuse it. With prior=uniform the code is sigmoid(y).

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published for
CIFAR-10 after 1000 epochs: 59.44/57.19/52.81.
"""

from configs import common
from configs.common import baselines, datasets

# Hjelm et al. 2019, Tables 1 and 2, columns conv, fc and y, and column SS of Table 2.
PUBLISHED = {
    "cifar10": dict(conv=59.44, fc=57.19, y=52.81),
    "cifar100": dict(conv=36.22, fc=33.38, y=23.25),
    "tiny_imagenet": dict(conv=18.04, fc=17.27, y=11.49),
    "stl10": dict(conv=59.54, fc=54.47, y=43.89),
}
PUBLISHED_FINETUNED = {"stl10": dict(conv=64.15)}


def get_config(argument: str = ""):
    words = baselines.parse(argument, prior=("gaussian", "uniform"))
    gaussian = words["prior"] == "gaussian"  # as published
    method = baselines.autoencoder(words) | dict(
        # Mean over pixels. The official framework divides by the batch size once more, which
        # leaves next to nothing of the error beside the adversarial term.
        reconstruction=1 / (3 * datasets.DATA[words["data"]].side ** 2),
        gamma=1.0,
        # Official framework, models/adversarial_autoencoder.py: network, penalty, Normal prior.
        prior=dict(name=words["prior"]),
        discriminator=dict(name="discriminator", widths=(200, 200)),
        penalty=0.5,
    )
    return baselines.config(
        words,
        method=method,
        players=("encoder", "discriminator"),
        published=PUBLISHED if gaussian else {},
        published_finetuned=PUBLISHED_FINETUNED if gaussian else {},
        evals=baselines.GENERATIVE | (common.GAUSSIAN if gaussian else {}),
        smoke={"method.method.discriminator.widths": (32, 32)},
    )
