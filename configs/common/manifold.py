"""What the configs of manifold layers share: the method, with what the poster leaves open.

Source of the layers: Klindt et al. 2020; every number here is ours.
"""


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
