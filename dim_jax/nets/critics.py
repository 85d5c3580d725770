"""Score networks T(anchor, candidate): the critics of the MI bounds.

An anchor is a global vector f[d]; a candidate is one local feature or one flattened map f[c].
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax.nets import layers, pure


class _Concat(nn.Module):
    """MLP on [candidate, anchor]. The first layer is applied to each side apart and added:

    the same function as concatenating, without a copy of every side for every pair.
    """

    widths: Sequence[int]

    def setup(self):
        self.of_anchor = layers.Linear(self.widths[0], use_bias=False)
        self.of_candidate = layers.Linear(self.widths[0])
        self.hidden = [layers.Linear(width) for width in self.widths[1:]]
        self.score = layers.Linear(1)

    def _first(self, anchors: jax.Array, candidates: jax.Array, train: bool):
        del train
        return self.of_anchor(anchors), self.of_candidate(candidates)

    def _rest(self, x: jax.Array, train: bool) -> jax.Array:
        del train
        for layer in self.hidden:
            x = nn.relu(layer(x))
        return self.score(x)[..., 0]

    def all_pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self._first(anchors, candidates, train)
        rows = jnp.expand_dims(rows, range(1, candidates.ndim))
        return self._rest(nn.relu(rows + columns[None]), train)

    def pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self._first(anchors, candidates, train)
        rows = jnp.expand_dims(rows, range(1, candidates.ndim - 1))
        return self._rest(nn.relu(rows + columns), train)


class _FirstOfPair(nn.Module):
    """One kernel for [candidate, anchor], applied to each side apart.

    Two normalised kernels would add up to a slope of sqrt(2) in the pair.
    """

    features: int

    @nn.compact
    def __call__(self, anchors: jax.Array, candidates: jax.Array) -> tuple[jax.Array, jax.Array]:
        split = candidates.shape[-1]
        fan_in = split + anchors.shape[-1]
        kernel = self.param("kernel", layers.fan_in_uniform, (fan_in, self.features))
        bias = self.param("bias", _bias_within(1 / math.sqrt(fan_in)), (self.features,))
        return anchors @ kernel[split:], candidates @ kernel[:split] + bias


def _bias_within(limit: float):
    return lambda rng, shape: jax.random.uniform(rng, shape, jnp.float32, -limit, limit)


class _LipschitzConcat(_Concat):
    """The same MLP with every linear map divided by its largest singular value."""

    def setup(self):
        self.first = _FirstOfPair(self.widths[0])
        self.hidden = [layers.Linear(width) for width in self.widths[1:]]
        self.score = layers.Linear(1)
        self.norms = [nn.SpectralNorm(x) for x in (self.first, *self.hidden, self.score)]

    def _first(self, anchors: jax.Array, candidates: jax.Array, train: bool):
        return self.norms[0](anchors, candidates, update_stats=train)

    def _rest(self, x: jax.Array, train: bool) -> jax.Array:
        for norm in self.norms[1:-1]:
            x = nn.relu(norm(x, update_stats=train))
        return self.norms[-1](x, update_stats=train)[..., 0]


class _Branch(nn.Module):
    """Residual two-layer map to the space in which scores are dot products."""

    width: int
    layer_norm: bool

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        x = layers.Linear(self.width, use_bias=False, name="linear0")(inputs)
        x = nn.relu(layers.batch_norm(train, name="norm")(x))
        x = layers.Linear(self.width, name="linear1")(x)
        shortcut = layers.Linear(
            self.width, use_bias=False, kernel_init=layers.noisy_identity, name="shortcut"
        )
        x = x + shortcut(inputs)
        return layers.layer_norm(name="layer_norm")(x) if self.layer_norm else x


class _EncodeAndDot(nn.Module):
    width: int
    norm_anchors: bool

    def setup(self):
        self.anchor = _Branch(self.width, self.norm_anchors)
        self.candidate = _Branch(self.width, True)

    def all_pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self.anchor(anchors, train=train), self.candidate(candidates, train=train)
        return jnp.einsum("nd,m...d->nm...", rows, columns)

    def pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self.anchor(anchors, train=train), self.candidate(candidates, train=train)
        return jnp.einsum("nd,nm...d->nm...", rows, columns)


def concat(*, widths: Sequence[int], spectral_norm: bool = False) -> pure.Critic:
    """MLP on the concatenation of anchor and candidate, ReLU, no normalisation of activations.

    On flattened maps it is the global critic (Table 6), on local features the
    concat-and-convolve critic (Table 7), whose 1x1 convolutions are this MLP at every location.
    Its all-pairs form holds n*m*l*widths[0] numbers. Published: widths (512, 512), no spectral
    norm.

    With `spectral_norm` every kernel is divided by its largest singular value (that of the first
    layer as one kernel of both sides), so the score is 1-Lipschitz in the pair, in the Euclidean
    norm of both sides together: the critic of a Wasserstein value. The singular values come from
    one step of power iteration per training call, kept in `stats`: only once it has converged is
    the constant at most 1 (a kernel with two close singular values was still 2 % above after 40
    calls). `divergences.lipschitz_penalty` measures slopes.
    `encode_and_dot` has no such form: a dot product is not 1-Lipschitz, nor is its layer norm.

    Source: Hjelm et al. 2019, App. A.2, Tables 6 and 7; official DIM code, first release;
      spectral norm: Miyato et al. 2018.
    """
    return pure.critic((_LipschitzConcat if spectral_norm else _Concat)(tuple(widths)))


def encode_and_dot(*, width: int, norm_anchors: bool) -> pure.Critic:
    """Both sides mapped to `width` numbers by a residual two-layer network, then a dot product.

    Each branch: linear without bias, batch norm, ReLU, linear, plus a linear shortcut that starts
    as a noisy identity, then layer norm (on the anchors' side if `norm_anchors`: the newest
    official code normalises both sides, the paper's tables only the local one). No temperature
    and no scaling: at the start scores have a standard deviation of about sqrt(width).
    Published: width 2048.

    Source: Hjelm et al. 2019, App. A.2, Tables 8 and 9; official DIM code, mi_networks.py.
    """
    return pure.critic(_EncodeAndDot(width, norm_anchors))
