"""The parts that the configs of Table 3 (Hjelm et al. 2019) share: images, crops' network, the run.

Two rows of that table differ in what stands above the crops, and in the method.
"""

from typing import Any

import ml_collections

from configs import common
from configs.common import datasets

FAMILY = {"cifar10": "resnet", "stl10": "alexnet"}
BODIES = ("published", "resnet", "resnet19", "alexnet")
# Bottlenecks in each stage. 37 and 19 layers: official DIM code, resnets.py; the first three
# stages of a ResNet-50: official Greedy InfoMax code.
BLOCKS = {"resnet": (3, 6, 3), "resnet19": (2, 2, 2), "resnet50": (3, 4, 6)}
# Channels: convnets.py, resnets.py.
WIDTHS = {"alexnet": 96, "resnet": 64, "resnet19": 64, "resnet50": 64}
CRITIC_WIDTH = 1024  # for the comparison with CPC: official DIM code, README
# Ours: in smaller budgets all rows have the batch and the betas of DIM, and a higher rate.
SHORT = {"train.batch_size": 64, "players.encoder.b1": 0.5, **common.faster("encoder")}
# For two cores; also a quarter of the encoder's width.
CPU = {"train.epochs": 10, "train.steps_per_dispatch": 50, "train.save_epochs": 1}
LONG = CPU | {"train.epochs": 20}


def parse(argument: str, **choices: tuple[str, ...]) -> dict[str, str]:
    """The words of a config: its `choices`, the data set and the budget."""
    words = common.parse(argument, data=tuple(FAMILY), budget=common.LONG_BUDGETS, **choices)
    return datasets.check_long(words)


def body(words: dict[str, str]) -> str:
    """The network of the crops: resnet (37 layers), resnet19 or alexnet, or another that is named.

    That of the data set's row where the words ask for the published one, with fewer layers where
    the budget is less.
    """
    if words["body"] != "published":
        return words["body"]
    family = FAMILY[words["data"]]
    return "resnet19" if family == "resnet" and words["budget"] != "paper" else family


def crops(words: dict[str, str], *, norm: str) -> tuple[str, dict]:
    """The second part of the encoder's name, and its arguments below the map."""
    kind, side = body(words), datasets.DATA[words["data"]].side
    spec = dict(norm=norm, width=WIDTHS[kind])
    if kind == "alexnet":
        return f"alexnet{side}", spec
    return f"resnet{side}", spec | dict(blocks=BLOCKS[kind])


def config(
    words: dict[str, str],
    *,
    method: dict,
    published: dict[str, dict],
    source: str = "Hjelm et al. 2019, Table 3",
    differs: str = "",
    judged: tuple[str, ...] = ("conv",),
    evals: dict[str, dict] | None = None,
    adam: dict | None = None,
    batch_size: int = 64,  # official DIM code, README
    epochs: int | None = None,
    smoke: dict[str, Any] | None = None,
) -> ml_collections.ConfigDict:
    """The run of a row, watched by an online classifier.

    Args:
      published: accuracies by evaluation and layer, from `source`.
      differs: a sentence on how they were measured otherwise.
      judged: layers that the published MLP judges.
      evals: evaluations besides the usual ones.
      adam: the published optimizer, unless given that of DIM.
      smoke: more changes of this budget.
    """
    name, encoder = words["data"], "method.method.encoder"
    splits = datasets.splits(name) if name == "stl10" else {}
    block = common.config(
        **datasets.images(name, **splits),
        method=common.monitored(method, classes=datasets.DATA[name].classes),
        players=dict(
            encoder=adam or common.adam(1e-4, b1=0.5, b2=0.999),  # official DIM code, README
            probe=common.adam(1e-3),  # a monitor: ours
        ),
        train=common.train(
            batch_size=batch_size,
            # Official DIM code, README.
            epochs=epochs or {"cifar10": 1000, "stl10": 200}[name],
            steps_per_dispatch=100,
            save_epochs=10,
        ),
        # Which layer Table 3 has is not printed; its numbers stand beside conv.
        evals=common.of_mlp(published=judged) | (evals or {}),
        published=published,
        published_source=source,
        published_differs=differs,
    )
    narrow, tiny = {f"{encoder}.width": WIDTHS[body(words)] // 4}, {f"{encoder}.width": 4}
    if "width" in block.method.method.local_critic:
        critic = "method.method.local_critic.width"
        narrow, tiny = narrow | {critic: 256}, tiny | {critic: 16}
    if body(words) != "alexnet":  # one bottleneck each: the smallest that shrinks as they do
        tiny[f"{encoder}.blocks"] = (1, 1, 1)
    return common.budgeted(
        block,
        words["budget"],
        long=SHORT | narrow | LONG,
        cpu=SHORT | narrow | CPU,
        smoke=SHORT | tiny | datasets.smoke(name) | (smoke or {}),
    )
