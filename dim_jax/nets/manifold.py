"""The image-manifold layer, which embeds its channels, and encoders with such layers.

Source: Klindt, Balle, Shlens and Simoncelli 2020 (poster). What it leaves open (bias, stride,
padding, norm of the filters, inverse temperature, variance of a point) is ours, as described below.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dim_jax import contracts
from dim_jax.nets import convolutions, fields, layers, microbatches, pooling, pure

_FLOOR = 1e-3  # of the variance of a point, relative to the variance of the channels' positions
PASSED = ("mean", "responses")


class Manifold(nn.Module):
    """Overcomplete convolution, softmax over the channels, and the mean of their positions.

        responses y = softmax over k of gain * (filter_k * x + bias_k)
        mean      z = sum_k y_k e_k
        variance  s^2 = sum_k y_k (e_k - z)^2, coordinate by coordinate

    for channels k at learned positions e_k: at every location, the normal distribution fitted to
    the pattern of responses. Filters have norm 1, so that the single learned `gain` controls how
    sharp responses are. The variance has a floor relative to the variance of all positions, so that
    a common scale of the positions has no effect.

    channels: number of k. kernel, stride: of the convolution, without padding. dimensions: d. gain:
    its initial value; near 0 all responses are equal and nothing can be learned from z.
    """

    channels: int
    kernel: int
    stride: int
    dimensions: int
    gain: float

    @nn.compact
    def __call__(self, inputs: jax.Array) -> contracts.Embedded:
        shape = (self.kernel, self.kernel, inputs.shape[-1], self.channels)
        filters = _normalise_filters(self.param("kernel", nn.initializers.normal(), shape))
        bias = self.param("bias", nn.initializers.zeros, shape[-1:])
        # The logarithm is learned, so that the gain stays positive.
        gain = jnp.exp(self.param("log_gain", nn.initializers.constant(jnp.log(self.gain)), ()))
        matches = convolutions.conv(inputs, filters, self.stride, 0)
        responses = nn.softmax(gain * (matches + layers.per_channel(bias, matches)))
        positions = self.param(
            "positions", nn.initializers.normal(1.0), (self.channels, self.dimensions)
        )
        mean, variance = layers.moments(responses, positions, _FLOOR)
        # Positions and filters have no batch axis: `_with_parameters` adds them.
        return contracts.Embedded(responses, mean, variance, None, None)


def _normalise_filters(kernel: jax.Array) -> jax.Array:
    """The filters of a kernel f[s,s,c,k], each divided by its norm."""
    return kernel / jnp.sqrt(jnp.sum(kernel**2, axis=(0, 1, 2), keepdims=True) + 1e-12)


class ManifoldEncoder(nn.Module):
    """Manifold layers with pooling, hidden ReLU layers, and the affine layer that gives y.

    Taps: conv and local, the map after the last pooling; fc; y; and `embedded`, the outputs of each
    layer.
    """

    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    pools: tuple[int, ...]
    dimensions: tuple[int, ...]
    gain: float
    passed: str
    hidden: tuple[int, ...]
    features: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        del train
        x, embedded = images, []
        all_sizes = zip(self.channels, self.kernels, self.strides, self.dimensions, strict=True)
        for index, sizes in enumerate(all_sizes):
            layer = Manifold(*sizes, self.gain, name=f"manifold{index}")(x)
            embedded.append(layer)
            x = getattr(layer, self.passed)
            if (pool := self.pools[index]) > 1:
                x = pooling.max_pool(x, pool, pool)
        taps = {"local": x, "conv": x, "embedded": tuple(embedded)}
        x = x.reshape(x.shape[0], -1)
        for index, width in enumerate(self.hidden):
            x = nn.relu(layers.Linear(width, name=f"fc{index}")(x))
        return {**taps, "fc": x, "y": layers.Linear(self.features, name="y")(x)}


def manifold(
    *,
    channels: Sequence[int],
    kernels: Sequence[int],
    strides: Sequence[int],
    pools: Sequence[int],
    dimensions: Sequence[int],
    gain: float,
    passed: str,
    hidden: Sequence[int],
    features: int,
) -> pure.Net:
    """An encoder with one manifold layer per entry of the first five arguments, for any image size.

    Published: 256 channels of 9x9 in 2 dimensions, for MNIST and for display; a stack of two with
    max pooling for shiftMNIST, and of three, whose sizes are not published.

    Args:
      pools: side and stride of the max pooling after each layer; 1 = none.
      gain: initial inverse temperature of the softmax.
      passed: the input of the next layer and of the classifier: "mean", the embedding, or
        "responses". The poster leaves it open.
      hidden: widths of the hidden layers after the last map; () = none.

    Raises:
      UserError: sizes of different lengths, an unknown `passed`; on use, images too small.
    """
    sizes = dict(
        channels=channels, kernels=kernels, strides=strides, pools=pools, dimensions=dimensions
    )
    sizes = {name: tuple(values) for name, values in sizes.items()}
    if len({len(values) for values in sizes.values()}) > 1 or not sizes["channels"]:
        counts = ", ".join(f"{name} {len(values)}" for name, values in sizes.items())
        raise contracts.UserError(
            f"the encoder 'manifold' needs one entry for each layer, and got {counts}; give all of "
            "them the same number of entries, at least one"
        )
    if passed not in PASSED:
        raise contracts.unknown("passed", passed, PASSED)
    module = ManifoldEncoder(
        **sizes, gain=gain, passed=passed, hidden=tuple(hidden), features=features
    )

    def check(images: jax.Array) -> None:
        side = min(images.shape[1:3])
        for kernel, stride, pool in zip(kernels, strides, pools, strict=True):
            side = ((side - kernel) // stride + 1) // pool if side >= kernel else 0
        if side < 1:
            raise contracts.UserError(
                f"images of {images.shape[1]}x{images.shape[2]} pixels are too small for the "
                f"manifold layers: kernels {tuple(kernels)}, strides {tuple(strides)}, pools "
                f"{tuple(pools)} leave nothing; use fewer layers or a larger data.image_size"
            )

    steps = [
        step
        for kernel, stride, pool in zip(kernels, strides, pools, strict=True)
        for step in ((kernel, stride, 0), (pool, pool, 0))
    ]
    net = pure.net(module, check, lambda side: fields.of_layers(steps))
    return _with_parameters(microbatches.dividable(net))


def _with_parameters(net: pure.Net) -> pure.Net:
    """The same encoder, with the positions and filters added to its `embedded`."""

    def apply(params, stats, images, *, train: bool, rng=None):
        taps, stats = net.apply(params, stats, images, train=train, rng=rng)
        embedded = tuple(
            layer._replace(
                positions=weights["positions"], filters=_normalise_filters(weights["kernel"])
            )
            for index, layer in enumerate(taps["embedded"])
            for weights in [params[f"manifold{index}"]]
        )
        return {**taps, "embedded": embedded}, stats

    return net._replace(apply=apply)
