"""The run that the AMDIM configs of several data sets share.

Numbers are of Bachman et al. 2019 and its official code unless they say "ours". The sizes of the
network, the changes of the images and the durations stand in the configs.
"""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from configs import common
from configs.common import datasets

AUGMENTS = ("full", "strong", "no_jitter", "no_grey", "no_crop", "none")
TERMS = {"multiscale": ("1_to_5", "1_to_7", "5_to_5"), "single": ("1_to_7",)}
# Cubuk et al. 2020 (RandAugment), ImageNet; the published policy is that of Fast AutoAugment.
_STRONG = dict(randaugment=(2, 9))
# (ndf, n_rkhs, n_depth) of STL-10 and ImageNet: README.
SIZES = {"small": (192, 1536, 8), "medium": (256, 2048, 10), "large": (320, 2560, 10)}
_PLAYERS = ("encoder", "mlp_probe", "linear_probe")
# Ours.
CPU = {"train.batch_size": 128, "train.steps_per_dispatch": 30}
SMOKE = {"train.batch_size": 64, "method.method.classifier.hidden": 32}


def boxes(side: int, hue: float, grey: float) -> dict[str, Any]:
    """The changes of STL-10 and ImageNet: random boxes, colours, grey (official code, datasets.py).

    Differs: the boxes are bilinearly resized, there bicubically.
    """
    return dict(
        **dict(views=2, flip=True, flip_shared=True),
        **dict(crop=side, resized_crop=(0.3, 1.0), aspect=(0.7, 1.4)),
        **dict(jitter=(0.4, 0.4, 0.4, hue), jitter_rate=0.8, grey=grey),
    )


def parse(
    argument: str | None,
    *sizes: str,
    budgets: tuple[str, ...] = common.BUDGETS,
    **choices: tuple[str, ...],
) -> dict[str, str]:
    """The words of an AMDIM config; `sizes`: of its network."""
    return common.parse(
        argument,
        size=sizes,
        augment=AUGMENTS,
        terms=tuple(TERMS),
        stabilise=("on", "off"),
        budget=budgets,
        **choices,
    )


def config(
    words: dict[str, str],
    name: str,
    *,
    side: int,
    size: tuple[int, int, int],
    augment: dict[str, Any],
    image_size: int | None = None,
    eval_size: int | None = None,
    augmentations: int,
    epochs: int,
    falls: tuple[float, float],
    short_epochs: float,
    published: dict[tuple[str, str, str], dict[str, float]],
    cpu: dict[str, Any] | None = None,
    smoke: dict[str, Any] | None = None,
    **data: Any,
) -> ml_collections.ConfigDict:
    """The run of AMDIM on a data set of `datasets.DATA`.

    Args:
      side: of the images that the encoder sees.
      size: its ndf, n_rkhs and n_depth.
      augment: the published changes of the images.
      image_size: the shorter side of the images that random boxes are cut from, None as stored.
      eval_size: that of the images whose centre evaluations see, None the same.
      augmentations: of the training images that classifiers see in `paper`; published are new ones
        in each epoch.
      epochs, falls: the published duration, and where in it the rate falls, as parts of it.
      short_epochs: of budget=cpu.
      published: accuracies of y by the evaluations "linear" and "mlp", by (size, what is changed,
        how): the keys are (size, "", "") and (size, word, value) of the ablations.
      cpu, smoke: more changes of these budgets.
      data: more of the block `data`.
    """
    classes = datasets.DATA[name].classes
    stable = words["stabilise"] == "on"
    if words["augment"] in ("no_crop", "none") and "crop" in augment:
        image_size, eval_size = side, None  # the complete image, in training as well
    method = dict(
        name="amdim",
        encoder=dict(name=f"amdim{side}", **_size(*size), norm="none"),
        embedding=dict(name="embedding", norm="none"),
        terms=TERMS[words["terms"]],
        # costs.py; the paper has 0.04 (from notes of others).
        penalty=0.05 if stable else 0.0,
        clip=20.0 if stable else placeholder(float),  # train.py
    )
    adam = dict(  # task_self_supervised.py
        **dict(name="adam_l2", learning_rate=2e-4, b1=0.8, b2=0.999, l2=1e-5),
        schedule=dict(
            name="multistep",
            at_epochs=tuple(epochs * part for part in falls),
            factor=0.2,
            warmup_steps=500,
        ),
        every=1,
    )
    is_augmented = words["budget"] == "paper" and words["augment"] != "none"
    accuracies = published.get((words["size"], *changed(words)), {})
    block = common.config(
        augment=common.augment(**_augment(augment, words["augment"])),
        # Means and deviations per channel: official code, datasets.py; STL-10's differ by 0.02.
        data=common.data(
            datasets.DATA[name].name,
            **dict(image_size=image_size, eval_size=eval_size),
            scaling="standardized",
            **datasets.splits(name),
            **data,
        ),
        method=_monitored(method, classes),
        players=dict.fromkeys(_PLAYERS, adam),
        train=common.train(
            batch_size=480,  # README
            epochs=epochs,
            steps_per_dispatch=100,
            save_epochs=max(epochs / 20, 1.0),
        ),
        evals=_evals(side, classes, augmentations if is_augmented else None),
        published={key: dict(y=value) for key, value in accuracies.items()},
        published_source="Bachman et al. 2019" if accuracies else "",
        published_differs=_differs(augmentations if is_augmented else None) if accuracies else "",
    )
    # Ours: in `cpu` ndf 32, depth 2 and 256 features, for two cores; `long` is for hours.
    long = CPU | _short(40.0, falls, (48, 512, 2), warmup=200) | {"train.save_epochs": 1.0}
    short = CPU | _short(short_epochs, falls, (32, 256, 2), warmup=200)
    shortest = datasets.smoke(name) | SMOKE | _short(2.0, falls, (4, 32, 1), warmup=4)
    budgets = dict(long=long, cpu=short | (cpu or {}), smoke=shortest | (smoke or {}))
    return common.budgeted(block, words["budget"], **budgets)


def _differs(augmentations: int | None) -> str:
    seen = f"{augmentations} of each image" if augmentations else "unchanged images"
    return f"They are of classifiers that saw new random changes in each epoch; these see {seen}."


def _size(ndf: int, n_rkhs: int, n_depth: int) -> dict[str, int]:
    return dict(ndf=ndf, n_rkhs=n_rkhs, n_depth=n_depth)


def _short(
    epochs: float, falls: tuple[float, float], size: tuple[int, int, int], warmup: int
) -> dict[str, Any]:
    """The changes that the smaller budgets have both, in numbers that are ours."""
    changes = {
        **{"train.epochs": epochs, "train.save_epochs": epochs / 3},
        **common.under("method.method.method.encoder", _size(*size)),
    }
    for player in _PLAYERS:
        changes |= {
            f"players.{player}.learning_rate": 5e-4,
            f"players.{player}.schedule.at_epochs": tuple(epochs * part for part in falls),
            f"players.{player}.schedule.warmup_steps": warmup,
        }
    return changes


def changed(words: dict[str, str]) -> tuple[str, str]:
    """The word that differs from the published setting: ("", "") if none, ("-", "-") if several."""
    normal = dict(augment="full", terms="multiscale", stabilise="on")
    others = [(key, words[key]) for key, value in normal.items() if words[key] != value]
    return others[0] if len(others) == 1 else ("-", "-") if others else ("", "")


def _augment(full: dict[str, Any], kind: str) -> dict[str, Any]:
    """The changes of the images in training."""
    if kind == "none":  # the same image twice
        return {}
    boxes = "resized_crop" in full
    changes = dict(
        **dict(full={}, strong=_STRONG, no_jitter=dict(jitter=None), no_grey=dict(grey=0.0)),
        no_crop=dict(crop=None, resized_crop=None) if boxes else dict(translate=0),
    )
    return full | changes[kind]


def _monitored(method: dict, classes: int) -> dict[str, Any]:
    """The method with its MLP and its linear classifier of y: official code, model.py, costs.py."""
    mlp = dict(name="mlp_classifier", hidden=1024, dropout=0.2, classes=classes)
    linear = dict(name="affine", outputs=classes)
    for player, classifier in (("mlp_probe", mlp), ("linear_probe", linear)):
        method = dict(
            **dict(name="probe", player=player, taps=("y",), classifier=classifier),
            **dict(clip=10.0, penalty=1e-3, method=method),
        )
    return method


def _evals(side: int, classes: int, augmentations: int | None) -> dict[str, dict]:
    """The published linear and MLP classifier of y, with the control, retrieval and figures.

    Of 128 pixels none is made of the pixels themselves, and pixels are not augmented.
    """
    encoders, pixels = ("trained", "untrained"), () if side == 128 else ("pixels",)
    y = dict(taps=("y",), representations=(*encoders, *pixels, "pca"))
    y |= dict(augmentations=placeholder(int))
    if augmentations is not None:
        y |= dict(augmentations=augmentations, representations=encoders)
    protocol = "amdim-imagenet-{}-v1" if classes == 1000 else "amdim-{}-v1"
    usual = common.evals(labels_per_class=None)
    return dict(
        linear=dict(name="linear", protocol=protocol.format("linear"), **y),
        mlp=dict(name="mlp", protocol=protocol.format("mlp"), **y),
        **common.GAUSSIAN,  # y ends in batch norm
        **{key: usual[key] for key in ("mlp_permuted", "neighbours", "filters")},
        retrieval=dict(name="retrieval"),
        views=dict(name="training_views"),
    )
