"""What the configs of Deep InfoMax's baselines share: the data sets of its tables, and the run.

The encoders, schedules and evaluations are those of the DIM configs of the same data set, so that
two rows of a table differ in their method alone.
"""

from typing import Any, NamedTuple

import ml_collections
from ml_collections.config_dict import placeholder

from configs import common


class Data(NamedTuple):
    """A data set of Tables 1 and 2: `shape` is of the images that encoders see."""

    encoder: str
    shape: tuple[int, int, int]
    classes: int
    examples: int  # training images
    table: int
    image_size: int | None = None
    crop: int | None = None
    train: str | None = None
    test: str | None = None


_SMALL, _LARGE = (32, 32, 3), (64, 64, 3)
DATA = {
    "cifar10": Data("dcgan32", _SMALL, 10, 50_000, 1),
    "cifar100": Data("dcgan32", _SMALL, 100, 50_000, 1),
    "tiny_imagenet": Data(
        *("alexnet64", _LARGE, 200, 100_000, 2), image_size=64, test="validation"
    ),
    # Random crops of 64 of the 96 pixels and flips, as in the DIM config.
    "stl10": Data("alexnet64", _LARGE, 10, 105_000, 2, crop=64, train="train+unlabelled"),
}
_SMOKE_EXAMPLES = 512
# What a method's own decoder is asked.
GENERATIVE = dict(generative=dict(name="generative", representations=("trained",)))


def parse(argument: str, **choices: tuple[str, ...]) -> dict[str, str]:
    """The words of a baseline: its own `choices`, the data set, the budget and the judge."""
    return common.parse(
        argument, **choices, data=tuple(DATA), budget=common.BUDGETS, judge=common.JUDGES
    )


def examples(words: dict[str, str]) -> int:
    """The number of training images."""
    return _SMOKE_EXAMPLES if words["budget"] == "smoke" else DATA[words["data"]].examples


def encoder(words: dict[str, str], **more) -> dict[str, Any]:
    """The encoder of the DIM config with the same data set and budget."""
    known, budget = DATA[words["data"]], words["budget"]
    sizes = {}
    if known.encoder == "alexnet64":
        # Published: 96, 4096 (official DIM code, alex64x64); a third of that in `cpu`: ours.
        paper = budget == "paper"
        sizes = dict(width=96 if paper else 32, hidden=4096 if paper else 1024)
    return common.encoder(known.encoder, smoke=budget == "smoke", **sizes) | more


def decoder(words: dict[str, str]) -> dict[str, Any]:
    """The DCGAN decoder or generator; `cpu` has a quarter of the published channels.

    Published for 32 pixels: official DIM code, deconvnets.py; the fourth doubling for 64 is ours.
    """
    shape = DATA[words["data"]].shape
    base = {"paper": 512, "cpu": 128, "smoke": 16}[words["budget"]]
    widths = tuple(base // 2 ** (stage + 1) for stage in range(3 if shape[0] == 32 else 4))
    return dict(name="decoder", base=base, widths=widths, shape=shape)


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


def gaussian_marginals() -> dict[str, Any]:
    """The marginals of y compared with a normal prior, in the place of the uniform one."""
    return dict(uniformity=dict(name="uniformity", prior="gaussian"))


def config(
    words: dict[str, str],
    *,
    method: dict[str, Any],
    players: dict[str, Any],
    published: dict[str, dict],
    published_finetuned: dict[str, dict] | None = None,
    published_measures: dict[str, dict] | None = None,
    evals: dict[str, dict] | None = None,
) -> ml_collections.ConfigDict:
    """The run of a baseline, watched by an online classifier.

    Args:
      players: the optimizers of the method's players.
      published: accuracies of conv, fc and y by data set, from Tables 1 and 2.
      published_finetuned: column SS of Table 2 by data set; the encoder is fine-tuned where it is.
      published_measures: what Table 4 has of each evaluation, for CIFAR-10.
      evals: evaluations of the method's own, or changes of the usual ones; None removes one.
    """
    known, budget, judge = DATA[words["data"]], words["budget"], words["judge"]
    small, tuned = known.shape == _SMALL, (published_finetuned or {}).get(words["data"], {})
    found = dict(mlp=published.get(words["data"], {}), finetune=tuned)
    if judge == "table4" and words["data"] == "cifar10":
        found = dict(published_measures or {})
        found |= {f"svm_{loss}": found["svm"] for loss in common.HINGES if "svm" in found}
    whole = judge in ("all", "mlp")  # the other judges ask for less than a row of Table 2
    chosen = common.judged(judge, budget) | (common.finetuned(budget) if tuned and whole else {})
    for key, spec in (evals or {}).items():
        chosen[key] = None if spec is None else chosen.get(key, {}) | spec
    return common.config(
        augment=common.augment(crop=known.crop, flip=known.crop is not None),
        data=common.data(words["data"], image_size=known.image_size, **_splits(words)),
        method=common.monitored(method, classes=known.classes),
        players=dict(players, probe=common.adam(1e-3)),  # a monitor: ours
        train=common.train(
            batch_size=64,  # official DIM code, README
            # 1000 for CIFAR, 200 for the others: Hjelm et al. 2019 (the latter from memory).
            epochs={"paper": 1000 if small else 200, "cpu": 10 if small else 2, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 50 if small else 20, "smoke": 4}[budget],
            save_epochs={"paper": 10 if small else 5, "cpu": 1, "smoke": 1}[budget],
        ),
        evals={key: spec for key, spec in chosen.items() if spec is not None},
        published=found,
        published_source=f"Hjelm et al. 2019, Table {4 if judge == 'table4' else known.table}",
    )


def _splits(words: dict[str, str]) -> dict[str, str | None]:
    known = DATA[words["data"]]
    if words["budget"] != "smoke":
        return dict(train_split=known.train, test_split=known.test)
    train = f"train[:{_SMOKE_EXAMPLES}]"
    if known.train:  # labelled and unlabelled images
        half = _SMOKE_EXAMPLES // 2
        train = "+".join(f"{part}[:{half}]" for part in known.train.split("+"))
    return dict(train_split=train, test_split=f"{known.test or 'test'}[:256]")
