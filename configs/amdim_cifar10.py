"""AMDIM on CIFAR-10 (Bachman, Hjelm & Buchwalter 2019).

    python -m dim_jax.main --config configs/amdim_cifar10.py:small,budget=cpu

Two augmented views of every image; the vector of one predicts the 5x5 and 7x7 maps of the other.

Words: size=small | large; augment=full | strong | no_jitter | no_grey | no_crop | none (`no_crop`
leaves out the translation; `none` is the same unchanged image twice; `strong` adds RandAugment,
where the published one was Fast AutoAugment's policy for ImageNet); terms=multiscale | single
(single: y predicts the 7x7 map only); stabilise=on | off (the soft clip of the scores and their
penalty); budget=paper | cpu | smoke; judge=mlp | y (`y` asks for the probes of y only).
`paper` is the published setting: 300 epochs. `cpu` shortens it for two cores: a network of 1.1
million parameters, batch 128, a higher rate, 2 epochs. `smoke` takes seconds.

Metric: test accuracy of a linear classifier and of an MLP on the frozen y. Published: small
89.5/91.4, large 91.2/93.1 (from memory and third parties). In `paper` the classifiers are the
published ones, in short budgets others (`linear-v1`, `mlp-v1`, 200 hidden units). "mlp_probe" and
"linear_probe", trained along, are a monitor.
Measured, judge=y in bfloat16, seed 0 of `cpu`: 61.1/66.7, untrained 35.2/44.4.
"""

from configs.common import amdim

# Table (b).
PUBLISHED = {
    ("small", "", ""): dict(linear=89.5, mlp=91.4),
    ("large", "", ""): dict(linear=91.2, mlp=93.1),
}


def get_config(argument: str = ""):
    return amdim.config(amdim.parse(argument), "cifar10", published=PUBLISHED)
