"""The parts that the configs of manifold layers share: the method, and the run.

Source of the layers: Klindt et al. 2020; every number here is ours.
"""

from typing import Any

import ml_collections

from configs import common
from configs.common import datasets

SCALINGS = {"mnist": "unit", "cifar10": "standardized"}
EMBEDDING = dict(name="manifold_layers", group=128, images=1024)


def config(
    data: str,
    budget: str,
    *,
    method: dict,
    evals: dict[str, dict],
    cpu: dict[str, Any],
    smoke: dict[str, Any],
) -> ml_collections.ConfigDict:
    """The run of layers that are looked at, on a data set of `SCALINGS`.

    cpu, smoke: more changes of these budgets.
    """
    block = common.config(
        data=common.data(data, scaling=SCALINGS[data]),
        method=method,
        # At 1e-3 positions hardly move in so few steps.
        players=dict(encoder=common.adam(3e-3, decay=True)),
        train=common.train(batch_size=128, epochs=20, steps_per_dispatch=100, save_epochs=20),
        evals=evals,
    )
    cpu = cpu | {
        **{"data.train_split": "train[:10000]", "compute_dtype": "bfloat16"},
        **{"train.epochs": 6, "train.steps_per_dispatch": 26, "train.save_epochs": 6},
    }
    smoke = smoke | datasets.smoke(data)
    smoke |= {"train.batch_size": 64, "train.save_epochs": 2, "evals.embedding.images": 128}
    return common.budgeted(block, budget, cpu=cpu, smoke=smoke)


def method(
    *,
    channels: tuple[int, ...],
    kernels: tuple[int, ...],
    strides: tuple[int, ...],
    pools: tuple[int, ...],
    dimensions: tuple[int, ...],
    passed: str,
    hidden: tuple[int, ...],
    features: int,
    supervised: float,
    information: tuple[float, ...],
    entropy: tuple[float, ...],
) -> dict:
    """Manifold layers, one for each entry of the tuples; y are the logits where there are any.

    Args:
      supervised, information, entropy: the weights of the terms, the last two by layer.
    """
    encoder = dict(
        name="manifold",
        channels=channels,
        kernels=kernels,
        strides=strides,
        pools=pools,
        dimensions=dimensions,
        gain=4.0,
        passed=passed,
        hidden=hidden,
        features=features,
    )
    return dict(
        name="manifold",
        encoder=encoder,
        classifier=None,
        tap="y",
        supervised=supervised,
        information=information,
        entropy=entropy,
        locations=4,
        negatives="patches",
    )
