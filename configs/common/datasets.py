"""The data sets of the configs, in one table, and the few images of `smoke`."""

from typing import Any, NamedTuple

from configs import common
from dim_jax import settings


class DataSet(NamedTuple):
    """A data set, by the name that configs have for it.

    name: of TensorFlow Datasets.
    examples: training images, labelled or not.
    side: of the square images that the encoders of Deep InfoMax and its baselines see.
    image_size: for these the shorter side is resized to it and the centre cut out.
    crop: for these they train on random crops of this side and on flips.
    """

    name: str
    classes: int
    examples: int
    side: int
    image_size: int | None = None
    crop: int | None = None
    train: str = "train"
    test: str = "test"


DATA = {
    "mnist": DataSet("mnist", 10, 60_000, 28),
    "cifar10": DataSet("cifar10", 10, 50_000, 32),
    "cifar100": DataSet("cifar100", 100, 50_000, 32),
    # 96x96. Random crops of 64: Hjelm et al. 2019, section 4.2.
    "stl10": DataSet("stl10", 10, 105_000, 64, crop=64, train="train+unlabelled"),
    "tiny_imagenet": DataSet("tiny_imagenet", 200, 100_000, 64, 64, test="validation"),
    "imagenet": DataSet("imagenet2012", 1000, 1_281_167, 64, 64, test="validation"),
    "imagenette": DataSet("imagenette/128px-v2", 10, 9_469, 64, 64, test="validation"),
    "places": DataSet("places365_small", 365, 1_803_460, 64, 64, test="validation"),
    # 40 attributes, no classes. 64: official DIM code, torchvision_datasets.py; its cut of the
    # 218x178 images is not published.
    "celeb_a": DataSet("celeb_a", 0, 162_770, 64, 64),
    # No labels.
    "lsun": DataSet("lsun/bedroom", 0, 3_033_042, 64, 64, test="validation"),
}
SMOKE_EXAMPLES = 512


def splits(name: str) -> dict[str, str]:
    """The splits of a data set, in the words of the `data` block."""
    return dict(train_split=DATA[name].train, test_split=DATA[name].test)


def images(name: str, **data: Any) -> dict[str, Any]:
    """The blocks `data`, with more of it, and `augment` of Deep InfoMax and its baselines."""
    dataset = DATA[name]
    return dict(
        data=common.data(dataset.name, **dict(image_size=dataset.image_size) | data),
        augment=common.augment(crop=dataset.crop, flip=dataset.crop is not None),
    )


def check_long(words: dict[str, str]) -> dict[str, str]:
    """The words of a config, unless they ask for the budget `long` of larger images.

    Raises: settings.UserError: `long` and a data set whose images have more than 32 pixels.
    """
    name = words["data"]
    if words["budget"] == "long" and DATA[name].side > 32:
        raise settings.UserError(
            f"budget=long has no recipe for data={name}: use budget=paper, cpu or smoke, or images "
            "of 32 pixels"
        )
    return words


def smoke(name: str) -> dict[str, Any]:
    """The changes of `smoke` that are alike in all configs: 512 images, in equal parts of the
    training splits, 256 test images, and two epochs."""
    parts = DATA[name].train.split("+")
    return {
        "data.train_split": "+".join(f"{part}[:{SMOKE_EXAMPLES // len(parts)}]" for part in parts),
        "data.test_split": f"{DATA[name].test}[:256]",
        **{"train.epochs": 2, "train.steps_per_dispatch": 4, "train.save_epochs": 1},
    }
