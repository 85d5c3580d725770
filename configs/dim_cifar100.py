"""Deep InfoMax on CIFAR-100: the DIM rows of Table 1 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/dim_cifar100.py:local,bound=infonce,budget=cpu

Words, network, rates, durations and budgets are those of configs/dim_cifar10.py.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published for
DIM(L) after 1000 epochs: InfoNCE 49.74/47.72/41.61, JSD 48.13/45.92/39.60, DV 48.52/44.44/39.27.
Measured: nothing yet, in no budget.
"""

from configs import dim_cifar10

# Hjelm et al. 2019, Table 1, columns conv, fc and y of CIFAR-100.
PUBLISHED = {
    ("local", "dv"): dict(conv=48.52, fc=44.44, y=39.27),
    ("local", "jsd"): dict(conv=48.13, fc=45.92, y=39.60),
    ("local", "infonce"): dict(conv=49.74, fc=47.72, y=41.61),
    ("global", "jsd"): dict(conv=27.68, fc=24.35, y=19.98),
}
# Table 5, whose plain row differs from Table 1: its settings are not printed.
PUBLISHED_TASKS = {
    "coord": dict(conv=50.27, fc=48.61, y=45.37),
    "occlude": dict(conv=48.87, fc=47.65, y=44.89),
    "both": dict(conv=48.72, fc=48.00, y=45.96),
}


def get_config(argument: str = ""):
    return dim_cifar10.of(argument, "cifar100", PUBLISHED, PUBLISHED_TASKS)
