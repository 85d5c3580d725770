"""MoCo v2 (He et al. 2020; Chen, Fan, Girshick, He 2020): keys of earlier batches as negatives.

    python -m dim_jax.main --config configs/moco.py:data=cifar10,budget=cpu

Words: version=v2 | v1 (v1: a linear head, temperature 0.07); data=cifar10 | cifar100 | stl10 |
imagenette | imagenet; augment=published | crop | none (the published views; boxes and flips alone;
the same image twice); budget=paper | cpu | smoke.
Augmentation: random boxes of 20 to 100 % of the image, flips, colours jittered in 80 % by
0.4/0.4/0.4/0.1, 20 % grey, half blurred (not on CIFAR); each view separately.
`paper` has ResNet-50 on ImageNet and ResNet-18 elsewhere; batch norm in 8 groups as on 8 devices,
with the key network's images shuffled. `cpu` is a small encoder, 4 epochs, for two cores; `smoke`
takes seconds.

Metric: test accuracy of a linear classifier of the frozen y, the features before the projection
head. Published after 200 epochs on ImageNet: v2 67.5, v1 60.8 (official README); v2 after 800
epochs 71.1.
"""

import dataclasses

from configs.common import views

# Official code, README: 200 epochs; colours of v2.
RECIPE = views.Recipe(
    method=dict(
        name="moco",
        projector=dict(views.projector(2048, features=128), norm="none"),
        tap="y",
        queue=65536,
        decay=0.999,
        temperature=0.2,
        shuffle=True,
    ),
    optimizer=dict(
        **dict(name="sgd_l2", learning_rate=0.03, momentum=0.9, l2=1e-4),
        schedule=dict(name="cosine", warmup_epochs=0.0),
        every=1,
    ),
    rate=0.03,
    batch=256,
    epochs=200,
    groups=8,
    augment=views.SIMCLR_VIEWS | dict(resized_crop=(0.2, 1.0), jitter=(0.4, 0.4, 0.4, 0.1)),
    published={"imagenet": 67.5},
    source="official MoCo README",
    small=dict(queue=4096, decay=0.99),  # ours
    cpu=views.SMALL_HEAD | {"queue": 1024, "decay": 0.97, "temperature": 0.1},
    smoke=views.SMOKE_HEAD | {"queue": 256, "decay": 0.9},
)
_V1 = dict(projector=views.projector(features=128), temperature=0.07)  # official README


def get_config(argument: str = ""):
    words = views.parse(argument, version=("v2", "v1"))
    if words["version"] == "v2":
        return views.config(words, RECIPE)
    without_layers = {
        name: {key: value for key, value in changes.items() if key != "projector.widths"}
        for name, changes in (("cpu", RECIPE.cpu), ("smoke", RECIPE.smoke))
    }
    recipe = dataclasses.replace(
        RECIPE, method=RECIPE.method | _V1, published={"imagenet": 60.8}, **without_layers
    )
    return views.config(words, recipe)
