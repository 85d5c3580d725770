"""Deep InfoMax on Tiny ImageNet: the DIM rows of Table 2 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/dim_tiny_imagenet.py:local,bound=infonce,budget=paper

Tiny ImageNet (200 classes, 100,000 training images of 64x64 pixels, evaluated on the 10,000
validation images) is not in the TFDS catalogue: build it under the name tiny_imagenet, or sort the
images into train/CLASS and validation/CLASS and add --config.data.name=folder:PATH
--config.data.train_split=train --config.data.test_split=validation.

Words: weights, bound, critic, prior and tasks of configs/dim_cifar10.py; budget=paper | cpu |
smoke. Network, rates, durations and budgets are those of configs/dim_stl10.py.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Published for
DIM(L): InfoNCE 34.21/38.09/33.33, JSD 33.54/36.88/31.66, DV 30.35/29.51/28.18. Measured: nothing
yet, in no budget; the data set was not at hand, and the config ran on other images only.
"""

from configs import common, dim_stl10
from configs.common import datasets

# Table 2, columns conv, fc and y of Tiny ImageNet.
PUBLISHED = {
    ("local", "dv"): dict(conv=30.35, fc=29.51, y=28.18),
    ("local", "jsd"): dict(conv=33.54, fc=36.88, y=31.66),
    ("local", "infonce"): dict(conv=34.21, fc=38.09, y=33.33),
    ("global", "jsd"): dict(conv=11.32, fc=6.34, y=4.95),
}


def get_config(argument: str = ""):
    words = dim_stl10.parse(argument)
    config = dim_stl10.published(
        words,
        "tiny_imagenet",
        accuracies=PUBLISHED,
        evals=common.evals(labels_per_class=10, published=common.TAPS),
    )
    smoke = dim_stl10.smoke(words) | datasets.smoke("tiny_imagenet")
    return common.budgeted(config, words["budget"], cpu=dim_stl10.cpu(words), smoke=smoke)
