"""Deep InfoMax on ImageNet at 64x64 pixels: data that do not fit in memory, streamed from disk.

    python -m dim_jax.main --config configs/dim_imagenet.py:local,bound=infonce,budget=paper

The 1,281,167 training images of TFDS imagenet2012 (array_record files), the shorter side resized to
64 and the centre cut out, read from disk as they are needed; evaluated on the 50,000 validation
images. Probes are trained on a fixed random part of the training images. Any other TFDS set or
folder runs as well: --config.data.name=imagenette/128px-v2 --config.train.epochs=1.

Words: weights, bound, critic, prior and tasks of configs/dim_cifar10.py; budget=paper | cpu |
smoke.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Not published:
DIM printed no numbers for ImageNet; network, objective and rates are those of its 64x64 data sets
(configs/dim_stl10.py), all durations and shares are ours. Measured: nothing yet on ImageNet, which
was not at hand; on imagenette the config ran in small budgets.
"""

from configs import common, dim_stl10
from configs.common import datasets

CPU = {"train.epochs": 0.1, "train.save_epochs": 0.02, "data.eval_train_images": 50_000}
SMOKE = {"data.eval_train_images": 512}


def get_config(argument: str = ""):
    return of(argument, "imagenet")


def of(argument: str, name: str):
    """The config of a million photographs, streamed."""
    words = dim_stl10.parse(argument)
    # The 512 images of `smoke` are not ten of each class.
    per_class = None if words["budget"] == "smoke" else 10
    config = dim_stl10.published(
        words,
        name,
        evals=common.evals(labels_per_class=per_class),
        source="",
        # Of a million images 50 epochs are somewhat more steps than a thousand of CIFAR-10.
        **dict(epochs=50, save_epochs=1),
        road="streaming",
        eval_train_images=100_000,
    )
    smoke = dim_stl10.smoke(words) | SMOKE | datasets.smoke(name)
    return common.budgeted(config, words["budget"], cpu=dim_stl10.cpu(words) | CPU, smoke=smoke)
