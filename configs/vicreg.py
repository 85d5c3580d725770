"""VICReg (Bardes, Ponce, LeCun 2022): two views agree, features keep their variance, uncorrelated.

    python -m dim_jax.main --config configs/vicreg.py:data=cifar10,budget=cpu

Words: data=cifar10 | cifar100 | stl10 | imagenette | imagenet; augment=published | crop |
none (the published views; boxes and flips alone; the same image twice); budget=paper | cpu |
smoke.
Augmentation: that of BYOL: random boxes of 8 to 100 % of the image, flips, colours jittered in 80 %
by 0.4/0.4/0.2/0.1 (0.4/0.4/0.4/0.1 on CIFAR), 20 % grey; the first view blurred, the second in 10 %
(neither on CIFAR) and solarised in 20 %.
`paper` has ResNet-50 on ImageNet and ResNet-18 elsewhere. `cpu` is a small encoder, 4 epochs, for
two cores; `smoke` takes seconds.

Metric: test accuracy of a linear classifier of the frozen y, the features before the projection
head. Published: 73.2 on ImageNet after 1000 epochs (from memory).
"""

from configs.common import views

# Bardes et al. 2022, section 4.2, from memory; official code, main_vicreg.py.
RECIPE = views.Recipe(
    method=dict(
        name="vicreg",
        projector=views.projector(8192, 8192, features=8192),
        tap="y",
        invariance=25.0,
        variance=25.0,
        covariance=1.0,
    ),
    optimizer=views.lars(2.4, weight_decay=1e-6, end=2e-3),
    rate=0.3,
    batch=2048,
    epochs=1000,
    augment=views.BYOL_VIEWS,
    published={"imagenet": 73.2},
    source="Bardes et al. 2022 (from memory)",
    small={"projector": views.projector(2048, 2048, features=2048)},  # ours
    cpu=views.WIDE_HEAD,
    smoke=views.SMOKE_HEAD,
)


def get_config(argument: str = ""):
    return views.config(views.parse(argument), RECIPE)
