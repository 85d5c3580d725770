"""The run that the configs of Deep InfoMax's baselines share.

The encoders, schedules and evaluations are those of the DIM configs of the same data set
(configs/dim_cifar10.py, configs/dim_stl10.py), so that two rows of a table differ in their method
alone.
"""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from configs import common
from configs.common import datasets

DATA = ("cifar10", "cifar100", "tiny_imagenet", "stl10")
# The images that a method's decoder makes of the codes of images, and with a prior of drawn codes.
DECODED = dict(generative=dict(name="generative", representations=("trained",)))
GENERATIVE = DECODED | dict(samples=dict(name="samples", representations=("trained",)))
# Ours, for two cores; of 64 pixels a third of the encoder's width.
CPU = {"train.epochs": 10, "train.steps_per_dispatch": 50, "train.save_epochs": 1}
LONG = common.LONG | {"train.epochs": 25}
CPU_64 = {
    **{"train.epochs": 2, "train.steps_per_dispatch": 20, "train.save_epochs": 1},
    **{"method.method.encoder.width": 32, "method.method.encoder.hidden": 1024},
}
SMOKE = common.under("method.method", common.SMALL_ENCODER)
# Channels of decoders in smaller budgets; a quarter of the published ones for two cores: ours.
DECODERS = {"long": 128, "cpu": 128, "smoke": 16}


def parse(
    argument: str, data: tuple[str, ...] = DATA, **choices: tuple[str, ...]
) -> dict[str, str]:
    """The words of a baseline: its `choices`, the data set and the budget."""
    words = common.parse(argument, **choices, data=data, budget=common.LONG_BUDGETS)
    return datasets.check_long(words)


def encoder(words: dict[str, str], **more) -> dict[str, Any]:
    """The encoder of the DIM config with the same data set (official DIM code, convnets.py)."""
    if datasets.DATA[words["data"]].side <= 32:
        return common.encoder("dcgan32", width=64, hidden=1024, features=64) | more
    return common.encoder("alexnet64", width=96, hidden=4096, features=64) | more


def decoder(words: dict[str, str], base: int = 512) -> dict[str, Any]:
    """The DCGAN decoder or generator.

    Published for 32 pixels: official DIM code, deconvnets.py; the fourth doubling for 64 is ours.
    """
    side = datasets.DATA[words["data"]].side
    widths = tuple(base // 2 ** (stage + 1) for stage in range(3 if side == 32 else 4))
    return dict(name="decoder", base=base, widths=widths, shape=(side, side, 3))


def autoencoder(words: dict[str, str]) -> dict[str, Any]:
    """The plain autoencoder (official framework, models/ae.py), from which the others differ."""
    return dict(
        name="autoencoders",
        encoder=encoder(words),
        decoder=decoder(words),
        reconstruction=1.0,
        posterior="deterministic",
        beta=0.0,
        gamma=0.0,
        prior=placeholder(object),
        discriminator=placeholder(object),
        penalty=0.0,
    )


def config(
    words: dict[str, str],
    *,
    method: dict[str, Any],
    players: tuple[str, ...] = ("encoder",),
    published: dict[str, dict],
    published_finetuned: dict[str, dict] | None = None,
    judge: str = "mlp_paper",
    evals: dict[str, dict] | None = None,
    epochs: int | None = None,
    data: dict[str, Any] | None = None,
    short_rate: float = 1e-3,
    differs: str = "",
    **changes: dict[str, Any],
) -> ml_collections.ConfigDict:
    """The run of a baseline, watched by an online classifier.

    Args:
      players: those of the method.
      published: accuracies of conv, fc and y by data set, from Tables 1 and 2.
      published_finetuned: column SS of Table 2 by data set; the encoder is fine-tuned where it is.
      judge: the evaluation that the published numbers are of.
      evals: evaluations of the method, or changes of the usual ones; None removes one.
      epochs: where they are not those of DIM.
      data: more of the block `data`.
      short_rate: the learning rate of the smaller budgets; of `long`, with larger batches, half as
        much again.
      differs: on how the published numbers were measured otherwise under every budget.
      changes: more changes of the budgets.
    """
    name = words["data"]
    dataset, tuned = datasets.DATA[name], (published_finetuned or {}).get(name, {})
    accuracies = published.get(name, {})
    small = dataset.side <= 32  # Table 1, else Table 2
    adam = common.adam(1e-4, b1=0.5, b2=0.999)  # official DIM code, README and optimizer.py
    block = common.config(
        **datasets.images(name, **_splits(name) | (data or {})),
        method=common.monitored(method, classes=dataset.classes),
        players=dict(dict.fromkeys(players, adam), probe=common.adam(1e-3)),  # a monitor: ours
        train=common.train(
            batch_size=64,  # official DIM code, README
            # 1000 for CIFAR, 200 for the others: Hjelm et al. 2019 (the latter from memory).
            epochs=epochs or (1000 if small else 200),
            steps_per_dispatch=100,
            save_epochs=10 if small else 5,
        ),
        evals=_evals(name, accuracies if judge == "mlp_paper" else None, bool(tuned), evals or {}),
        published={judge: accuracies, "finetune": tuned},
        published_source=f"Hjelm et al. 2019, Table {1 if small else 2}",
        published_differs=differs,
    )
    short = common.faster(*players, learning_rate=short_rate)
    for part in {"decoder", "generator"} & method.keys():
        for budget, base in DECODERS.items():
            narrow = {key: decoder(words, base)[key] for key in ("base", "widths")}
            below = common.under(f"method.method.{part}", narrow)
            changes[budget] = below | changes.get(budget, {})
    cpu = short | (CPU if small else CPU_64) | changes.get("cpu", {})
    smoke = short | SMOKE | datasets.smoke(name) | changes.get("smoke", {})
    long = common.longer(*players, learning_rate=1.5 * short_rate) | LONG | changes.get("long", {})
    return common.budgeted(block, words["budget"], long=long, cpu=cpu, smoke=smoke)


def _splits(name: str) -> dict[str, str]:
    """The splits that the loader does not take unless it is told to."""
    usual = dict(train_split="train", test_split="test")
    return {key: split for key, split in datasets.splits(name).items() if split != usual[key]}


def _evals(
    name: str, accuracies: dict[str, float] | None, tuned: bool, changes: dict[str, dict | None]
) -> dict[str, dict]:
    """Of the data sets of the tables also the published MLP, of taps with a published accuracy.

    Where the method is another form than the published one, of all columns; None: of none.
    """
    taps = tuple(accuracies or common.TAPS) if name in DATA and accuracies is not None else ()
    chosen = common.evals(labels_per_class=10, published=taps)
    chosen |= common.finetuned() if tuned else {}
    for key, spec in changes.items():
        chosen[key] = None if spec is None else chosen.get(key, {}) | spec
    return {key: spec for key, spec in chosen.items() if spec is not None}
