"""Encoders of the two halves of MNIST's digits, critics on them, and what a linear probe reads.

An encoder of flat halves f[n,392] is a pair of pure functions; with a critic of two codes it is a
`critic_training.Critic` of pairs of halves, which that module trains by any bound.

Source: Tschannen et al. 2020, sections 3.1 and 3.2; sizes of networks from memory, or ours.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import bounds, data
from dim_jax.evaluate.probes import labelled, linear
from dim_jax.nets import critics, encoders, flows, generators, pure
from experiments import critic_training

Tree = Any
BATCH = 128
HALF = (14, 28, 1)
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels
PROTOCOL = "linear-v1"
LIMIT = 1.0  # of the logarithm of a coupling's scale


class Halves(NamedTuple):
    """The top and the bottom of images, f32[n,392] in [0, 1], and labels i32[n]."""

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray


class Encoder(NamedTuple):
    """init(key, x f[n,392]) -> params; encode(params, x f[n,392]) -> f[n,d].

    flow: of bijections alone.
    """

    init: Callable[..., Tree]
    encode: Callable[..., jax.Array]
    flow: flows.Flow | None = None


def load(images: int | None = None) -> dict[str, Halves]:
    """MNIST's splits as halves; the first `images` of each, None for all."""
    return {name: _halves(split, images) for name, split in data.load("mnist").splits.items()}


def _halves(split: data.Split, images: int | None) -> Halves:
    pixels = np.asarray(split.images[:images], np.float32) / 255
    top, bottom = (part.reshape(len(pixels), -1) for part in np.split(pixels, 2, axis=1))
    return Halves(top, bottom, np.asarray(split.labels[:images]))


def parted(halves: Halves, share: float) -> tuple[Halves, Halves]:
    """All but the last share of the examples, and that share."""
    first = len(halves.labels) - round(share * len(halves.labels))
    return Halves(*(each[:first] for each in halves)), Halves(*(each[first:] for each in halves))


def draw(key: jax.Array, halves: Halves) -> tuple[jax.Array, jax.Array]:
    """The halves of `BATCH` images, for `critic_training.trainer`."""
    rows = jax.random.randint(key, (BATCH,), 0, len(halves.labels))
    return halves.x[rows], halves.y[rows]


def bijection(*, couplings: int, widths: Sequence[int]) -> Encoder:
    """RealNVP, the identity before training."""
    flow = flows.affine_couplings(couplings=couplings, widths=widths, limit=LIMIT)
    return Encoder(flow.init, lambda params, x: flow.forward(params, x)[0], flow)


def mlp(*, widths: Sequence[int], features: int) -> Encoder:
    """Hidden layers with ReLU and an affine layer."""
    return _of_net(encoders.mlp(widths=widths, features=features))


def convolutional(*, width: int, hidden: int, features: int) -> Encoder:
    """Two 5x5 convolutions of stride 2, a hidden layer, ReLU, and an affine layer."""
    blocks = tuple(encoders.Block(channels, 5, 2, 2) for channels in (width, 2 * width))
    return _of_net(pure.net(encoders.ConvEncoder(blocks, (hidden,), features, 1, "none")))


def residual(*, widths: Sequence[int]) -> Encoder:
    """x plus an MLP of x, whose parameters start at a tenth of their usual size."""
    net = generators.mlp_generator(widths=widths, shape=(math.prod(HALF),))

    def init(key, x):
        return jax.tree.map(lambda leaf: leaf / 10, net.init(key, x)[0])

    return Encoder(init, lambda params, x: x + net.apply(params, {}, x, train=True)[0])


def _of_net(net: pure.Net) -> Encoder:
    """With He's initialisation and standardised pixels, which learn in fewer steps."""

    def init(key, x):
        params = net.init(key, x.reshape(-1, *HALF))[0]
        return jax.tree.map(lambda leaf: leaf * (math.sqrt(6) if leaf.ndim > 1 else 1), params)

    def encode(params, x):
        images = ((x - MEAN) / DEVIATION).reshape(-1, *HALF)
        return net.apply(params, {}, images, train=True)[0]["y"]

    return Encoder(init, encode)


def bilinear() -> critic_training.Critic:
    """`nets.critics.bilinear` of two codes."""
    net = critics.bilinear()

    def scores(params, x, y):
        return net.all_pairs(params, {}, x, y, train=True)[0]

    return critic_training.Critic(lambda key, x, y: net.init(key, x, y)[0], scores, None, None)


def critic_of_codes(encoder: Encoder, critic: critic_training.Critic) -> critic_training.Critic:
    """The critic of the codes of both halves; params are {"x": .., "y": .., "critic": ..}."""

    def init(key, x, y):
        keys = jax.random.split(key, 3)
        params = {"x": encoder.init(keys[0], x), "y": encoder.init(keys[1], y)}
        return params | {"critic": critic.init(keys[2], *_codes(params, x, y))}

    def _codes(params, x, y):
        return encoder.encode(params["x"], x), encoder.encode(params["y"], y)

    def scores(params, x, y):
        return critic.scores(params["critic"], *_codes(params, x, y))

    return critic_training.Critic(init, scores, None, None)


def objective(name: str, target: float | None) -> critic_training.Objective:
    """A bound that is maximised or, with a target, brought to this many nats."""
    if target is None:
        return critic_training.OBJECTIVES[name]
    bound = getattr(bounds, name)

    def surrogate(scores, log_a, memory):
        del log_a
        return -jnp.abs(bound(scores) - target), memory

    return critic_training.Objective(surrogate)


@functools.partial(jax.jit, static_argnums=0)
def _encoded(encoder: Encoder, params: Tree, x: jax.Array) -> jax.Array:
    return encoder.encode(params, x)


@functools.partial(jax.jit, static_argnums=0)
def _error(encoder: Encoder, params: Tree, x: jax.Array) -> jax.Array:
    return encoder.flow.error(params, x)


def encoded(encoder: Encoder, params: Tree, x: np.ndarray) -> np.ndarray:
    """The codes f[n,d] of all halves."""
    return np.asarray(_encoded(encoder, params, x))


def reconstruction_error(encoder: Encoder, params: Tree, x: np.ndarray) -> float:
    """The largest difference of a pixel, in [0, 1], and its reconstruction."""
    return float(_error(encoder, params, x))


@functools.partial(jax.jit, static_argnums=0)
def _jacobians(encoder: Encoder, params: Tree, x: jax.Array) -> jax.Array:
    return jax.vmap(jax.jacfwd(lambda row: encoder.encode(params, row[None])[0]))(x)


def condition_numbers(encoder: Encoder, params: Tree, x: np.ndarray) -> np.ndarray:
    """Of the encoder's Jacobian at each half, f[n]: largest over smallest singular value."""
    return np.linalg.cond(np.asarray(_jacobians(encoder, params, x), np.float64))


def accuracy(train: np.ndarray, test: np.ndarray, labels: dict[str, np.ndarray]) -> float:
    """Test accuracy, a fraction, of the linear probe on codes f[n,d] of training and test halves.

    Args:
      labels: i32[n] by split.
    """
    shift, scale = labelled.statistics(jnp.asarray(train))
    rows = [labelled.scaled(jnp.asarray(each), shift, scale) for each in (train, test)]
    examples = [
        labelled.Examples(*each)
        for each in zip(rows, (labels["train"], labels["test"]), strict=True)
    ]
    task = labelled.Task(*examples, classes=10, subsets=None, seed=0)
    return float(linear.accuracies(linear.PROTOCOLS.find(PROTOCOL), task)[0])
