"""What the configs of manifold layers share: the method, with what the poster leaves open; the run.

Source of the layers: Klindt et al. 2020; every number here is ours.
"""

import ml_collections

from configs import common

SCALINGS = {"mnist": "unit", "cifar10": "standardized"}


def config(
    data: str, budget: str, *, method: dict, evals: dict[str, dict]
) -> ml_collections.ConfigDict:
    """The run of layers that are looked at, on a data set of `SCALINGS`."""
    smoke, splits = budget == "smoke", {}
    if budget != "paper":
        splits = dict(train_split=f"train[:{512 if smoke else 10000}]")
    if smoke:
        splits["test_split"] = "test[:256]"
    epochs = {"paper": 20, "cpu": 6, "smoke": 2}[budget]
    return common.config(
        data=common.data(data, scaling=SCALINGS[data], **splits),
        method=method,
        # At 1e-3 positions hardly move in so few steps.
        players=dict(encoder=common.adam(3e-3, decay=True)),
        train=common.train(
            batch_size=64 if smoke else 128,
            epochs=epochs,
            steps_per_dispatch={"paper": 100, "cpu": 26, "smoke": 4}[budget],
            save_epochs=epochs,
        ),
        evals=evals,
        compute_dtype="bfloat16" if budget == "cpu" else "float32",
    )


def embedding(budget: str) -> dict:
    """The evaluation of the layers' embeddings."""
    return dict(name="embedding", group=128, images=128 if budget == "smoke" else 1024)


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
