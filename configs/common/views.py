"""The run that methods across augmented views share: SimCLR, MoCo, BYOL, SwAV and their like.

Each config states its method, optimizer and augmentation as published on ImageNet with a ResNet-50;
this module brings them to the other data sets and to smaller budgets. Numbers that are not of a
paper say "ours".
"""

import dataclasses
from typing import Any, NamedTuple

import ml_collections

from configs import common
from configs.common import datasets

AUGMENTS = ("published", "crop", "none")
# Chen et al. 2020 and Grill et al. 2020, App. B. Both: boxes and flips drawn for each view.
_CROP = dict(views=2, resized_crop=(0.08, 1.0), flip=True, flip_shared=False)
SIMCLR_VIEWS = _CROP | dict(jitter=(0.8, 0.8, 0.8, 0.2), jitter_rate=0.8, grey=0.2, blur=0.5)
# The blur and the solarisation of the first and the second view.
BYOL_VIEWS = _CROP | dict(
    **dict(jitter=(0.4, 0.4, 0.2, 0.1), jitter_rate=0.8, grey=0.2),
    **dict(blur=(1.0, 0.1), solarise=(0.0, 0.2)),
)


_DIFFERS = (
    "They are of linear classifiers whose optimizers, augmentations and durations are not those of "
    "linear-v1."
)


class Images(NamedTuple):
    """The encoder and the images of a data set."""

    encoder: str
    stem: str
    image_size: int | None
    crop: int | None
    batch: int | None = None
    epochs: int | None = None
    eval_size: int | None = None


IMAGES = {
    # Batch 512 and 1000 epochs with ResNet-18: official SimCLR code, README.
    "cifar10": Images("resnet18", "cifar", None, None, 512, 1000),
    "cifar100": Images("resnet18", "cifar", None, None, 512, 1000),
    # Ours.
    "stl10": Images("resnet18", "imagenet", None, 96, 512, 200),
    "imagenette": Images("resnet18", "imagenet", 128, None, 256, 400),
    # Evaluated on 224 pixels of images brought to 256: the usual preparation. Boxes are cut from
    # 384, ours: about the shorter side of most files.
    "imagenet": Images("resnet50", "imagenet", 384, 224, eval_size=256),
}
# On 32 pixels there is no blur, and colours change half as much: official SimCLR code, README.
_SMALL_IMAGES = dict(blur=0.0, jitter=(0.4, 0.4, 0.4, 0.1))
# Ours, for two cores: an encoder that AMDIM can have too, which needs maps of 5x5 and 7x7.
CPU_ENCODER = dict(name="amdim32", ndf=16, n_rkhs=128, n_depth=1, norm="batch")
# Of larger images a ResNet-18 of a quarter of the channels.
CPU_WIDTH = 16
CPU = {
    **{"train.batch_size": 128, "train.epochs": 4.0, "train.steps_per_dispatch": 20},
    **{"train.save_epochs": 1.0, "train.norm_groups": 1},
}


# Changes of the projection head in smaller budgets; the wide one where features are decorrelated.
SMALL_HEAD = {"projector.widths": (512,), "projector.features": 128}
WIDE_HEAD = {"projector.widths": (512,), "projector.features": 512}
SMOKE_HEAD = {"projector.widths": (32,), "projector.features": 16}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A method across views as published on ImageNet.

    method: its block without the encoder.
    optimizer: of the player `encoder`.
    augment: the published views.
    published: {data set: accuracy of a linear classifier of y}.
    rate: the learning rate per 256 images of the batch, where it grows with the batch; the
      optimizer has that of `batch`.
    groups: of batch norm, as on this number of devices.
    small, small_optimizer, small_rate: changes of the method's block and of the optimizer, and the
      rate per 256 images, for CIFAR.
    cpu, smoke: changes of the method's block in these budgets; `cpu_rate` of Adam there. Ours.
    """

    method: dict[str, Any]
    optimizer: dict[str, Any]
    batch: int
    epochs: int
    augment: dict[str, Any]
    published: dict[str, float]
    source: str
    rate: float | None = None
    groups: int = 1
    small: dict[str, Any] = dataclasses.field(default_factory=dict)
    small_optimizer: dict[str, Any] = dataclasses.field(default_factory=dict)
    small_rate: float | None = None
    cpu: dict[str, Any] = dataclasses.field(default_factory=dict)
    smoke: dict[str, Any] = dataclasses.field(default_factory=dict)
    cpu_rate: float = 1e-3


def parse(argument: str | None, **choices: tuple[str, ...]) -> dict[str, str]:
    """The words of a config: its `choices`, the data set, the augmentation and the budget."""
    words = dict(data=tuple(IMAGES), augment=AUGMENTS, budget=common.BUDGETS)
    return common.parse(argument, **choices, **words)


def projector(*widths: int, features: int, last_norm: bool = False) -> dict[str, Any]:
    """A projection or prediction head."""
    return dict(
        **dict(name="projector", widths=widths, features=features),
        **dict(norm="batch" if widths else "none", last_norm=last_norm),
    )


def lars(rate: float, *, weight_decay: float, warmup: float = 10.0, end: float = 0.0) -> dict:
    """LARS with momentum 0.9, linear warm-up and a cosine; biases and norms have neither."""
    return dict(
        **dict(name="lars", learning_rate=rate, weight_decay=weight_decay, momentum=0.9),
        **dict(trust_coefficient=1e-3, exclude_vectors=True, every=1),
        schedule=dict(name="cosine", warmup_epochs=warmup, end=end),
    )


def config(words: dict[str, str], recipe: Recipe) -> ml_collections.ConfigDict:
    """The run of a method on a data set."""
    name = words["data"]
    images, dataset = IMAGES[name], datasets.DATA[name]
    if words["augment"] == "none":  # no boxes, so that training sees what evaluations see
        images = images._replace(image_size=images.eval_size or images.image_size, eval_size=None)
    batch = images.batch or recipe.batch
    is_cifar = name.startswith("cifar")
    optimizer = recipe.optimizer | (recipe.small_optimizer if is_cifar else {})
    if rate := (is_cifar and recipe.small_rate) or recipe.rate:
        optimizer["learning_rate"] = rate * batch / 256
    method = recipe.method | (recipe.small if is_cifar else {})
    encoder = dict(name=images.encoder, stem=images.stem, width=64)
    splits = {} if is_cifar else datasets.splits(name)
    if name == "imagenet":
        splits |= dict(road="streaming", eval_train_images=100_000)  # the images: ours
    block = common.config(
        augment=common.augment(**augmentation(words["augment"], recipe.augment, images)),
        data=common.data(
            *(dataset.name,),
            **dict(image_size=images.image_size, eval_size=images.eval_size),
            scaling="standardized",
            **splits,
        ),
        method=monitored(method | dict(encoder=encoder), dataset.classes),
        players=dict(encoder=optimizer, probe=common.adam(1e-3)),  # a monitor: ours
        train=common.train(
            batch_size=batch,
            epochs=images.epochs or recipe.epochs,
            steps_per_dispatch=100,
            save_epochs=10,
            norm_groups=recipe.groups,
        ),
        evals=evals(large=dataset.side > 32),
        published=dict(linear=dict(y=recipe.published[name])) if name in recipe.published else {},
        published_source=recipe.source if name in recipe.published else "",
        published_differs=_DIFFERS if name in recipe.published else "",
    )
    return common.budgeted(
        block, words["budget"], cpu=_cpu(recipe, name), smoke=_smoke(recipe, name)
    )


def augmentation(kind: str, published: dict[str, Any], images: Images) -> dict[str, Any]:
    """The views: as published, their boxes and flips alone, or the same image twice."""
    views = {key: published[key] for key in ("views", "resized_crop", "flip", "flip_shared")}
    if kind == "none":
        return dict(views=2, crop=images.crop)
    if kind == "published":
        views = published | ({} if images.crop or images.image_size else _SMALL_IMAGES)
    if not (images.crop or images.image_size):  # small images have no smaller crops
        views = {key: value for key, value in views.items() if not key.startswith("small_crop")}
    return views | dict(crop=images.crop)


def evals(*, large: bool) -> dict[str, dict]:
    """Linear and k-NN probes of y beside the control, and what tells without labels."""
    pixels = () if large else ("pixels",)
    y = dict(taps=("y",), representations=("trained", "untrained", *pixels, "pca"))
    control = dict(taps=("y",), permuted=True, representations=("trained",))
    return dict(
        linear=dict(name="linear", protocol="linear-v1", **y),
        knn=dict(name="knn", protocol="knn-v1", **y),
        linear_permuted=dict(name="linear", protocol="linear-v1", **control),
        rank=dict(name="rank", taps=("y",)),
        alignment=dict(name="alignment", taps=("y",)),
        retrieval=dict(name="retrieval"),
        views=dict(name="training_views"),
    )


def monitored(method: dict[str, Any], classes: int) -> dict[str, Any]:
    """The method, watched by a linear classifier of y: ours."""
    classifier = dict(name="affine", outputs=classes)
    return dict(name="probe", taps=("y",), classifier=classifier, method=method)


def short_adam(rate: float) -> dict[str, Any]:
    """Adam for short runs, in the place of LARS, which needs large batches: ours."""
    return dict(
        **dict(name="adam", learning_rate=rate, b1=0.9, b2=0.999),
        schedule=dict(name="cosine", warmup_epochs=0.2),
        every=1,
    )


def _cpu(recipe: Recipe, name: str) -> dict[str, Any]:
    encoder = dict(name="resnet18", stem="imagenet", width=CPU_WIDTH)
    changes = {
        "method.method.encoder": CPU_ENCODER if name.startswith("cifar") else encoder,
        "players.encoder": short_adam(recipe.cpu_rate),
        **common.under("method.method", recipe.cpu),
    }
    return changes | CPU


def _smoke(recipe: Recipe, name: str) -> dict[str, Any]:
    encoder = dict(name="auto", width=4, hidden=32, features=8)
    if "small_crops" in recipe.augment and not name.startswith("cifar"):  # views of two sizes
        encoder = dict(name="resnet18", stem="imagenet", width=4)
    changes = {
        "method.method.encoder": encoder,
        "players.encoder": short_adam(recipe.cpu_rate),
        **common.under("method.method", recipe.smoke),
        **datasets.smoke(name),
        **{"train.batch_size": 64, "train.norm_groups": 1},
    }
    if name == "imagenet":
        changes["data.eval_train_images"] = datasets.SMOKE_EXAMPLES
    return changes
