"""Deep InfoMax on Places365 at 64x64 pixels: data that do not fit in memory, streamed from disk.

    python -m dim_jax.main --config configs/dim_places.py:local,bound=infonce,budget=paper

The 1,803,460 training images of TFDS places365_small (array_record files), the shorter side resized
to 64 and the centre cut out, read from disk as they are needed; evaluated on the 36,500
validation images. Probes are trained on a fixed random part of the training images.

Words: weights, bound, critic, prior and tasks of configs/dim_cifar10.py; budget=paper | cpu |
smoke.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Not published:
DIM printed no numbers for Places; all settings are those of configs/dim_imagenet.py. Measured:
nothing yet, in no budget; the data set was not at hand.
"""

from configs import dim_imagenet


def get_config(argument: str = ""):
    return dim_imagenet.of(argument, "places")
