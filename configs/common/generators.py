"""The run that the configs of generators share: data, networks, training and evaluations."""

from typing import Any

import ml_collections

from configs import common
from configs.common import datasets

DATA = ("mnist", "cifar10", "imagenette", "tiny_imagenet", "celeb_a", "lsun")
NETS = ("resnet", "dcgan")
# Weights of the contractive penalty differ by a factor of 2 between the paper and its code.
CONVENTIONS = {"paper": "half", "released": "full"}
# Of the average of the generator's parameters: Yazici et al. 2019 at 200,000 steps; then ours.
_DECAYS = {"paper": 0.9999, "cpu": 0.999, "smoke": 0.9}
_BATCH = 64  # Gulrajani et al. 2017, released code
# Hjelm et al. 2019, Table 11, Tiny ImageNet; the row of WGAN-GP is from memory.
PUBLISHED = {
    "two_gaussians": {"samples/inception_score[inception]": 7.41, "samples/fid[inception]": 55.15},
    "ns_gan_cp": {"samples/inception_score[inception]": 8.65, "samples/fid[inception]": 40.17},
    "wgan_gp": {"samples/inception_score[inception]": 8.41, "samples/fid[inception]": 42.30},
}


def parse(argument: str, **choices: tuple[str, ...]) -> dict[str, str]:
    """The words of a generator's config: its `choices`, data, networks, what is evaluated, budget.

    Networks are by default the published ones, in the smaller budgets those of DCGAN.
    """
    words = common.parse(
        argument,
        **choices,
        penalty=tuple(CONVENTIONS),
        data=DATA,
        nets=("auto", *NETS),
        evaluated=("last", "average"),
        budget=common.BUDGETS,
    )
    if words["nets"] == "auto":
        words["nets"] = "resnet" if words["budget"] == "paper" else "dcgan"
    return words


def side(words: dict[str, str]) -> int:
    """The side of the images: 32 for MNIST, whose 28 pixels are padded, and CIFAR, else 64."""
    return max(32, datasets.DATA[words["data"]].side)


def networks(words: dict[str, str], norm: str = "none") -> dict[str, Any]:
    """The blocks of critic and generator, and of the codes.

    `norm` is the critic's. Those of DCGAN are our small ones: the DIM encoder, and the decoder of
    its baselines.
    """
    size, channels = side(words), 1 if words["data"] == "mnist" else 3
    shape = (size, size, channels)
    codes = dict(prior=dict(name="gaussian"), dimensions=128)  # released code
    if words["nets"] == "resnet":
        width = 128 if size == 32 else 64  # released code
        return dict(
            encoder=dict(name="resnet_critic", width=width, norm=norm),
            generator=dict(name="resnet_generator", width=width, shape=shape),
            **codes,
        )
    encoder = common.encoder(f"dcgan{size}", width=32, hidden=256, features=1) | dict(norm=norm)
    widths = tuple(128 // 2 ** (stage + 1) for stage in range(3 if size == 32 else 4))
    generator = dict(name="decoder", base=128, widths=widths, shape=shape)
    return dict(encoder=encoder, generator=generator, **codes)


def config(
    words: dict[str, str],
    *,
    method: dict[str, Any],
    players: dict[str, dict],
    row: str,
    steps: int,
    cpu: dict[str, Any],
) -> ml_collections.ConfigDict:
    """The run of a generator.

    Args:
      players: their optimizers.
      row: of `PUBLISHED`.
      steps: of the training, in the published budget.
      cpu: changes of the optimizers in both smaller budgets.
    """
    name = words["data"]
    dataset, smoke = datasets.DATA[name], datasets.smoke(name)
    padded = dict(image_size=32, fit="pad") if name == "mnist" else {}
    published = PUBLISHED.get(row, {}) if name == "tiny_imagenet" else {}
    block = common.config(
        data=common.data(
            dataset.name, **dict(image_size=dataset.image_size) | padded | datasets.splits(name)
        ),
        method=method,
        players=players,
        train=common.train(
            batch_size=_BATCH,
            epochs=steps * _BATCH / dataset.examples,
            steps_per_dispatch=100,
            save_epochs=max(1.0, round(steps * _BATCH / dataset.examples / 50)),
        ),
        evals=evals(),
        published=dict(fid=published),
        published_source="Hjelm et al. 2019, Table 11" if published else "",
    )
    small = {key: value for key, value in smoke.items() if key.startswith("data.")}
    narrow = {"method.encoder.width": 4, "method.generator.width": 4}
    half = {}
    if words["nets"] == "dcgan":
        widths = tuple(8 // 2 ** min(stage, 2) for stage in range(3 if side(words) == 32 else 4))
        small_widths = tuple(64 // 2 ** (stage + 1) for stage in range(len(widths)))
        half = {
            **{"method.encoder.width": 16, "method.encoder.hidden": 128},
            **{"method.generator.base": 64, "method.generator.widths": small_widths},
        }
        narrow = {
            **{"method.encoder.width": 4, "method.encoder.hidden": 32},
            **{"method.generator.base": 16, "method.generator.widths": widths},
        }
    made = common.budgeted(
        block,
        words["budget"],
        # Ours, for two cores.
        cpu=cpu
        | half
        | {"train.epochs": 5.0, "train.steps_per_dispatch": 50, "train.save_epochs": 1.0}
        | {"method.dimensions": 64},
        smoke=cpu | small | smoke | narrow | {"method.dimensions": 8},
    )
    if words["evaluated"] == "average":
        decay = _DECAYS[words["budget"]]
        made.method.generator = dict(name="averaged", decay=decay, generator=made.method.generator)
    return made


def evals() -> dict[str, dict]:
    """Pictures of samples, the histogram of the scores, and the quality of samples."""
    return dict(
        samples=dict(name="samples"), scores=dict(name="score_histogram"), **common.sample_quality()
    )
