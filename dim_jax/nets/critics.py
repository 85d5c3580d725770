"""Critics T(anchor, candidate): the score networks of the mutual information bounds.

An anchor is a global vector f[d]; a candidate is one local feature or one flattened map f[c].
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dim_jax.nets import layers, products, pure

Sides = tuple[jax.Array, jax.Array]


class _Concat(nn.Module):
    """MLP on [candidate, anchor]; the first layer is applied to each side and the results added.

    This equals concatenation, without a copy of both sides for every pair.
    """

    widths: Sequence[int]

    def setup(self):
        self.of_anchor = layers.Linear(self.widths[0], use_bias=False)
        self.of_candidate = layers.Linear(self.widths[0])
        self.hidden = [layers.Linear(width) for width in self.widths[1:]]
        self.score = layers.Linear(1)

    def _first_layer(self, anchors: jax.Array, candidates: jax.Array, train: bool):
        del train
        return self.of_anchor(anchors), self.of_candidate(candidates)

    def _remaining_layers(self, x: jax.Array, train: bool) -> jax.Array:
        del train
        for layer in self.hidden:
            x = nn.relu(layer(x))
        return self.score(x)[..., 0]

    def all_pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        return self.scores(*self.sides(anchors, candidates, train=train), train=train)

    def sides(self, anchors: jax.Array, candidates: jax.Array, *, train: bool):
        return self._first_layer(anchors, candidates, train)

    def scores(self, rows: jax.Array, columns: jax.Array, *, train: bool) -> jax.Array:
        rows = jnp.expand_dims(_on_all_devices(rows), range(1, columns.ndim))
        return self._remaining_layers(nn.relu(rows + columns[None]), train)

    def pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self._first_layer(anchors, candidates, train)
        rows = jnp.expand_dims(rows, range(1, candidates.ndim - 1))
        return self._remaining_layers(nn.relu(rows + columns), train)

    def same_location(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows, columns = self._first_layer(anchors, candidates, train)
        return self._remaining_layers(nn.relu(rows[:, None] + columns[None]), train)


def _on_all_devices(rows: jax.Array) -> jax.Array:
    """The rows, which all devices hold of an array that the compiler splits over one mesh axis.

    Of sums of rows and columns it would else gather columns, with all their locations.
    """
    mesh = jax.typeof(rows).sharding.mesh
    if mesh.axis_types != (AxisType.Auto,) or mesh.size == 1:
        return rows
    return jax.lax.with_sharding_constraint(rows, NamedSharding(mesh, PartitionSpec()))


class _FirstOfPair(nn.Module):
    """One kernel for [candidate, anchor], applied to each side separately.

    Two kernels normalised separately would have a slope of up to sqrt(2) in the pair.
    """

    features: int

    @nn.compact
    def __call__(self, anchors: jax.Array, candidates: jax.Array) -> tuple[jax.Array, jax.Array]:
        split = candidates.shape[-1]
        fan_in = split + anchors.shape[-1]
        kernel = self.param("kernel", layers.fan_in_uniform, (fan_in, self.features))
        bias = self.param("bias", _uniform_bias(1 / math.sqrt(fan_in)), (self.features,))
        return (
            products.dot(anchors, kernel[split:]),
            products.dot(candidates, kernel[:split]) + bias,
        )


def _uniform_bias(limit: float):
    return lambda rng, shape: jax.random.uniform(rng, shape, jnp.float32, -limit, limit)


class _LipschitzConcat(_Concat):
    """The same MLP with every kernel divided by its largest singular value."""

    def setup(self):
        self.first = _FirstOfPair(self.widths[0])
        self.hidden = [layers.Linear(width) for width in self.widths[1:]]
        self.score = layers.Linear(1)
        self.norms = [nn.SpectralNorm(x) for x in (self.first, *self.hidden, self.score)]

    def _first_layer(self, anchors: jax.Array, candidates: jax.Array, train: bool):
        return self.norms[0](anchors, candidates, update_stats=train)

    def _remaining_layers(self, x: jax.Array, train: bool) -> jax.Array:
        for norm in self.norms[1:-1]:
            x = nn.relu(norm(x, update_stats=train))
        return self.norms[-1](x, update_stats=train)[..., 0]


class _Branch(nn.Module):
    """Residual two-layer network to the space of the dot products, without its layer norm.

    Returns (outputs, scale, bias) where a layer norm follows, else (outputs, None, None).
    """

    width: int
    layer_norm: bool

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool):
        x = layers.normed_linear(inputs, self.width, train=train, linear="linear0", norm="norm")
        shortcut = layers.Kernel(self.width, layers.noisy_identity, name="shortcut")(inputs)
        x = layers.Linear(self.width, name="linear1")(nn.relu(x), (inputs, shortcut))
        if not self.layer_norm:
            return x, None, None
        return x, *layers.ScaleAndBias(name="layer_norm")(x)


class _EncodeAndDot(nn.Module):
    width: int
    norm_anchors: bool

    def setup(self):
        self.anchor = _Branch(self.width, self.norm_anchors)
        self.candidate = _Branch(self.width, True)

    def _rows(self, anchors: jax.Array, train: bool) -> jax.Array:
        rows, scale, bias = self.anchor(anchors, train=train)
        return layers.layer_normed(rows, scale, bias) if self.norm_anchors else rows

    def all_pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        return self.scores(*self.sides(anchors, candidates, train=train), train=train)

    def sides(self, anchors: jax.Array, candidates: jax.Array, *, train: bool):
        rows = self._rows(anchors, train)
        return _sides_of_normed(rows, *self.candidate(candidates, train=train))

    def scores(self, rows: Sides, columns: Sides, *, train: bool) -> jax.Array:
        del train
        return _dot_of_normed(*rows, *columns)

    def pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows = self._rows(anchors, train)
        columns = layers.layer_normed(*self.candidate(candidates, train=train))
        return jnp.einsum("nd,nm...d->nm...", rows, columns)

    def same_location(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        rows = self._rows(anchors, train)
        columns = layers.layer_normed(*self.candidate(candidates, train=train))
        return products.dot_by_location(rows, columns)


def _sides_of_normed(
    rows: jax.Array, columns: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[Sides, Sides]:
    """Of rows f[n,d] and columns f[m,*l,d] that a layer norm follows, the sides of their scores.

    Layer norm needs two numbers per column. The mean has no effect, because the rows are centred;
    the standard deviation divides the scores. So the large array is read only for these two and
    for the product.
    """
    normed = rows * scale[None]
    normed = normed - normed.mean(-1, keepdims=True)
    # Scores do not depend on the means; without them, large ones cause no rounding errors.
    centred = columns - jax.lax.stop_gradient(_column_means(columns))
    deviations = jnp.sqrt(jnp.mean(centred**2, -1) + layers.EPSILON)
    return (normed, rows @ bias), (centred, 1 / deviations)


def _dot_of_normed(
    normed: jax.Array, offsets: jax.Array, centred: jax.Array, factors: jax.Array
) -> jax.Array:
    """Rows f[n,d] times layer-normed columns f[m,*l,d] -> f[n,m,*l], without storing the latter."""
    scores = _scale_columns(products.dot_of_rows(normed, centred), factors)
    return scores + jnp.expand_dims(offsets, range(1, scores.ndim))


# The next two functions sum by a product with ones. XLA's CPU backend fuses a plain sum with the
# large product next to it, which is slower than two kernels (measured, 4096 x 2048 columns: 51
# against 43 ms, and 14 against 6 ms in the backward pass).


def _column_means(columns: jax.Array) -> jax.Array:
    d = columns.shape[-1]
    means = columns.reshape(-1, d) @ jnp.full((d, 1), 1 / d, columns.dtype)
    return means.reshape(*columns.shape[:-1], 1)


@jax.custom_vjp
def _scale_columns(scores: jax.Array, factors: jax.Array) -> jax.Array:
    """Scores f[n,m,*l], each column times its factor f[m,*l]."""
    return scores * factors[None]


def _scale_columns_forward(scores, factors):
    return scores * factors, (scores, factors)


def _scale_columns_backward(residuals, cotangent):
    scores, factors = residuals
    products_of_columns = (cotangent * scores).reshape(len(scores), -1)
    ones = jnp.ones((1, len(scores)), scores.dtype)
    return cotangent * factors, (ones @ products_of_columns).reshape(factors.shape)


_scale_columns.defvjp(_scale_columns_forward, _scale_columns_backward)


class _Bilinear(nn.Module):
    @nn.compact
    def _rows(self, anchors: jax.Array, features: int) -> jax.Array:
        return layers.Linear(features, use_bias=False, name="matrix")(anchors)

    def all_pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        return self.scores(*self.sides(anchors, candidates, train=train), train=train)

    def sides(self, anchors: jax.Array, candidates: jax.Array, *, train: bool):
        del train
        return self._rows(anchors, candidates.shape[-1]), candidates

    def scores(self, rows: jax.Array, columns: jax.Array, *, train: bool) -> jax.Array:
        del train
        return products.dot_of_rows(rows, columns)

    def pairs(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        del train
        rows = self._rows(anchors, candidates.shape[-1])
        return jnp.einsum("nd,nm...d->nm...", rows, candidates)

    def same_location(self, anchors: jax.Array, candidates: jax.Array, *, train: bool) -> jax.Array:
        del train
        rows = self._rows(anchors, candidates.shape[-1])
        return products.dot_by_location(rows, candidates)


def concat(*, widths: Sequence[int], spectral_norm: bool = False) -> pure.Critic:
    """MLP on the concatenation of anchor and candidate, ReLU, no normalisation of activations.

    On flattened maps it is the global critic (Table 6), on local features the
    concat-and-convolve critic (Table 7), whose 1x1 convolutions are this MLP at every location.
    Scoring all pairs stores n*m*l*sum(widths) numbers. Published: widths (512, 512), no spectral
    norm.

    With `spectral_norm` every kernel is divided by its largest singular value (that of the first
    layer as one kernel of both sides), so the score is 1-Lipschitz in the pair, in the Euclidean
    norm of both sides together: the critic of a Wasserstein distance. The singular values come
    from one step of power iteration per training call, stored in `stats`: the constant is at most
    1 only after convergence (a kernel with two close singular values was still 2 % above after 40
    calls). `divergences.lipschitz_penalty` measures slopes.
    `encode_and_dot` has no such form: neither a dot product nor its layer norm is 1-Lipschitz.

    Source: Hjelm et al. 2019, App. A.2, Tables 6 and 7; official DIM code, first release;
      spectral norm: Miyato et al. 2018.
    """
    module = (_LipschitzConcat if spectral_norm else _Concat)(tuple(widths))
    return pure.critic(module, numbers=sum(widths))


def encode_and_dot(*, width: int, norm_anchors: bool) -> pure.Critic:
    """A residual two-layer network to `width` features for each side, then a dot product.

    Each branch: linear without bias, batch norm, ReLU, linear, plus a linear shortcut that is
    initialised to a noisy identity (`layers.noisy_identity`), then layer norm. No temperature and
    no scaling: scores of the untrained critic have a standard deviation of about sqrt(width), the
    more above it (20 % at 256, of 64 and 128 features) the more features of both sides the
    identities copy to the same places. Published: width 2048.

    Args:
      norm_anchors: layer norm of the anchors too; candidates always have one.

    Source: Hjelm et al. 2019, App. A.2, Tables 8 and 9; official DIM code, mi_networks.py.
    Differs: with `norm_anchors`, from Table 8 and the first release, January 2019, whose anchors
      are not normalised; the release of April 2019 normalises both sides.
    """
    return pure.critic(_EncodeAndDot(width, norm_anchors))


def bilinear() -> pure.Critic:
    """candidate^T W anchor with one matrix W and no bias: the critic of CPC.

    Source: van den Oord et al. 2018, equation 3 (one W for each offset).
    """
    return pure.critic(_Bilinear())
