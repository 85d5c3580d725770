"""SIGReg (LeJEPA, Balestriero and LeCun 2025): views agree, projections are standard normal.

    python -m dim_jax.main --config configs/sigreg.py:data=imagenette,budget=cpu

Words: data=cifar10 | cifar100 | stl10 | imagenette | imagenet; augment=published | crop |
none (the published views; boxes and flips alone; the same image twice); budget=paper | cpu |
smoke.
Augmentation: that of SimCLR, with 20 % solarised: random boxes of 8 to 100 % of the image, flips,
colours jittered in 80 % (strength 1.0; 0.5 on CIFAR), 20 % grey, half blurred (not on CIFAR).
`paper` has ResNet-50 on ImageNet and ResNet-18 elsewhere: the paper's are mostly transformers, so
no published number stands beside. `cpu` is a small encoder, 4 epochs, for two cores; `smoke` takes
seconds.

Metric: test accuracy of a linear classifier of the frozen y, the features before the projection
head.
"""

from configs.common import views

# The short example of the official code, MINIMAL.md, with two views in the place of four.
RECIPE = views.Recipe(
    method=dict(
        name="sigreg",
        projector=views.projector(2048, 2048, features=16),
        tap="y",
        weight=0.02,
        directions=256,
    ),
    optimizer=dict(
        **dict(name="adamw", learning_rate=2e-3, weight_decay=5e-2, exclude_vectors=True),
        schedule=dict(name="cosine", warmup_epochs=1.0, end=0.5),
        every=1,
    ),
    batch=256,
    epochs=800,
    augment=views.SIMCLR_VIEWS | dict(solarise=0.2),
    published={},
    source="",
    cpu=views.SMALL_HEAD,
    smoke=views.SMOKE_HEAD | {"directions": 16},
)


def get_config(argument: str = ""):
    return views.config(views.parse(argument), RECIPE)
