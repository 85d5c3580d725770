"""What the configs of Table 3 (Hjelm et al. 2019) share: images, the network of the crops, the run.

Two rows of that table differ in what stands above the crops, and in the method.
"""

import ml_collections

from configs import common

FAMILY = {"cifar10": "resnet", "stl10": "alexnet"}
SIDE = {"cifar10": 32, "stl10": 64}
CLASSES = 10  # of both
BODIES = ("published", "resnet", "resnet19", "alexnet")
# Bottlenecks in each stage. 37 and 19 layers: official DIM code, resnets.py; the first three
# stages of a ResNet-50: official Greedy InfoMax code.
BLOCKS = {"resnet": (3, 6, 3), "resnet19": (2, 2, 2), "resnet50": (3, 4, 6)}
# 1024 for the comparison with CPC: official DIM code, README; 256 for two cores: ours.
CRITIC_WIDTHS = {"paper": 1024, "cpu": 256, "smoke": 16}


def parse(argument: str, **choices: tuple[str, ...]) -> dict[str, str]:
    """The words of a config: its own `choices`, the data set, the budget and the judge."""
    return common.parse(
        argument,
        data=tuple(FAMILY),
        budget=common.BUDGETS,
        judge=("mlp", "y", "all"),
        **choices,
    )


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
    budget, kind, side = words["budget"], body(words), SIDE[words["data"]]
    # 96 and 64 channels: convnets.py, resnets.py; a quarter for two cores: ours.
    published = 96 if kind == "alexnet" else 64
    spec = dict(norm=norm, width={"paper": published, "cpu": published // 4, "smoke": 4}[budget])
    if kind == "alexnet":
        return f"alexnet{side}", spec
    # One bottleneck each: the smallest that shrinks as they do.
    return f"resnet{side}", spec | dict(blocks=(1, 1, 1) if budget == "smoke" else BLOCKS[kind])


def config(
    words: dict[str, str],
    *,
    method: dict,
    published: dict[str, dict],
    source: str = "Hjelm et al. 2019, Table 3",
    evals: dict[str, dict] | None = None,
) -> ml_collections.ConfigDict:
    """The run of a row, watched by an online classifier.

    Args:
      published: accuracies by evaluation and layer, from `source`.
      evals: evaluations besides the usual ones.
    """
    budget = words["budget"]
    epochs = 1000 if words["data"] == "cifar10" else 200  # official DIM code, README
    return common.config(
        **images(words["data"], smoke=budget == "smoke"),
        method=common.monitored(method, classes=CLASSES),
        # The probe, a monitor: ours.
        players=dict(encoder=common.adam_of(budget), probe=common.adam(1e-3)),
        train=common.train(
            batch_size=64,  # official DIM code, README
            epochs={"paper": epochs, "cpu": 10, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 50, "smoke": 4}[budget],
            save_epochs={"paper": 10, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=common.judged(words["judge"], budget) | (evals or {}),
        published=published,
        published_source=source,
    )


def images(name: str, *, smoke: bool) -> dict:
    """The blocks `data` and `augment`: CIFAR-10 as it is, or STL-10's random crops."""
    if name == "cifar10":
        slices = dict(train_split="train[:512]", test_split="test[:256]") if smoke else {}
        return dict(data=common.data(name, **slices))
    # Random 64x64 crops: section 4.2. The labelled part is what probes are trained on.
    parts = ("train[:256]", "unlabelled[:256]") if smoke else ("train", "unlabelled")
    splits = dict(train_split="+".join(parts), test_split="test[:256]" if smoke else "test")
    return dict(data=common.data(name, **splits), augment=common.augment(crop=64, flip=True))
