"""The Inception v3 network of the Frechet inception distance, as functions of its weights.

It has the weights and the layout of the TensorFlow graph `inception-2015-12-05`. Names are those of
the state dict of the pytorch-fid project, such as "Mixed_5b.branch1x1.conv.weight".

Source: Szegedy et al. 2016; torchvision, models/inception.py; pytorch-fid, inception.py.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

SIDE = 299
FEATURES = 2048
CLASSES = 1008
_EPS = 1e-3

# (name, images, channels of the output, kernel as (height, width) or side, stride, padding)
_Conv = Callable[..., jax.Array]


def resize(images: jax.Array) -> jax.Array:
    """Images u8[n,h,w,3] as f32[n,299,299,3] in [-1, 1].

    Bilinear between the centres of pixels, without a filter against aliasing, as in pytorch-fid.
    """
    shape = (len(images), SIDE, SIDE, images.shape[-1])
    unit = jnp.asarray(images, jnp.float32) / 255
    # Two products of matrices; on a GPU or TPU they would be rounded to fewer bits.
    resized = jax.image.resize(
        unit, shape, "bilinear", antialias=False, precision=jax.lax.Precision.HIGHEST
    )
    return 2 * resized - 1


def features(weights: Mapping[str, jax.Array], images: jax.Array) -> jax.Array:
    """The features f32[n,2048] behind the last average, of images f32[n,h,w,3] in [-1, 1].

    Images that are not 299x299 are not resized; 75 pixels are the least.

    Args:
      weights: arrays with the names and shapes of `shapes`.
    """
    return jnp.mean(_maps(functools.partial(_convolved, weights), images), axis=(1, 2))


def logits(weights: Mapping[str, jax.Array], pooled: jax.Array, *, bias: bool) -> jax.Array:
    """The logits f32[n,1008] of features f32[n,2048].

    Args:
      bias: the inception score is published without it (Salimans et al. 2016, official code).
    """
    product = jnp.dot(pooled, weights["fc.weight"].T, precision=jax.lax.Precision.HIGHEST)
    return product + weights["fc.bias"] if bias else product


@functools.cache
def shapes() -> dict[str, tuple[int, ...]]:
    """The shapes of all weights by their names; kernels are [outputs,inputs,height,width]."""
    found: dict[str, tuple[int, ...]] = {}

    def record(name, x, channels, kernel, stride=1, padding="SAME"):
        found[f"{name}.conv.weight"] = (channels, x.shape[-1], *_pair(kernel))
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.bn.{part}"] = (channels,)
        window = (1, *_pair(kernel), 1)
        counted = jax.lax.reduce_window(
            x, 0.0, jax.lax.add, window, (1, stride, stride, 1), padding
        )
        return jnp.zeros((*counted.shape[:3], channels), x.dtype)

    image = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    jax.eval_shape(functools.partial(_maps, record), image)
    return {**found, "fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}


def _pair(kernel: int | tuple[int, int]) -> tuple[int, int]:
    return (kernel, kernel) if isinstance(kernel, int) else kernel


def _convolved(weights, name, x, channels, kernel, stride=1, padding="SAME") -> jax.Array:
    """Convolution, batch norm with its running statistics, and ReLU."""
    del channels, kernel  # those of the weights
    norm = {
        part: weights[f"{name}.bn.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    scale = norm["weight"] * jax.lax.rsqrt(norm["running_var"] + _EPS)
    x = jax.lax.conv_general_dilated(
        *(x, weights[f"{name}.conv.weight"] * scale[:, None, None, None]),
        *((stride, stride), padding),
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
        precision=jax.lax.Precision.HIGHEST,  # a GPU or TPU would round to fewer bits
    )
    return jax.nn.relu(x + norm["bias"] - norm["running_mean"] * scale)


def _maps(conv: _Conv, x: jax.Array) -> jax.Array:
    """The maps f32[n,h,w,2048] before the last average; 8x8 of 299x299 pixels."""
    x = conv("Conv2d_1a_3x3", x, 32, 3, 2, "VALID")
    x = conv("Conv2d_2a_3x3", x, 32, 3, 1, "VALID")
    x = conv("Conv2d_2b_3x3", x, 64, 3)
    x = _max_pool(x, 2, "VALID")
    x = conv("Conv2d_3b_1x1", x, 80, 1)
    x = conv("Conv2d_4a_3x3", x, 192, 3, 1, "VALID")
    x = _max_pool(x, 2, "VALID")
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = _a(_within(conv, name), x, pooled)
    x = _b(_within(conv, "Mixed_6a"), x)
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = _c(_within(conv, name), x, width)
    x = _d(_within(conv, "Mixed_7a"), x)
    x = _e(_within(conv, "Mixed_7b"), x, _average_pool)
    # In the published graph the last block has a max pool.
    return _e(_within(conv, "Mixed_7c"), x, functools.partial(_max_pool, stride=1, padding="SAME"))


def _within(conv: _Conv, block: str) -> _Conv:
    return lambda name, *arguments: conv(f"{block}.{name}", *arguments)


def _a(conv: _Conv, x: jax.Array, pooled: int) -> jax.Array:
    return _joined(
        conv("branch1x1", x, 64, 1),
        conv("branch5x5_2", conv("branch5x5_1", x, 48, 1), 64, 5),
        conv("branch3x3dbl_3", _double(conv, x, 64, 96), 96, 3),
        conv("branch_pool", _average_pool(x), pooled, 1),
    )


def _b(conv: _Conv, x: jax.Array) -> jax.Array:
    return _joined(
        conv("branch3x3", x, 384, 3, 2, "VALID"),
        conv("branch3x3dbl_3", _double(conv, x, 64, 96), 96, 3, 2, "VALID"),
        _max_pool(x, 2, "VALID"),
    )


def _c(conv: _Conv, x: jax.Array, width: int) -> jax.Array:
    row, column = (1, 7), (7, 1)
    single = conv("branch7x7_2", conv("branch7x7_1", x, width, 1), width, row)
    double = conv("branch7x7dbl_1", x, width, 1)
    for place, kernel in ((2, column), (3, row), (4, column)):
        double = conv(f"branch7x7dbl_{place}", double, width, kernel)
    return _joined(
        conv("branch1x1", x, 192, 1),
        conv("branch7x7_3", single, 192, column),
        conv("branch7x7dbl_5", double, 192, row),
        conv("branch_pool", _average_pool(x), 192, 1),
    )


def _d(conv: _Conv, x: jax.Array) -> jax.Array:
    seven = conv("branch7x7x3_1", x, 192, 1)
    for place, kernel in ((2, (1, 7)), (3, (7, 1))):
        seven = conv(f"branch7x7x3_{place}", seven, 192, kernel)
    return _joined(
        conv("branch3x3_2", conv("branch3x3_1", x, 192, 1), 320, 3, 2, "VALID"),
        conv("branch7x7x3_4", seven, 192, 3, 2, "VALID"),
        _max_pool(x, 2, "VALID"),
    )


def _e(conv: _Conv, x: jax.Array, pool: Callable[[jax.Array], jax.Array]) -> jax.Array:
    three, double = conv("branch3x3_1", x, 384, 1), _double(conv, x, 448, 384)
    return _joined(
        conv("branch1x1", x, 320, 1),
        conv("branch3x3_2a", three, 384, (1, 3)),
        conv("branch3x3_2b", three, 384, (3, 1)),
        conv("branch3x3dbl_3a", double, 384, (1, 3)),
        conv("branch3x3dbl_3b", double, 384, (3, 1)),
        conv("branch_pool", pool(x), 192, 1),
    )


def _double(conv: _Conv, x: jax.Array, first: int, second: int) -> jax.Array:
    return conv("branch3x3dbl_2", conv("branch3x3dbl_1", x, first, 1), second, 3)


def _joined(*branches: jax.Array) -> jax.Array:
    return jnp.concatenate(branches, axis=-1)


def _max_pool(x: jax.Array, stride: int, padding: str) -> jax.Array:
    strides = (1, stride, stride, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), strides, padding)


def _average_pool(x: jax.Array) -> jax.Array:
    """The mean of the 3x3 pixels around each, of those within the image alone."""
    window = functools.partial(
        jax.lax.reduce_window,
        init_value=0.0,
        computation=jax.lax.add,
        window_dimensions=(1, 3, 3, 1),
        window_strides=(1, 1, 1, 1),
        padding="SAME",
    )
    return window(x) / window(jnp.ones_like(x[:1, :, :, :1]))
