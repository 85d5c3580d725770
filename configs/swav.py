"""SwAV (Caron et al. 2020): views predict each other's assignment to learned prototypes.

    python -m dim_jax.main --config configs/swav.py:data=cifar10,budget=cpu

Words: crops=multi | two (multi: six crops of 96 pixels beside the two of 224; CIFAR has two);
data=cifar10 | cifar100 | stl10 | imagenette | imagenet; augment=published | crop | none (the
published views; boxes and flips alone; the same image twice); budget=paper | cpu | smoke.
Augmentation: random boxes of 14 to 100 % of the image, in small crops of 5 to 14 %, flips, colours
jittered in 80 % (strength 1.0; 0.5 on CIFAR), 20 % grey, half blurred (not on CIFAR).
`paper` has ResNet-50 on ImageNet and ResNet-18 elsewhere; on CIFAR the queue of the published
setting for small batches, and fewer prototypes. `cpu` is a small encoder, 4 epochs, for two cores;
`smoke` takes seconds.

Metric: test accuracy of a linear classifier of the frozen y, the features before the projection
head. Published on ImageNet: 75.3 after 800 epochs, 70.1 after 400 with two crops (official README).
"""

import dataclasses

from configs.common import views

_TWO = views.SIMCLR_VIEWS | dict(resized_crop=(0.14, 1.0))
_SMALL_CROPS = dict(small_crops=6, small_crop=96, small_crop_area=(0.05, 0.14))
# Official code, README and main_swav.py.
RECIPE = views.Recipe(
    method=dict(
        name="swav",
        projector=views.projector(2048, features=128),
        tap="y",
        prototypes=3000,
        temperature=0.1,
        epsilon=0.05,
        iterations=3,
        frozen_steps=313,
        queue=0,
        queue_from=0,
    ),
    optimizer=views.lars(4.8, weight_decay=1e-6, end=1e-3),
    rate=0.3,
    batch=4096,
    epochs=800,
    augment=_TWO | _SMALL_CROPS,
    published={"imagenet": 75.3},
    source="official SwAV README",
    # 3840 for batches of 256; the other numbers are ours.
    small=dict(prototypes=512, queue=3840, queue_from=1500),
    cpu=views.SMALL_HEAD | {"prototypes": 256, "frozen_steps": 60, "queue": 0, "queue_from": 0},
    smoke=views.SMOKE_HEAD | {"prototypes": 32, "frozen_steps": 2, "queue": 128, "queue_from": 4},
)


def get_config(argument: str = ""):
    words = views.parse(argument, crops=("multi", "two"))
    if words["crops"] == "multi":
        return views.config(words, RECIPE)
    two = dict(augment=_TWO, epochs=400, published={"imagenet": 70.1})
    return views.config(words, dataclasses.replace(RECIPE, **two))
