"""SimCLR (Chen, Kornblith, Norouzi, Hinton 2020): views recognise each other among all others.

    python -m dim_jax.main --config configs/simclr.py:data=cifar10,budget=cpu

Words: data=cifar10 | cifar100 | stl10 | imagenette | imagenet; augment=published | crop |
none (the published views; boxes and flips alone; the same image twice); budget=paper | cpu |
smoke.
Augmentation: random boxes of 8 to 100 % of the image, flips, colours jittered in 80 % (strength
1.0; 0.5 on CIFAR), 20 % grey, half blurred (not on CIFAR); each view separately.
`paper` has ResNet-50 on ImageNet and ResNet-18 elsewhere, on CIFAR with a 3x3 stem. `cpu` is a
small encoder, 4 epochs, for two cores; `smoke` takes seconds.

Metric: test accuracy of a linear classifier of the frozen y, the features before the projection
head. Published: 69.1 on ImageNet (official README; 64.5 after 100 epochs), about 91 on CIFAR-10
with ResNet-18 (README).
"""

from configs.common import views

RECIPE = views.Recipe(
    # Two layers with batch norm after the last: official code, model_util.py; 0.1: README.
    method=dict(
        name="simclr",
        projector=views.projector(2048, features=128, last_norm=True),
        tap="y",
        temperature=0.1,
    ),
    # Chen et al. 2020, section 2.2 and App. B.6.
    optimizer=views.lars(4.8, weight_decay=1e-6),
    rate=0.3,
    batch=4096,
    epochs=1000,
    augment=views.SIMCLR_VIEWS,
    published={"imagenet": 69.1, "cifar10": 91.0},
    source="official SimCLR README",
    # CIFAR-10: README.
    small=dict(temperature=0.5),
    small_optimizer=dict(weight_decay=1e-4),
    small_rate=1.0,
    cpu=views.SMALL_HEAD | {"temperature": 0.2},
    smoke=views.SMOKE_HEAD,
)


def get_config(argument: str = ""):
    return views.config(views.parse(argument), RECIPE)
