"""AMDIM on CIFAR-10 (Bachman, Hjelm & Buchwalter 2019).

    python -m dim_jax.main --config configs/amdim_cifar10.py:small,budget=cpu

Two augmented views of every image; the vector of one predicts the 5x5 and 7x7 maps of the other.

Words: size=small | large; augment=full | strong | no_jitter | no_grey | no_crop | none (`no_crop`
leaves out the translation; `none` is the same unchanged image twice; `strong` adds RandAugment,
where the published one was Fast AutoAugment's policy for ImageNet); terms=multiscale | single
(single: y predicts the 7x7 map only); stabilise=on | off (the soft clip of the scores and their
penalty); budget=paper | long | cpu | smoke.
`paper` is the published setting, here and in configs/common/amdim.py. `cpu` shortens it for two
cores: a network of 1.1 million parameters, batch 128, a higher rate, 2 epochs. `long` is 40 epochs
of a network of half as many channels again and twice the features. `smoke` takes seconds.

Metric: test accuracy of a linear classifier and of an MLP on the frozen y. Published: small
89.5/91.4, large 91.2/93.1 (from memory and third parties). In `paper` the classifiers are the
published ones, in short budgets others (`linear-v1`, `mlp-v1`, 200 hidden units). "mlp_probe" and
"linear_probe", trained along, are a monitor.
Measured in bfloat16, seed 0 of `cpu`: 61.1/66.7, untrained 35.2/44.4.
"""

from configs import common
from configs.common import amdim

# Table (b).
PUBLISHED = {
    ("small", "", ""): dict(linear=89.5, mlp=91.4),
    ("large", "", ""): dict(linear=91.2, mlp=93.1),
}
# (ndf, n_rkhs, n_depth): README; the large one: an issue of the official repository.
SIZES = {"small": (128, 1024, 10), "large": (256, 2048, 10)}
# Official code, datasets.py: one flip for both views.
AUGMENT = dict(
    **dict(views=2, flip=True, flip_shared=True, translate=4, translate_rate=0.8),
    **dict(jitter=(0.4, 0.4, 0.4, 0.2), jitter_rate=0.8, grey=0.25),
)


def get_config(argument: str = ""):
    return of(argument, "cifar10", PUBLISHED)


def of(argument: str, name: str, published: dict):
    """AMDIM on CIFAR-10 or CIFAR-100."""
    words = amdim.parse(argument, *SIZES, budgets=common.LONG_BUDGETS)
    return amdim.config(
        words,
        name,
        side=32,
        size=SIZES[words["size"]],
        augment=AUGMENT,
        augmentations=10,
        epochs=300,
        falls=(250 / 300, 280 / 300),
        short_epochs=2,  # 780 steps: three or four minutes on two cores
        published=published,
    )
