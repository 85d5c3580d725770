"""Small networks on top of representations: prior discriminators and classifiers."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from dim_jax.nets import layers, pure


class _Discriminator(nn.Module):
    widths: Sequence[int]

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        del train
        x = inputs
        for index, width in enumerate(self.widths):
            x = nn.relu(layers.Linear(width, name=f"linear{index}")(x))
        return layers.Linear(1, name="score")(x)[..., 0]


class _Classifier(nn.Module):
    hidden: int
    dropout: float
    classes: int

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = layers.Linear(self.hidden, name="linear0")(inputs.reshape(len(inputs), -1))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.relu(layers.batch_norm(train, name="norm")(x))
        return layers.Linear(self.classes, name="logits")(x)


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


def coordinates(*, widths: Sequence[int]) -> Callable[[int], pure.Net]:
    """For a number of outputs, the MLP f[..., d] -> logits f[..., outputs], batch norm, ReLU.

    Published: widths (512, 512) (from memory).
    Source: Hjelm et al. 2019, section 4.3.
    Differs: the official code, functions/coordinates.py, has a hidden layer of twice the map's
      side and a layer norm over both coordinates' logits.
    """
    return lambda outputs: pure.net(_Logits(tuple(widths), outputs))


def discriminator(*, widths: Sequence[int]) -> pure.Net:
    """MLP f[n,d] -> logits f[n], ReLU, no normalisation. Published: widths (1000, 200).

    Source: official DIM code, prior_matching.py.
    """
    return pure.net(_Discriminator(tuple(widths)))


def classifier(*, hidden: int, dropout: float, classes: int) -> pure.Net:
    """One-hidden-layer classifier f[n,...] -> logits f[n,k]: linear, dropout, batch norm, ReLU,
    linear. Published: hidden 200, dropout 0.1.

    Source: Hjelm et al. 2019, section 4.2; official DIM code, classifier.py.
    """
    return pure.net(_Classifier(hidden, dropout, classes))
