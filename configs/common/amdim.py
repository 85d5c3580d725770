"""The AMDIM configs: what those of several data sets share.

Numbers are of Bachman et al. 2019 and its official code unless they say "ours".
"""

from typing import Any, NamedTuple

import ml_collections
from ml_collections.config_dict import placeholder

from configs import common

AUGMENTS = ("full", "strong", "no_jitter", "no_grey", "no_crop", "none")
TERMS = {"multiscale": ("1_to_5", "1_to_7", "5_to_5"), "single": ("1_to_7",)}
# (ndf, n_rkhs, n_depth): README; CIFAR's large: an issue of the official repository.
_CIFAR = {"small": (128, 1024, 10), "large": (256, 2048, 10)}
_IMAGENET = {"small": (192, 1536, 8), "medium": (256, 2048, 10), "large": (320, 2560, 10)}
# ndf 32, depth 2 and 256 features: ours, for two cores.
_SHORT = {"cpu": (32, 256, 2), "smoke": (4, 32, 1)}


class Data(NamedTuple):
    """A data set of the paper: what is trained on, and for how long.

    full: the published changes of the images.
    unmoved: the changes of `full` that are left out with "no_crop".
    resized: shorter side that images are brought to, of which evaluations see the centre.
    train, test: splits; of "smoke" they are slices.
    epochs, falls: published duration by size, and where the rate falls, as parts of it.
    """

    encoder: str
    classes: int
    sizes: dict[str, tuple[int, int, int]]
    full: dict[str, Any]
    unmoved: dict[str, Any]
    resized: int | None
    train: str
    test: str
    epochs: dict[str, int]
    falls: tuple[float, float]
    short_epochs: float  # of budget=cpu


# Cubuk et al. 2020 (RandAugment), ImageNet; the published policy is that of Fast AutoAugment.
_STRONG = dict(randaugment=(2, 9))
_FLIPPED = dict(views=2, flip=True, flip_shared=True)


def _of_boxes(side: int, hue: float) -> dict[str, Any]:
    """The changes of STL-10 and ImageNet: random boxes, colours, grey (official code, datasets.py).

    Differs: the boxes are cut from images that are resized already, and bilinearly resized.
    """
    return dict(
        **_FLIPPED,
        **dict(crop=side, resized_crop=(0.3, 1.0), aspect=(0.7, 1.4)),
        **dict(jitter=(0.4, 0.4, 0.4, hue), jitter_rate=0.8, grey=0.25),
    )


def _cifar(classes: int) -> Data:
    return Data(
        encoder="amdim32",
        classes=classes,
        sizes=_CIFAR,
        full=common.AMDIM_CIFAR,
        unmoved=dict(translate=0),
        resized=None,
        train="train",
        test="test",
        epochs={"small": 300, "large": 300},
        falls=(250 / 300, 280 / 300),
        # 780 steps: three or four minutes on two cores.
        short_epochs=2,
    )


def _photographs(encoder: str, classes: int, resized: int, hue: float, **more) -> Data:
    side = int(encoder.removeprefix("amdim"))
    return Data(
        encoder=encoder,
        classes=classes,
        sizes=_IMAGENET,
        full=_of_boxes(side, hue),
        unmoved=dict(crop=None, resized_crop=None),
        resized=resized,
        **more,
    )


# README: the best results took 100 epochs.
_OF_IMAGENET = dict(
    **dict(train="train", test="validation"),
    **dict(epochs={"small": 50, "medium": 100, "large": 100}, falls=(0.6, 0.9)),
)
DATA = {
    "cifar10": _cifar(10),
    "cifar100": _cifar(100),
    "stl10": _photographs(
        *("amdim64", 10, 70, 0.2),
        **dict(train="train+unlabelled", test="test"),
        epochs=dict.fromkeys(_IMAGENET, 300),
        falls=(250 / 300, 280 / 300),
        short_epochs=0.5,
    ),
    "imagenet2012": _photographs(*("amdim128", 1000, 146, 0.1), **_OF_IMAGENET, short_epochs=0.02),
    # As ImageNet. Its images have 128 pixels, which evaluations see whole.
    "imagenette/128px-v2": _photographs(
        *("amdim128", 10, 128, 0.1), **_OF_IMAGENET, short_epochs=2
    ),
}


def parse(argument: str | None, *names: str, **choices: tuple[str, ...]) -> dict[str, str]:
    """The words of an AMDIM config; `names`: its sizes."""
    return common.parse(
        argument,
        size=names or tuple(_CIFAR),
        augment=AUGMENTS,
        terms=tuple(TERMS),
        stabilise=("on", "off"),
        budget=common.BUDGETS,
        judge=("mlp", "y"),
        **choices,
    )


def config(
    words: dict[str, str],
    name: str,
    *,
    published: dict[tuple[str, str, str], dict[str, float]],
    **block: Any,
) -> ml_collections.ConfigDict:
    """The run of AMDIM on a data set of `DATA`.

    Args:
      published: accuracies of y by the evaluations "linear" and "mlp", by (size, what is changed,
        how): the keys are (size, "", "") and (size, word, value) of the ablations.
      block: more of the block `data`.
    """
    known, budget = DATA[name], words["budget"]
    smoke = budget == "smoke"
    optimizer = _optimizer(known, words)
    found = published.get((words["size"], *_changed(words)), {})
    side = known.resized
    if words["augment"] in ("no_crop", "none") and side:
        side = int(known.encoder.removeprefix("amdim"))  # the whole image, in training as well
    epochs = _epochs(known, words)
    return common.config(
        augment=common.augment(**_augment(known, words["augment"])),
        # Means and deviations per channel: official code, datasets.py; STL-10's differ by 0.02.
        data=common.data(
            name, image_size=side, scaling="standardized", **_splits(known, smoke), **block
        ),
        method=_watched(_method(known, words), known.classes, hidden=32 if smoke else 1024),
        players=dict.fromkeys(("encoder", "mlp_probe", "linear_probe"), optimizer),
        train=common.train(
            batch_size={"paper": 480, "cpu": 128, "smoke": 64}[budget],  # README; others ours
            epochs=epochs,
            steps_per_dispatch={"paper": 100, "cpu": 30, "smoke": 4}[budget],
            save_epochs=max(epochs / 20, 1.0) if budget == "paper" else epochs / 3,
        ),
        evals=_evals(known, words),
        published={key: dict(y=value) for key, value in found.items()},
        published_source="Bachman et al. 2019" if found else "",
    )


def _changed(words: dict[str, str]) -> tuple[str, str]:
    """What the words leave of the published setting, ("", "") if nothing; more than one: ("-",)."""
    normal = dict(augment="full", terms="multiscale", stabilise="on")
    found = [(key, words[key]) for key, value in normal.items() if words[key] != value]
    return found[0] if len(found) == 1 else ("-", "-") if found else ("", "")


def _epochs(known: Data, words: dict[str, str]) -> float:
    published = known.epochs[words["size"]]
    return {"paper": float(published), "cpu": known.short_epochs, "smoke": 2.0}[words["budget"]]


def _splits(known: Data, smoke: bool) -> dict[str, str]:
    """The splits to train and to judge on, or slices of them."""
    if not smoke:
        return dict(train_split=known.train, test_split=known.test)
    parts = known.train.split("+")
    train = "+".join(f"{part}[:{512 // len(parts)}]" for part in parts)
    return dict(train_split=train, test_split=f"{known.test}[:256]")


def _augment(known: Data, kind: str) -> dict[str, Any]:
    """The changes of the images in training."""
    if kind == "none":  # the same image twice
        return {}
    changes = dict(
        **dict(full={}, strong=_STRONG, no_crop=known.unmoved),
        **dict(no_jitter=dict(jitter=None), no_grey=dict(grey=0.0)),
    )
    return known.full | changes[kind]


def _method(known: Data, words: dict[str, str]) -> dict[str, Any]:
    budget, stable = words["budget"], words["stabilise"] == "on"
    sizes = known.sizes[words["size"]] if budget == "paper" else _SHORT[budget]
    ndf, n_rkhs, n_depth = sizes
    return dict(
        name="amdim",
        encoder=dict(name=known.encoder, ndf=ndf, n_rkhs=n_rkhs, n_depth=n_depth, norm="none"),
        embedding=dict(name="embedding", norm="none"),
        terms=TERMS[words["terms"]],
        # costs.py; the paper has 0.04 (from notes of others).
        penalty=0.05 if stable else 0.0,
        clip=20.0 if stable else placeholder(float),  # train.py
    )


def _watched(method: dict, classes: int, hidden: int) -> dict[str, Any]:
    """The method with its MLP and its linear classifier of y: official code, model.py, costs.py."""
    mlp = dict(name="mlp_classifier", hidden=hidden, dropout=0.2, classes=classes)
    linear = dict(name="affine", outputs=classes)
    for player, classifier in (("mlp_probe", mlp), ("linear_probe", linear)):
        method = dict(
            **dict(name="probe", player=player, taps=("y",), classifier=classifier),
            **dict(clip=10.0, penalty=1e-3, method=method),
        )
    return method


def _optimizer(known: Data, words: dict[str, str]) -> dict[str, Any]:
    """Adam as in task_self_supervised.py; short budgets have another rate and warm-up: ours."""
    budget, epochs = words["budget"], _epochs(known, words)
    return dict(
        name="adam_l2",
        learning_rate=2e-4 if budget == "paper" else 5e-4,
        **dict(b1=0.8, b2=0.999, l2=1e-5),
        schedule=dict(
            name="multistep",
            at_epochs=tuple(epochs * part for part in known.falls),
            factor=0.2,
            warmup_steps={"paper": 500, "cpu": 200, "smoke": 4}[budget],
        ),
        every=1,
    )


def _evals(known: Data, words: dict[str, str]) -> dict[str, dict]:
    """The linear and the MLP probe of y; judge=mlp: with the control, retrieval and figures.

    As published in the budget "paper". Of 128 pixels none is made of the pixels themselves.
    """
    pixels = () if known.encoder == "amdim128" else ("pixels",)
    y = dict(taps=("y",), representations=("trained", "untrained", *pixels, "pca"))
    protocol = "{}-v1"
    if words["budget"] == "paper":
        protocol = "amdim-imagenet-{}-v1" if known.classes == 1000 else "amdim-{}-v1"
    probes = dict(
        linear=dict(name="linear", protocol=protocol.format("linear"), **y),
        mlp=dict(name="mlp", protocol=protocol.format("mlp"), **y),
        uniformity=dict(name="uniformity", prior="gaussian"),  # y ends in batch norm
    )
    if words["judge"] == "y":
        return probes
    usual = common.evals(labels_per_class=10)
    more = {key: usual[key] for key in ("mlp_permuted", "neighbours", "filters")}
    return probes | more | dict(retrieval=dict(name="retrieval"), views=dict(name="views"))
