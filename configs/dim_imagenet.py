"""Deep InfoMax on ImageNet at 64x64 pixels: data that do not fit in memory, streamed from disk.

    python -m dim_jax.main --config configs/dim_imagenet.py:local,bound=infonce,budget=paper

The 1,281,167 training images of TFDS imagenet2012 (array_record files), the shorter side resized to
64 and the centre cut out, read from disk as they are needed; judged on the 50,000 validation
images. Probes are trained on a fixed random part of the training images. Any other TFDS set or
folder runs as well: --config.data.name=imagenette/128px-v2 --config.train.epochs=1.

Words: local | global | mixed; bound=infonce | jsd | dv | gan | nwj | rkl | h2 | chi2;
tasks=plain | coord | occlude | both; budget=paper | cpu | smoke.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y. Not published:
DIM printed no numbers for ImageNet; network and objective are those of its 64x64 data sets, all
durations are ours. Measured: nothing yet on ImageNet, which was not at hand; on imagenette the
config ran in small budgets.
"""

from configs import common
from configs.common import infomax


def get_config(argument: str = ""):
    return large(argument, name="imagenet2012", classes=1000)


def large(argument: str, *, name: str, classes: int):
    """The config of a million photographs, streamed; every duration and share here is ours."""
    budget = next((word for word in common.BUDGETS if word in (argument or "")), "paper")
    splits = dict(train_split="train", test_split="validation")
    if budget == "smoke":
        splits = dict(train_split="train[:512]", test_split="validation[:256]")
    config = infomax.dim_alexnet(
        argument,
        name=name,
        classes=classes,
        crop=None,
        splits=dict(
            splits,
            image_size=64,
            road="streaming",
            eval_train_images={"paper": 100_000, "cpu": 50_000, "smoke": 512}[budget],
        ),
        published={},
        published_finetuned={},
    )
    config.published_source = ""
    # Of a million images 50 epochs are somewhat more steps than a thousand of CIFAR-10.
    config.train.epochs = {"paper": 50.0, "cpu": 0.1, "smoke": 2.0}[budget]
    config.train.save_epochs = {"paper": 1.0, "cpu": 0.02, "smoke": 1.0}[budget]
    if budget == "smoke":  # 512 images of so many classes: not ten of each
        for key in [key for key in config.evals if key.endswith("_few")]:
            del config.evals[key]
    return config
