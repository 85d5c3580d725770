"""CMC, contrastive multiview coding (Tian, Krishnan, Isola 2019): the colour channels as views.

    python -m dim_jax.main --config configs/cmc.py:data=cifar10,budget=cpu

Words: data=cifar10 | stl10 | imagenet; space=lab | ycbcr; views=two | three (L and ab, or each
channel by itself); graph=core | full (L against each other view, or all pairs); loss=softmax |
bank | nce (cross-entropy among the batch, or among one's own and random rows of a memory bank, or
noise-contrastive estimation on these); pairing=own | random (the control: views of different
images); budget=paper | cpu | smoke; judge=mlp | trained | y | all.
Each view has an encoder of its own, of half the usual width; y, fc and conv are those of all views
side by side, y_L and y_ab those of one.
`paper` has CMC's rates, durations and, on ImageNet, its networks: two half-width AlexNets. `cpu` on
CIFAR-10 is ten epochs of a narrow hidden layer, about four minutes of training on two free cores.
`smoke` takes seconds.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc, y and on the y of each
view, and retrieval of one view by the other among 64 held-out images. Published for other networks
and a linear classifier on layers, so for nothing here: 68.4 with ResNets on ImageNet, 75.8 with two
half-width ResNet-50 on 100 of its classes (official README).
Measured, three epochs of budget=cpu on CIFAR-10 in bfloat16, seed 0: 60.9 at y, 56.1 at y_L, 51.6
at y_ab and 88 % retrieved; untrained 50.9, 39.3, 41.4 and 1.6 %. More: experiments/cmc_views.py. No
budget was run whole but smoke.
"""

from typing import NamedTuple

from configs import common


class Data(NamedTuple):
    """A data set: what views are encoded by at the paper's size, and its images."""

    encoder: str
    width: int
    hidden: int
    classes: int
    examples: int  # training images
    temperature: float
    crop: int | None = None
    image_size: int | None = None
    train: str | None = None
    test: str | None = None


DATA = {
    # Half of DIM's encoders of 32 and 64 pixels: ours. Temperatures 0.07 and for STL-10 0.1:
    # official code, README; 0.1 on CIFAR-10: ours.
    "cifar10": Data("dcgan32", 32, 512, 10, 50_000, 0.1),
    "stl10": Data(
        *("alexnet64", 48, 2048, 10, 105_000, 0.1), crop=64, train="train+unlabelled", test="test"
    ),
    # Official code, models/alexnet.py; images brought to 256 pixels first: the usual preparation.
    "imagenet": Data(
        *("alexnet224", 48, 2048, 1000, 1_281_167, 0.07),
        **dict(crop=224, image_size=256, train="train", test="validation"),
    ),
}
NAMES = {"imagenet": "imagenet2012"}  # of TFDS, where they differ
VIEWS = {
    ("lab", "two"): ("L", "ab"),
    ("lab", "three"): ("L", "a", "b"),
    ("ycbcr", "two"): ("Y", "CbCr"),
    ("ycbcr", "three"): ("Y", "Cb", "Cr"),
}
_SMOKE_EXAMPLES = 512


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        data=tuple(DATA),
        space=("lab", "ycbcr"),
        views=("two", "three"),
        graph=("core", "full"),
        loss=("softmax", "bank", "nce"),
        pairing=("own", "random"),
        budget=common.BUDGETS,
        judge=("mlp", "trained", "y", "all"),
    )
    known, budget = DATA[words["data"]], words["budget"]
    return common.config(
        # Area 0.2 to 1 with AlexNets: official code, README. Before the channels are split.
        augment=common.augment(crop=known.crop, resized_crop=(0.2, 1.0), flip=True),
        data=_images(words),
        method=common.monitored(_method(words), classes=known.classes),
        players=dict(encoder=_optimizer(budget), probe=common.adam(1e-3)),  # the probe: ours
        train=common.train(
            # 256: train_CMC.py; the others ours.
            batch_size={"paper": 256, "cpu": 128, "smoke": 64}[budget],
            # 240: README; the others ours.
            epochs={"paper": 240, "cpu": 10 if words["data"] == "cifar10" else 1, "smoke": 2}[
                budget
            ],
            steps_per_dispatch={"paper": 100, "cpu": 20, "smoke": 4}[budget],
            save_epochs={"paper": 5, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=_evals(words),
        published={},
        published_source="",
    )


def _optimizer(budget: str) -> dict:
    """Gradient descent as published (README: the rate falls at 120, 160 and 200 of 240 epochs)."""
    if budget != "paper":
        return common.adam_of(budget)
    falls = dict(name="multistep", at_epochs=(120, 160, 200), factor=0.1)
    return dict(
        **dict(name="sgd_l2", learning_rate=0.03, momentum=0.9, l2=1e-4),
        schedule=falls,
        every=1,
    )


def _method(words: dict) -> dict:
    known, budget = DATA[words["data"]], words["budget"]
    views = VIEWS[words["space"], words["views"]]
    sizes = {
        "paper": dict(width=known.width, hidden=known.hidden, features=128, norm="batch"),
        "cpu": dict(width=32, hidden=256, features=128, norm="batch"),  # ours
        # Of grey images, such as digits, batch norm of a and b would show nothing but rounding.
        "smoke": dict(width=6, hidden=32, features=8, norm="layer"),
    }[budget]
    # 4096, 0.5: README, train_CMC.py; k for two cores, and the average of Z: ours.
    bank = dict(
        negatives={"paper": 4096, "cpu": 1024, "smoke": 64}[budget],
        momentum=0.5,
        examples=_SMOKE_EXAMPLES if budget == "smoke" else known.examples,
    )
    more = {"softmax": {}, "bank": bank, "nce": bank | dict(z_decay=0.99)}[words["loss"]]
    return dict(
        name="cmc",
        encoder=dict(
            name="colour_views",
            space=words["space"],
            views=views,
            encoder=dict(name=known.encoder, **sizes),
        ),
        views=views,
        graph=words["graph"],
        objective=words["loss"],
        temperature=known.temperature,
        pairing=words["pairing"],
        **more,
    )


def _images(words: dict) -> dict:
    known, smoke = DATA[words["data"]], words["budget"] == "smoke"
    splits = dict(train_split=known.train, test_split=known.test)
    if smoke:
        parts = (known.train or "train").split("+")
        share = _SMOKE_EXAMPLES // len(parts)
        splits["train_split"] = "+".join(f"{part}[:{share}]" for part in parts)
        splits["test_split"] = f"{known.test or 'test'}[:256]"
    if words["data"] == "imagenet":
        splits |= dict(road="streaming", eval_train_images=512 if smoke else 100_000)
    name = NAMES.get(words["data"], words["data"])
    # Encoders of colour views take pixels in [0, 1].
    return common.data(name, image_size=known.image_size, scaling="unit", **splits)


def _evals(words: dict) -> dict:
    """The usual ones; the MLP sees the y of each view too, and one view retrieves the other."""
    chosen = common.judged(words["judge"], words["budget"])
    chosen.pop("filters", None)  # no convolution sees three channels
    views = tuple(f"y_{view}" for view in VIEWS[words["space"], words["views"]])
    chosen["mlp"] = dict(chosen["mlp"])
    chosen["mlp"]["taps"] = (*chosen["mlp"].get("taps", ("conv", "fc", "y")), *views)
    if words["data"] == "imagenet" and words["budget"] == "smoke":  # not ten images of each class
        chosen = {key: spec for key, spec in chosen.items() if not key.endswith("_few")}
    return chosen | dict(retrieval=dict(name="retrieval"))
