"""Noise as targets (Bojanowski & Joulin 2017): the NAT rows of Hjelm et al. 2019, Tables 1, 2, 4.

    python -m dim_jax.main --config configs/nat.py:data=cifar10,budget=cpu

Words: data=cifar10 | cifar100 | tiny_imagenet | stl10; inputs=colour | gradients; budget=paper |
long | cpu | smoke. The DIM encoder learns to map every image to a random unit vector of 64 numbers;
the images of a batch exchange their vectors in every third epoch (in every one with the short
budgets). `gradients` shows it the two Sobel derivatives of the grey image, as in NAT's paper:
whether the tables' NAT did so is not published.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published:
56.19/51.29/31.16 on CIFAR-10, 29.18/24.57/9.72 on CIFAR-100, 13.70/11.62/1.20 on Tiny ImageNet,
64.32/61.43/48.84 on STL-10 and 70.75 fine-tuned.
Measured: 44.7 at y on CIFAR-10 after 2 epochs of budget=cpu in bfloat16, seed 0; untrained 40.2.
Neither budget was run to its end.
"""

from configs.common import baselines, datasets

PUBLISHED = {
    "cifar10": dict(conv=56.19, fc=51.29, y=31.16),
    "cifar100": dict(conv=29.18, fc=24.57, y=9.72),
    "tiny_imagenet": dict(conv=13.70, fc=11.62, y=1.20),
    "stl10": dict(conv=64.32, fc=61.43, y=48.84),
}
PUBLISHED_FINETUNED = {"stl10": dict(conv=70.75)}


def get_config(argument: str = ""):
    words = baselines.parse(argument, inputs=("colour", "gradients"))
    inputs = words["inputs"]
    method = dict(
        name="nat",
        encoder=baselines.encoder(words, inputs=inputs),
        examples=datasets.DATA[words["data"]].examples,
        every=3,  # official NAT code, main.lua
    )
    often = {"method.method.every": 1}  # short runs hardly have a fourth epoch: ours
    return baselines.config(
        words,
        # Adam is DIM's, as for all baselines; NAT's paper has gradient descent at 0.01 on the sum.
        method=method,
        published=PUBLISHED,
        published_finetuned=PUBLISHED_FINETUNED,
        differs="It is not known whether the published encoder saw colours or derivatives.",
        # The first convolution sees derivatives, not colours, so there is nothing to draw.
        evals=dict(filters=None) if inputs == "gradients" else None,
        cpu=often,
        smoke=often | {"method.method.examples": datasets.SMOKE_EXAMPLES},
    )
