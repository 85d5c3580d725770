"""Small networks on top of representations: discriminators, classifiers and decoders."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import layers, pure

_SMALLEST_MAP = 4  # the encoder inside a joint discriminator halves maps with longer sides


class _Discriminator(nn.Module):
    widths: Sequence[int]

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        del train
        x = inputs
        for index, width in enumerate(self.widths):
            x = nn.relu(layers.Linear(width, name=f"linear{index}")(x))
        return layers.Linear(1, name="score")(x)[..., 0]


class _JointDiscriminator(nn.Module):
    width: int
    features: int
    widths: Sequence[int]

    @nn.compact
    def __call__(self, images: jax.Array, codes: jax.Array, *, train: bool) -> jax.Array:
        del train
        x, stage = images, 0
        while min(x.shape[1:3]) > _SMALLEST_MAP:
            width = self.width * 2 ** min(stage, 2)
            x = layers.Conv(width, 4, 2, 1, name=f"conv{stage}")(x)
            x = nn.relu(x + self.param(f"conv{stage}_bias", nn.initializers.zeros, (width,)))
            stage += 1
        x = nn.relu(layers.Linear(self.features, name="image")(x.reshape(len(x), -1)))
        x = x.reshape(len(x), *[1] * (codes.ndim - 2), self.features)
        x = jnp.broadcast_to(x, (*codes.shape[:-1], self.features))
        x = jnp.concatenate([x, codes], axis=-1)
        for index, width in enumerate(self.widths):
            x = nn.relu(layers.Linear(width, name=f"linear{index}")(x))
        return layers.Linear(1, name="score")(x)[..., 0]


class _Classifier(nn.Module):
    hidden: int
    dropout: float
    classes: int
    norm: str = "batch"

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = layers.Linear(self.hidden, name="linear0")(inputs.reshape(len(inputs), -1))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.relu(layers.norm(self.norm, train, "norm")(x))
        return layers.Linear(self.classes, name="logits")(x)


class _MlpClassifier(nn.Module):
    hidden: int
    dropout: float
    classes: int

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Dropout(self.dropout, deterministic=not train)(inputs.reshape(len(inputs), -1))
        x = layers.Linear(self.hidden, use_bias=False, name="linear0")(x)
        x = nn.relu(layers.batch_norm(train, name="norm")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return layers.Linear(self.classes, name="logits")(x)


class _Embedding(nn.Module):
    features: int
    norm: str

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = layers.Linear(self.features, use_bias=False, name="linear0")(inputs)
        if self.norm == "batch":
            x = layers.batch_norm(train, name="norm0")(x)
        shortcut = layers.Kernel(self.features, layers.noisy_identity, name="shortcut")(inputs)
        # Its bias is that of the shortcut: the sum has one.
        zero = layers.Linear(self.features, kernel_init=nn.initializers.zeros, name="linear1")
        x = zero(nn.relu(x), (inputs, shortcut))
        return layers.batch_norm(train, name="norm")(x)


class _Logits(nn.Module):
    widths: Sequence[int]
    outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = inputs
        for index, width in enumerate(self.widths):
            x = layers.Linear(width, use_bias=False, name=f"linear{index}")(x)
            x = nn.relu(layers.batch_norm(train, name=f"norm{index}")(x))
        return layers.Linear(self.outputs, name="logits")(x)


class _Affine(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        del train
        return layers.Linear(self.outputs, name="linear")(inputs)


class _Decoder(nn.Module):
    base: int
    widths: Sequence[int]
    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        *sides, channels = self.shape
        start = [-(-side // 2 ** len(self.widths)) for side in sides]
        x = inputs.reshape(len(inputs), -1)
        x = layers.Linear(self.base * start[0] * start[1], use_bias=False, name="linear0")(x)
        x = nn.relu(layers.batch_norm(train, name="linear0_norm")(x))
        x = x.reshape(len(x), *start, self.base)
        for index, width in enumerate(self.widths):
            x = layers.ConvTranspose(width, 4, 2, 1, name=f"conv{index}")(x)
            x = nn.relu(layers.batch_norm(train, name=f"conv{index}_norm")(x))
        x = layers.Conv(channels, 3, 1, 1, name="image")(x)
        top, left = ((have - side) // 2 for have, side in zip(x.shape[1:3], sides, strict=True))
        return jnp.tanh(x[:, top : top + sides[0], left : left + sides[1]])


def coordinates(*, widths: Sequence[int]) -> Callable[[int], pure.Net]:
    """For a number of outputs, the MLP f[..., d] -> logits f[..., outputs], batch norm, ReLU.

    Published: widths (512, 512) (from memory).
    Source: Hjelm et al. 2019, section 4.3.
    Differs: the official code, functions/coordinates.py, has a hidden layer of twice the map's
      side and a layer norm over both coordinates' logits.
    """
    return lambda outputs: pure.net(_Logits(tuple(widths), outputs))


def affine(*, outputs: int) -> pure.Net:
    """One affine layer f[n,d] -> f[n,outputs]."""
    return pure.net(_Affine(outputs))


def discriminator(*, widths: Sequence[int]) -> pure.Net:
    """MLP f[n,d] -> logits f[n], ReLU, no normalisation. Published: widths (1000, 200).

    Source: official DIM code, prior_matching.py.
    """
    return pure.net(_Discriminator(tuple(widths)))


def joint_discriminator(*, width: int, features: int, widths: Sequence[int]) -> pure.Net:
    """(images f[n,h,w,c], codes f[n,d]) -> logits f[n] of the pairs, ReLU, no normalisation.

    A convolutional encoder of the image (4/2/1, until a side of the map is 4 or less), one linear
    layer to `features`, concatenation with the code, an MLP. Codes f[n,m,d] are m for each image,
    which is encoded once: logits f[n,m]. Published: features 256, widths (512, 128).

    Args:
      width: channels of the first convolution; twice and four times as many in the next ones.
      features: of the encoded image.
      widths: of the hidden layers behind the concatenation.

    Source: the official framework of DIM, models/ali.py (also the critic of its models/mine.py).
    Differs: the map is halved until its side is 4 or less whatever the image size.
    """
    return pure.net(_JointDiscriminator(width, features, tuple(widths)))


def classifier(*, hidden: int, dropout: float, classes: int, norm: str = "batch") -> pure.Net:
    """One-hidden-layer classifier f[n,...] -> logits f[n,k]: linear, dropout, batch norm, ReLU,
    linear. Published: hidden 200, dropout 0.1. Another `norm` is one of `layers.norm`.

    Source: Hjelm et al. 2019, section 4.2; official DIM code, classifier.py.
    """
    return pure.net(_Classifier(hidden, dropout, classes, norm))


def mlp_classifier(*, hidden: int, dropout: float, classes: int) -> pure.Net:
    """AMDIM's classifier f[n,...] -> logits f[n,k]: dropout, linear, batch norm, ReLU, dropout,
    linear. Published: hidden 1024, dropout 0.2. The linear one is `affine`.

    Source: official AMDIM code, model.py.
    """
    return pure.net(_MlpClassifier(hidden, dropout, classes))


def embedding(*, norm: str) -> Callable[[int], pure.Net]:
    """For a number of features, the net f[n,h,w,c] -> f[n,h,w,features] in whose space AMDIM
    scores the locations of a map: a linear map that starts as a noisy identity, plus two layers of
    1x1 of which the second starts at 0, then batch norm.

    Args:
      norm: "none", as published, or "batch": batch norm behind the first of the two layers.

    Raises: contracts.UserError: another norm.

    Source: official AMDIM code, model.py.
    """
    if norm not in ("none", "batch"):
        raise contracts.unknown("norm", norm, ("none", "batch"))
    return lambda features: pure.net(_Embedding(features, norm))


def check_images(made: jax.Array, images: jax.Array, role: str) -> None:
    """Raises UserError where a decoder or generator makes images of another size than the data's.

    Args:
      role: the argument of the method that it is.
    """
    if made.shape != images.shape:
        got, wanted = ("x".join(map(str, x.shape[1:])) for x in (made, images))
        raise contracts.UserError(
            f"the {role} makes images of {got} and the data has {wanted}; set the argument shape "
            f"of the method's {role} to {images.shape[1:]}"
        )


def decoder(*, base: int, widths: Sequence[int], shape: tuple[int, int, int]) -> pure.Net:
    """Decoder f[n,...] -> images f[n,h,w,c] in [-1, 1]: linear, then one doubling for each width.

    Linear to a map of `base` channels, transposed convolutions (4/2/1) of `widths` channels, each
    of these with batch norm and ReLU; a convolution (3/1/1) to the image, tanh. Published: base
    512, widths (256, 128, 64), shape (32, 32, 3), which starts from 4x4.

    Args:
      shape: (h, w, c) of the images. The first map has side / 2^len(widths), rounded up, and the
        centre of the last one is the image: with three widths 28 starts from 4 and is cut out of
        32, and 64 starts from 8.

    Source: Hjelm et al. 2019, section 4.2; official DIM code, configs/deconvnets.py.
    Differs: pixels are the last axis of the first map, which only renames hidden units.
    """
    return pure.net(_Decoder(base, tuple(widths), tuple(shape)))
