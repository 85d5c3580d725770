"""AMDIM on CIFAR-100 (Bachman, Hjelm & Buchwalter 2019).

    python -m dim_jax.main --config configs/amdim_cifar100.py:small,budget=cpu

Words, network, rates, durations and budgets are those of configs/amdim_cifar10.py.

Metric: test accuracy of a linear classifier and of an MLP on the frozen y. Published: small
68.1/71.5, large 70.2/72.8 (from memory and third parties). No budget but smoke was run.
"""

from configs import amdim_cifar10

# Table (b).
PUBLISHED = {
    ("small", "", ""): dict(linear=68.1, mlp=71.5),
    ("large", "", ""): dict(linear=70.2, mlp=72.8),
}


def get_config(argument: str = ""):
    return amdim_cifar10.of(argument, "cifar100", PUBLISHED)
