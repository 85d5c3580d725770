"""CMC, contrastive multiview coding (Tian, Krishnan, Isola 2019): the colour channels as views.

    python -m dim_jax.main --config configs/cmc.py:data=cifar10,budget=cpu

Words: data=cifar10 | stl10 | imagenet; space=lab | ycbcr; views=two | three (L and ab, or each
channel by itself); graph=core | full (L against each other view, or all pairs); loss=softmax |
bank | nce (cross-entropy among the batch, or among the image's and random rows of a memory bank, or
noise-contrastive estimation on these); pairing=own | random (the control: views of different
images); budget=paper | long | cpu |
smoke.
Each view has a separate encoder, of half the usual width; y, fc and conv are those of all views
side by side, y_L and y_ab those of one.
`paper` has CMC's rates, durations and, on ImageNet, its networks: two half-width AlexNets. `cpu` on
CIFAR-10 is ten epochs of a narrow hidden layer, about four minutes of training on two free cores;
`long` 20 epochs at the full width. `smoke` takes seconds.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc, y and on the y of each
view, and retrieval of one view by the other among 64 held-out images. Published for other networks
and a linear classifier on layers, so for nothing here: 68.4 with ResNets on ImageNet, 75.8 with two
half-width ResNet-50 on 100 of its classes (official README).
Measured, three epochs of budget=cpu on CIFAR-10 in bfloat16, seed 0: 60.9 at y, 56.1 at y_L, 51.6
at y_ab and 88 % retrieved; untrained 50.9, 39.3, 41.4 and 1.6 %. More: experiments/cmc_views.py. No
budget but smoke was run to its end.
"""

from typing import Any, NamedTuple

from ml_collections.config_dict import placeholder

from configs import common
from configs.common import datasets


class Network(NamedTuple):
    """The encoder of a view, and the blocks `data` and `augment` around it."""

    encoder: str
    width: int
    hidden: int
    temperature: float
    crop: int | None = None
    image_size: int | None = None
    eval_size: int | None = None


NETWORKS = {
    # Half of DIM's encoders of 32 and 64 pixels: ours. Temperatures 0.07 and for STL-10 0.1:
    # official code, README; 0.1 on CIFAR-10: ours.
    "cifar10": Network("dcgan32", 32, 512, 0.1),
    # Evaluated on 64 pixels of images brought to 70: AMDIM's preparation.
    "stl10": Network("alexnet64", 48, 2048, 0.1, crop=64, eval_size=70),
    # Official code, models/alexnet.py. Evaluated on 224 pixels of images brought to 256: the usual
    # preparation. Boxes are cut from 384, ours: about the shorter side of most files.
    "imagenet": Network("alexnet224", 48, 2048, 0.07, crop=224, image_size=384, eval_size=256),
}
VIEWS = {
    ("lab", "two"): ("L", "ab"),
    ("lab", "three"): ("L", "a", "b"),
    ("ycbcr", "two"): ("Y", "CbCr"),
    ("ycbcr", "three"): ("Y", "Cb", "Cr"),
}
# Ours, for two cores; of the larger data sets one epoch.
CPU = {
    **{"train.batch_size": 128, "train.epochs": 10},
    **{"train.steps_per_dispatch": 20, "train.save_epochs": 1},
}
# Of grey images, such as digits, batch norm of a and b would show nothing but rounding.
SMOKE_ENCODER = {"width": 6, "hidden": 32, "features": 8, "norm": "layer"}


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        data=tuple(NETWORKS),
        space=("lab", "ycbcr"),
        views=("two", "three"),
        graph=("core", "full"),
        loss=("softmax", "bank", "nce"),
        pairing=("own", "random"),
        budget=common.LONG_BUDGETS,
    )
    name = datasets.check_long(words)["data"]
    network, dataset = NETWORKS[name], datasets.DATA[name]
    views = VIEWS[words["space"], words["views"]]
    data = datasets.splits(name) if name != "cifar10" else {}
    if name == "imagenet":
        data |= dict(road="streaming", eval_train_images=100_000)  # the images: ours
    config = common.config(
        # Area 0.2 to 1 with AlexNets: official code, README. Before the channels are split.
        augment=common.augment(crop=network.crop, resized_crop=(0.2, 1.0), flip=True),
        # Encoders of colour views take pixels in [0, 1].
        data=common.data(
            *(dataset.name,),
            **dict(image_size=network.image_size, eval_size=network.eval_size, scaling="unit"),
            **data,
        ),
        method=common.monitored(_method(words, views), classes=dataset.classes),
        players=dict(
            # README: the rate falls at 120, 160 and 200 of 240 epochs.
            encoder=dict(
                **dict(name="sgd_l2", learning_rate=0.03, momentum=0.9, l2=1e-4),
                schedule=dict(name="multistep", at_epochs=(120, 160, 200), factor=0.1),
                every=1,
            ),
            probe=common.adam(1e-3),  # ours
        ),
        train=common.train(
            batch_size=256,  # train_CMC.py
            epochs=240,  # README
            steps_per_dispatch=100,
            save_epochs=5,
        ),
        evals=_evals(views),
        published={},
        published_source="",
    )
    budgets = dict(long=_long(words), cpu=_cpu(words), smoke=_smoke(words))
    return common.budgeted(config, words["budget"], **budgets)


def _method(words: dict, views: tuple[str, ...]) -> dict:
    network, loss = NETWORKS[words["data"]], words["loss"]
    # 4096, 0.5: README, train_CMC.py; the average of Z: ours.
    bank = dict(negatives=4096, momentum=0.5, examples=datasets.DATA[words["data"]].examples)
    sizes = dict(width=network.width, hidden=network.hidden, features=128, norm="batch")
    return dict(
        name="cmc",
        encoder=dict(
            name="colour_views",
            space=words["space"],
            views=views,
            encoder=dict(name=network.encoder, **sizes),
        ),
        views=views,
        graph=words["graph"],
        objective=loss,
        temperature=network.temperature,
        pairing=words["pairing"],
        **(bank if loss != "softmax" else {}),
        **(dict(z_decay=0.99) if loss == "nce" else {}),
    )


def _long(words: dict) -> dict[str, Any]:
    network = NETWORKS[words["data"]]
    sizes = dict(width=network.width, hidden=network.hidden)
    return _short(words, sizes, negatives=4096) | CPU | {"train.epochs": 20}


def _cpu(words: dict) -> dict[str, Any]:
    width = 30 if words["data"] == "imagenet" else 32  # alexnet224 needs a multiple of 3
    changes = _short(words, dict(width=width, hidden=256), negatives=1024) | CPU
    return changes if words["data"] == "cifar10" else changes | {"train.epochs": 1}


def _smoke(words: dict) -> dict[str, Any]:
    changes = _short(words, SMOKE_ENCODER, negatives=64) | datasets.smoke(words["data"])
    changes["train.batch_size"] = 64
    if words["loss"] != "softmax":
        changes["method.method.examples"] = datasets.SMOKE_EXAMPLES
    if words["data"] == "imagenet":
        changes["data.eval_train_images"] = datasets.SMOKE_EXAMPLES
    return changes


def _short(words: dict, encoder: dict, negatives: int) -> dict[str, Any]:
    """The changes that the smaller budgets have both: Adam, sizes, and the rows of the bank."""
    changes = common.under("method.method.encoder.encoder", encoder)
    changes["players.encoder"] = common.adam(1e-3, decay=True)
    if words["loss"] != "softmax":
        changes["method.method.negatives"] = negatives
    return changes


def _evals(views: tuple[str, ...]) -> dict:
    """An MLP, which sees the y of each view too; one view retrieves the other."""
    chosen = common.of_mlp()
    del chosen["filters"]  # no convolution sees three channels
    chosen["mlp"]["taps"] = ("conv", "fc", "y", *(f"y_{view}" for view in views))
    chosen["mlp"]["augmentations"] = placeholder(int)
    return chosen | dict(retrieval=dict(name="retrieval"))
