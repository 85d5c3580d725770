"""The autoencoder, a baseline of Deep InfoMax: row AE of Tables 1 and 2 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/ae.py:data=cifar10,budget=cpu

Words: data=cifar10 | cifar100 | tiny_imagenet | stl10; budget=paper | long | cpu | smoke. The DIM
encoder, a 64-dimensional code and a DCGAN decoder, squared error summed over pixels.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published for
CIFAR-10 after 1000 epochs: 62.19/55.78/54.47.
"""

from configs import common
from configs.common import baselines

# Hjelm et al. 2019, Tables 1 and 2, columns conv, fc and y, and column SS of Table 2.
PUBLISHED = {
    "cifar10": dict(conv=62.19, fc=55.78, y=54.47),
    "cifar100": dict(conv=31.50, fc=23.89, y=27.44),
    "tiny_imagenet": dict(conv=19.07, fc=16.39, y=11.82),
    "stl10": dict(conv=58.19, fc=55.57, y=46.82),
}
PUBLISHED_FINETUNED = {"stl10": dict(conv=70.29)}


def get_config(argument: str = ""):
    words = baselines.parse(argument)
    return baselines.config(
        words,
        method=baselines.autoencoder(words),
        published=PUBLISHED,
        published_finetuned=PUBLISHED_FINETUNED,
        evals=baselines.DECODED | common.GAUSSIAN,
    )
