"""AMDIM on STL-10 (Bachman, Hjelm & Buchwalter 2019), where its ablations were made.

    python -m dim_jax.main --config configs/amdim_stl10.py:small,budget=paper

Trained on the 105,000 labelled and unlabelled training images of 96x96, on random boxes of them
resized to 64x64; evaluated on the 5,000 labelled training and 8,000 test images, shorter side 70,
the centre 64.

Words: size=small | medium | large; the others are those of configs/amdim_cifar10.py, but that
`no_crop` leaves out the random boxes: the complete image is resized to 64x64, in evaluations too.

Metric: test accuracy of a linear classifier and of an MLP on the frozen y. Published for the small
network, from memory: 93.4/93.8; the ablations below. Classifiers see 30 random changes of each
training image, published are new ones in each of 120 epochs; means and deviations of the channels
are those of the labelled images. Measured: nothing yet, in no budget; the data set was not at hand.
"""

from configs.common import amdim

# Table (c): linear and MLP accuracy.
PUBLISHED = {
    ("small", "", ""): dict(linear=93.4, mlp=93.8),
    ("small", "augment", "strong"): dict(linear=94.2, mlp=94.5),
    ("small", "augment", "no_jitter"): dict(linear=90.3, mlp=90.6),
    ("small", "augment", "no_grey"): dict(linear=88.3, mlp=89.4),
    ("small", "augment", "no_crop"): dict(linear=86.0, mlp=87.1),
    ("small", "terms", "single"): dict(linear=92.6, mlp=93.0),
    ("small", "stabilise", "off"): dict(linear=93.5, mlp=93.8),
}


def get_config(argument: str = ""):
    words = amdim.parse(argument, *amdim.SIZES)
    return amdim.config(
        words,
        "stl10",
        side=64,
        size=amdim.SIZES[words["size"]],
        augment=amdim.boxes(64, hue=0.2, grey=0.25),
        eval_size=70,
        augmentations=30,
        epochs=300,
        falls=(250 / 300, 280 / 300),
        short_epochs=0.5,
        published=PUBLISHED,
    )
