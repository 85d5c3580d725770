"""AMDIM on ImageNet at 128x128 pixels (Bachman, Hjelm & Buchwalter 2019), streamed from disk.

    python -m dim_jax.main --config configs/amdim_imagenet.py:small,budget=paper
    python -m dim_jax.main --config configs/amdim_imagenet.py:data=imagenette,budget=cpu

The 1,281,167 training images of TFDS imagenet2012, the shorter side resized to 256 and the centre
cut out, random boxes of them resized to 128x128; evaluated on the 50,000 validation images, the
shorter side 146, the centre 128. `imagenette` is ten of its classes, TFDS imagenette/128px-v2:
9,469 images of 128x128, of which the smallest boxes are enlarged 1.8 times.

Words: size=small | medium | large; data=imagenet | imagenette; judged=same | places205; the others
are those of configs/amdim_cifar10.py, but that `no_crop` leaves out the random boxes. `paper` has
the published 50 epochs for the small network, 100 for the others. `places205` adds a linear
classifier of the images of Places205, which TensorFlow Datasets does not have: lay them in the
folder places205/ with sub-folders train/CLASS and val/CLASS, or give another one of this name by
--config.evals.linear_places205.data.name=folder:PATH/places205.

Metric: test accuracy of a linear classifier and of an MLP on the frozen y. Published: the large
network 68.1 linear, 55.0 on Places205; the small one, from memory, 61.7/62.5 after 50 epochs and
62.7/63.1 with strong augmentation (the README: a bit over 62 and 63); ablations below; nothing for
imagenette. Classifiers see four random changes of each image of a fixed random part of the training
images, published are all images, changed anew in each of 30 epochs. Measured: nothing yet; ImageNet
and Places205 were not at hand.
"""

from configs import common
from configs.common import amdim

# README and table (c): linear and MLP accuracy.
PUBLISHED = {
    ("large", "", ""): dict(linear=68.1),
    ("small", "", ""): dict(linear=61.7, mlp=62.5),
    ("small", "augment", "strong"): dict(linear=62.7, mlp=63.1),
    ("small", "augment", "no_jitter"): dict(linear=57.7, mlp=58.8),
    ("small", "augment", "no_grey"): dict(linear=53.6, mlp=54.9),
    ("small", "terms", "single"): dict(linear=59.9, mlp=61.2),
    ("small", "stabilise", "off"): dict(linear=57.2, mlp=59.5),
}
PLACES205 = {("large", "", ""): 55.0}  # README: linear, of an encoder that ImageNet trained
EPOCHS = {"small": 50, "medium": 100, "large": 100}  # README: the best results took 100
# Of 1,281,167 images, streamed. Ours: the features of 100,000 images fit in memory.
STREAMED = dict(
    **dict(road="streaming", eval_train_images=100_000),
    **dict(cpu={"data.eval_train_images": 20_000}, smoke={"data.eval_train_images": 512}),
)


def get_config(argument: str = ""):
    words = amdim.parse(
        argument,
        *amdim.SIZES,
        judged=("same", "places205"),
        data=("imagenet", "imagenette"),
    )
    name = words["data"]
    config = amdim.config(
        words,
        name,
        side=128,
        size=amdim.SIZES[words["size"]],
        augment=amdim.boxes(128, hue=0.1, grey=0.2),
        # 256: ours. The official code cuts the boxes from the files, most of about 500x375.
        image_size=256 if name == "imagenet" else 128,
        eval_size=146 if name == "imagenet" else None,
        augmentations=4,
        epochs=EPOCHS[words["size"]],
        falls=(0.6, 0.9),
        short_epochs=0.02 if name == "imagenet" else 2,
        published=PUBLISHED if name == "imagenet" else {},
        **(STREAMED if name == "imagenet" else {}),
    )
    if words["judged"] == "places205":
        accuracy = PLACES205.get((words["size"], *amdim.changed(words)))
        is_published = accuracy is not None and name == "imagenet"
        paper = words["budget"] == "paper"
        common.judge_on(
            *(config, "linear_places205", dict(name="folder:places205")),
            dict(y=accuracy) if is_published else {},
            name="linear",
            protocol="amdim-places-linear-v1" if paper else "linear-v1",
            **dict(taps=("y",), representations=("trained", "untrained", "pca")),
        )
    return config
