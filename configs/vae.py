"""The variational autoencoder, a baseline of Deep InfoMax: rows VAE and beta-VAE of Tables 1 and 2.

    python -m dim_jax.main --config configs/vae.py:data=cifar10,budget=cpu
    python -m dim_jax.main --config configs/vae.py:beta_vae,data=cifar10,budget=cpu

Words: vae | beta_vae; data=cifar10 | cifar100 | tiny_imagenet | stl10; budget=paper | long | cpu |
smoke. The weight of the KL divergence is 1, or 0.5 for beta_vae: the tables do not print it.
--config.method.method.beta sets any other. y is the mean of the posterior.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published for
CIFAR-10 after 1000 epochs: VAE 60.71/60.54/54.61, beta-VAE 62.40/57.89/55.43.
"""

from configs import common
from configs.common import baselines

# Hjelm et al. 2019, Tables 1 and 2, columns conv, fc and y, and column SS of Table 2.
PUBLISHED = {
    "vae": {
        "cifar10": dict(conv=60.71, fc=60.54, y=54.61),
        "cifar100": dict(conv=37.21, fc=34.05, y=24.22),
        "tiny_imagenet": dict(conv=18.63, fc=16.88, y=11.93),
        "stl10": dict(conv=58.27, fc=56.72, y=46.47),
    },
    "beta_vae": {
        "cifar10": dict(conv=62.40, fc=57.89, y=55.43),
        "cifar100": dict(conv=32.28, fc=26.89, y=28.96),
        "tiny_imagenet": dict(conv=19.29, fc=16.77, y=12.43),
        "stl10": dict(conv=57.15, fc=55.14, y=46.87),
    },
}
PUBLISHED_FINETUNED = {
    "vae": {"stl10": dict(conv=68.65)},
    "beta_vae": {"stl10": dict(conv=70.53)},
}
# Not printed in the paper; 0.5 is from memory.
BETAS = {"vae": 1.0, "beta_vae": 0.5}
DIFFERS = {"vae": "", "beta_vae": "The weight of the KL divergence, 0.5, is from memory."}


def get_config(argument: str = ""):
    words = baselines.parse(argument, model=("vae", "beta_vae"))
    model = words["model"]
    return baselines.config(
        words,
        method=baselines.autoencoder(words) | dict(posterior="gaussian", beta=BETAS[model]),
        published=PUBLISHED[model],
        published_finetuned=PUBLISHED_FINETUNED[model],
        differs=DIFFERS[model],
        evals=baselines.GENERATIVE | common.GAUSSIAN,
    )
