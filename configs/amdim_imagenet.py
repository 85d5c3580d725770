"""AMDIM on ImageNet at 128x128 pixels (Bachman, Hjelm & Buchwalter 2019), streamed from disk.

    python -m dim_jax.main --config configs/amdim_imagenet.py:small,budget=paper
    python -m dim_jax.main --config configs/amdim_imagenet.py:data=imagenette,budget=cpu

The 1,281,167 training images of TFDS imagenet2012, the shorter side resized to 146 and the centre
cut out, random boxes of them resized to 128x128; judged on the centres of the 50,000 validation
images. `imagenette` is ten of its classes, TFDS imagenette/128px-v2: 9,469 images, seen whole.

Words: size=small | medium | large; data=imagenet | imagenette; the others are those of
configs/amdim_cifar10.py, but that `no_crop` leaves out the random boxes. `paper` has the published
50 epochs for the small network, 100 for the others.

Metric: test accuracy of a linear classifier and of an MLP on the frozen y. Published: the large
network 68.1 linear; the small one, from memory, 61.7/62.5 after 50 epochs and 62.7/63.1 with strong
augmentation (the README: a bit over 62 and 63); ablations below; nothing for imagenette. Boxes are
cut from resized images, probes are trained on a fixed random part of the training images. Measured:
nothing yet; ImageNet was not at hand.
"""

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
NAMES = {"imagenet": "imagenet2012", "imagenette": "imagenette/128px-v2"}


def get_config(argument: str = ""):
    words = amdim.parse(argument, "small", "medium", "large", data=tuple(NAMES))
    if words["data"] == "imagenette":
        return amdim.config(words, NAMES["imagenette"], published={})
    return amdim.config(
        words,
        NAMES["imagenet"],
        published=PUBLISHED,
        road="streaming",
        # Ours: the features of 100,000 images fit in memory.
        eval_train_images={"paper": 100_000, "cpu": 20_000, "smoke": 512}[words["budget"]],
    )
