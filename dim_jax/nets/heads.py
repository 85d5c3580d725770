"""Small networks on top of representations: discriminators, classifiers, embeddings, decoders."""

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
            bias = self.param(f"conv{stage}_bias", nn.initializers.zeros, (width,))
            x = nn.relu(x + layers.per_channel(bias, x))
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
        # The shortcut has no bias: the sum needs only one.
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


class _Projector(nn.Module):
    widths: Sequence[int]
    features: int
    norm: str
    last_norm: bool

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = inputs.reshape(len(inputs), -1)
        for index, width in enumerate(self.widths):
            x = layers.Linear(width, use_bias=False, name=f"linear{index}")(x)
            x = nn.relu(layers.norm(self.norm, train, f"norm{index}")(x))
        last = layers.Linear(self.features, use_bias=not self.last_norm, name="features")(x)
        if not self.last_norm:
            return last
        return layers.norm(self.norm, train, "features_norm")(last)


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
        top, left = ((larger - side) // 2 for larger, side in zip(x.shape[1:3], sides, strict=True))
        return jnp.tanh(x[:, top : top + sides[0], left : left + sides[1]])


def coordinates(*, widths: Sequence[int]) -> Callable[[int], pure.Net]:
    """A function from a number of outputs to the MLP f[..., d] -> logits f[..., outputs].

    With batch norm and ReLU. Published: widths (512, 512) (from memory).
    Source: Hjelm et al. 2019, section 4.3.
    Differs: the official code, functions/coordinates.py, has a hidden layer of twice the map's
      side and a layer norm over both coordinates' logits.
    """
    return lambda outputs: pure.net(_Logits(tuple(widths), outputs))


def projector(
    *, widths: Sequence[int], features: int, norm: str = "batch", last_norm: bool = False
) -> pure.Net:
    """Projection or prediction head f[n,...] -> f[n,features]: hidden layers with norm and ReLU.

    The last layer is linear, with a bias or, with `last_norm`, a norm. Published: SimCLR widths
    (2048,) with a last norm, MoCo v2 the same without any norm ("none"), BYOL (4096,), SwAV
    (2048,), Barlow Twins and VICReg (8192, 8192).

    Args:
      norm: one of `layers.norm`.
    """
    return pure.net(_Projector(tuple(widths), features, norm, last_norm))


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
    layer to `features`, concatenation with the code, an MLP. For m codes per image, f[n,m,d], the
    image is encoded once: logits f[n,m]. Published: features 256, widths (512, 128).

    Args:
      width: channels of the first convolution; twice and four times as many in the next ones.
      features: number of features of the encoded image.
      widths: of the hidden layers after the concatenation.

    Source: the official framework of DIM, models/ali.py (also the critic of its models/mine.py).
    Differs: the map is halved until its side is 4 or less for every image size.
    """
    return pure.net(_JointDiscriminator(width, features, tuple(widths)))


def classifier(*, hidden: int, dropout: float, classes: int, norm: str = "batch") -> pure.Net:
    """Classifier with one hidden layer, f[n,...] -> logits f[n,k].

    Linear, dropout, batch norm, ReLU, linear. Published: hidden 200, dropout 0.1. `norm` is one of
    `layers.norm`.

    Source: Hjelm et al. 2019, section 4.2; official DIM code, classifier.py.
    """
    return pure.net(_Classifier(hidden, dropout, classes, norm))


def mlp_classifier(*, hidden: int, dropout: float, classes: int) -> pure.Net:
    """AMDIM's classifier with one hidden layer, f[n,...] -> logits f[n,k].

    Dropout, linear, batch norm, ReLU, dropout, linear. Published: hidden 1024, dropout 0.2. Its
    linear classifier is `affine`.

    Source: official AMDIM code, model.py.
    """
    return pure.net(_MlpClassifier(hidden, dropout, classes))


def embedding(*, norm: str) -> Callable[[int], pure.Net]:
    """A function from a number of features to AMDIM's embedding f[n,h,w,c] -> f[n,h,w,features].

    AMDIM scores the locations of a map in this space. It is a linear map, initialised to a noisy
    identity, plus two 1x1 layers, the second initialised to 0, then batch norm.

    Args:
      norm: "none", as published, or "batch": batch norm after the first of the two layers.

    Raises: contracts.UserError: another norm.

    Source: official AMDIM code, model.py.
    """
    if norm not in ("none", "batch"):
        raise contracts.unknown("norm", norm, ("none", "batch"))
    return lambda features: pure.net(_Embedding(features, norm))


def decoder(*, base: int, widths: Sequence[int], shape: tuple[int, int, int]) -> pure.Net:
    """Decoder f[n,...] -> images f[n,h,w,c] in [-1, 1]; each of `widths` doubles the map.

    A linear layer to a map of `base` channels, transposed convolutions (4/2/1) of `widths`
    channels, all of these with batch norm and ReLU; a convolution (3/1/1) to the image, tanh.
    Published: base 512, widths (256, 128, 64), shape (32, 32, 3), with a first map of 4x4.

    Args:
      shape: (h, w, c) of the images. The side of the first map is side / 2^len(widths), rounded
        up, and the image is the centre of the last map: with three widths, 28 pixels are the
        centre of 32 and start from 4x4, and 64 pixels start from 8x8.

    Source: Hjelm et al. 2019, section 4.2; official DIM code, configs/deconvnets.py.
    Differs: the first map has the channels as its last axis, which only renames hidden units.
    """
    return pure.net(_Decoder(base, tuple(widths), tuple(shape)))
