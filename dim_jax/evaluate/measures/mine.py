"""Information between images and their representation, by mutual information neural estimation.

The number is not the information. The representation is a function of the image, so for images from
a continuum the true value is infinite, and for N given images it is at most log N (10.8 nats for
50,000). A critic of finite size, trained for finite time, reports the part of that which it can
make use of, on images that it has not seen: a score of representation, critic and schedule
together. Compare it only between representations under one protocol, never with a published number,
and never read it as "bits kept". (The published ones go up to 101.65 nats.)

Source: Belghazi et al. 2018; Hjelm et al. 2019, section 4.1 and table 4.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features
from dim_jax.evaluate.evaluation import Evaluation
from dim_jax.evaluate.measures import critic_fit
from dim_jax.evaluate.probes import labelled
from dim_jax.evaluate.protocols import Protocols
from dim_jax.nets import heads, pure

_TAPS = ("y",)


class Protocol(NamedTuple):
    """MINE: a critic of images and y, trained on training images, reported on test images.

    examples: at most this many training images, drawn at random.
    width, features, widths: of the critic; channels of the image encoder's first convolution, the
      encoded image, and the hidden layers on it and y.
    decay: of the moving average in the gradient.
    """

    examples: int
    width: int
    features: int
    widths: tuple[int, ...]
    decay: float
    fit: critic_fit.CriticFit


PROTOCOLS = Protocols(
    "MINE",
    {
        # The critic of the official framework with 32 instead of 64 channels, five epochs of
        # CIFAR-10; the published schedule is not known. The best of its checks on a twenty-fifth of
        # the training images, reported on test images. With an MLP critic, batches of 512, rate
        # 1e-3 and 1,500 steps the same gives 1.90 of 2 and 3.58 of 4 nats for Gaussians in 20
        # dimensions. Values near and above the log of the number of products say "much" and no
        # more. A minute or two of CPU.
        "mine-v1": Protocol(
            examples=50_000,
            width=32,
            features=256,
            widths=(512, 128),
            decay=0.99,
            fit=critic_fit.CriticFit(
                batch=256,
                steps=1000,
                learning_rate=5e-4,
                milestones=None,
                products=1,
                held_out=0.04,
                check_every=100,
                reported_products=8,
            ),
        ),
    },
)


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    protocol: str = "mine-v1",
    taps: Iterable[str] = _TAPS,
) -> dict[str, float]:
    """Estimated information between image and tap in nats, larger is more; see the module's limits.

    The Donsker-Varadhan value on the test images of a critic trained on the training images.

    Args:
      protocol: a name of `PROTOCOLS`; it holds every setting, of the critic too.

    Returns:
      {"<tap>/mine"}

    Raises:
      UserError: an unknown protocol or tap, too few images, or a value that is not finite.
    Source: Belghazi et al. 2018; the critic of the official framework's models/mine.py, which is
      `heads.joint_discriminator`.
    Differs: schedule and width are ours (the published ones are not known); the critic is chosen
      on held-out training images and reported on test images; y is standardised by the training
      images.
    """
    settings = PROTOCOLS.find(protocol)
    seed = int(np.asarray(jax.random.key_data(rng)).ravel()[-1])
    net = image_critic(settings.width, settings.features, settings.widths)
    results = {}
    for tap in taps:
        train, test = (
            (
                np.asarray(dataset.in_unit(splits[name]).images),
                features.extract(frozen, splits[name], (tap,))[tap],
            )
            for name in ("train", "test")
        )
        train = critic_fit.subset(train, settings.examples, seed)
        shift, scale = labelled.statistics(train[1])
        train, test = ((images, (rows - shift) * scale) for images, rows in (train, test))
        results[f"{tap}/mine"] = information(net, settings, train, test, seed)
    return results


EVALUATION = Evaluation(
    evaluate, representations="encoders", taps=_TAPS, protocols=PROTOCOLS, reads_images=True
)


def information(
    net: pure.Net,
    settings: Protocol,
    train: critic_fit.Pairs,
    test: critic_fit.Pairs,
    seed: int,
) -> float:
    """I(x; y) in nats as MINE estimates it, on `test`, by any critic fitted on `train`.

    Args:
      net: (x [n,...], y f[n,m,d]) -> scores f[n,m] of x_i with each of the m rows y_i; without
        batch statistics. Build it once: each new one is compiled anew.
      train, test: (x, y), row i of x drawn together with row i of y f[n,d].
    """
    return critic_fit.estimate(_problem(net, settings.decay), train, test, settings.fit, seed)


@functools.cache
def _problem(net: pure.Net, decay: float) -> critic_fit.Problem:
    def objective(scores, positives, state):
        _, surrogate, state = bounds.mine(scores, positives, state=state, decay=decay)
        return surrogate, state

    return critic_fit.Problem(net, critic_fit.rolled, objective, bounds.mine_state)


@functools.cache  # one network for equal settings, so that it is compiled once
def image_critic(width: int, features: int, widths: tuple[int, ...]) -> pure.Net:
    """(images [n,h,w,c], y f[n,m,d]) -> scores f[n,m] of image i with each row of y_i.

    Args: those of `heads.joint_discriminator`, which it is of images in [-1, 1]; they come as u8 or
    in [0, 1].
    """
    net = heads.joint_discriminator(width=width, features=features, widths=widths)

    def init(rng, images, y):
        return net.init(rng, _scaled(images), y)

    def apply(params, stats, images, y, *, train: bool):
        return net.apply(params, stats, _scaled(images), y, train=train)

    return pure.Net(init, apply)


def _scaled(images: jax.Array) -> jax.Array:
    if jnp.issubdtype(images.dtype, jnp.floating):
        return 2.0 * images - 1.0
    return images.astype(jnp.float32) / 127.5 - 1.0
