"""BYOL (Grill et al. 2020): one view predicts the target network's projection of the other.

    python -m dim_jax.main --config configs/byol.py:data=cifar10,budget=cpu

Words: predictor=on | off (off: the published ablation, which collapses); data=cifar10 | cifar100 |
stl10 | imagenette | imagenet; augment=published | crop | none (the published views; boxes and flips
alone; the same image twice); budget=paper | cpu | smoke.
Augmentation: random boxes of 8 to 100 % of the image, flips, colours jittered in 80 % by
0.4/0.4/0.2/0.1 (0.4/0.4/0.4/0.1 on CIFAR), 20 % grey; the first view blurred, the second in 10 %
(neither on CIFAR) and solarised in 20 %.
`paper` has ResNet-50 on ImageNet and ResNet-18 elsewhere; the target's decay rises from 0.996 to 1.
`cpu` is a small encoder, 4 epochs, decay from 0.98, for two cores; `smoke` takes seconds.

Metric: test accuracy of a linear classifier of the frozen y, the features before the projection
head. Published: 74.3 on ImageNet after 1000 epochs (from memory).
"""

import dataclasses

from ml_collections.config_dict import placeholder

from configs.common import views

# Grill et al. 2020, section 3.3 and App. J.
RECIPE = views.Recipe(
    method=dict(
        name="byol",
        projector=views.projector(4096, features=256),
        predictor=views.projector(4096, features=256),
        tap="y",
        decay=0.996,
    ),
    optimizer=views.lars(3.2, weight_decay=1.5e-6),
    rate=0.2,
    batch=4096,
    epochs=1000,
    augment=views.BYOL_VIEWS,
    published={"imagenet": 74.3},
    source="Grill et al. 2020 (from memory)",
    small=dict(decay=0.99),  # ours
    cpu=views.SMALL_HEAD | {"predictor.widths": (512,), "predictor.features": 128, "decay": 0.98},
    smoke=views.SMOKE_HEAD | {"predictor.widths": (32,), "predictor.features": 16, "decay": 0.9},
)


def get_config(argument: str = ""):
    words = views.parse(argument, predictor=("on", "off"))
    return views.config(words, RECIPE if words["predictor"] == "on" else without_predictor())


def without_predictor() -> views.Recipe:
    """The ablation: nothing between a view's projection and its target."""

    def others(changes):
        return {key: value for key, value in changes.items() if not key.startswith("predictor")}

    method = RECIPE.method | dict(predictor=placeholder(object))
    changes = dict(cpu=others(RECIPE.cpu), smoke=others(RECIPE.smoke))
    return dataclasses.replace(RECIPE, method=method, published={}, source="", **changes)
