"""Matrix products and convolutions by oneDNN, which jaxlib's wheels for x86-64 contain.

XLA's CPU backend runs oneDNN for custom calls of two targets, without a compiler or another
package. They are not documented: `suits` tries both once, and DIM_JAX_ONEDNN=0 in the environment
turns them off. A program with such a call cannot be stored in the compilation cache, so that every
start compiles it.
"""

import functools
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_LEAST = 5e7  # floating-point operations; below it XLA's form takes about as long
_IMAGES = {"batch_dim": "0", "feature_dim": "3", "spatial_dims": ["1", "2"]}
_FILTERS = {"input_feature_dim": "2", "output_feature_dim": "3", "spatial_dims": ["0", "1"]}
# `with allowed(False): ...`: what is traced inside it is for other machines and versions of jaxlib.
allowed = jax.make_user_context(True)
Padding = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right); not negative


def suits(operations: float, dtype: jnp.dtype | str = "float32") -> bool:
    """Whether oneDNN is to compute a product or convolution of this many floating-point operations.

    On one CPU device alone: of several, XLA would gather the operands on each. Operands of bfloat16
    only where the CPU multiplies them.

    Args:
      dtype: of the operands.
    """
    if not allowed.value or operations < _LEAST:
        return False
    if jnp.dtype(dtype) == jnp.bfloat16 and not multiplies_bfloat16():
        return False
    return jax.default_backend() == "cpu" and jax.device_count() == 1 and _works()


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16.

    Without them a convolution by oneDNN may never return (jaxlib 0.10.2, measured on a CPU with
    AVX-512 alone: most runs of the tests of convolutions).
    """
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


@functools.cache
def _works() -> bool:
    if os.environ.get("DIM_JAX_ONEDNN") == "0":
        return False
    images, filters = np.ones((1, 3, 3, 16), np.float32), np.ones((2, 2, 16, 16), np.float32)

    def both(images, filters):
        sums = conv(1, ((0, 1), (1, 0)), 1, images, filters)
        return _dot(images.reshape(9, 16), filters[0, 0], left_axis=1, right_axis=0), sums

    try:
        outputs = jax.jit(both).lower(images, filters).compile()(images, filters)
    except (jax.errors.JaxRuntimeError, ValueError):  # jaxlib without oneDNN
        return False
    products, sums = map(np.asarray, outputs)  # first: the caller may be traced
    return bool(products[0, 0] == 16 and sums[0, 0, 1, 0] == 64)


def dot(left: jax.Array, right: jax.Array, left_axis: int, right_axis: int) -> jax.Array:
    """The product of two matrices over these axes, f[m,n], summed in float32."""
    return _dot_p.bind(left, right, left_axis=left_axis, right_axis=right_axis)


def _dot(left, right, *, left_axis, right_axis):
    config = {"transpose_a": left_axis == 0, "transpose_b": right_axis == 1}
    outputs = jax.eval_shape(
        functools.partial(_plain_dot, left_axis=left_axis, right_axis=right_axis), left, right
    )
    return _call("__onednn$matmul", outputs, {"onednn_matmul_config": config})(left, right)


def _plain_dot(left, right, *, left_axis, right_axis):
    dimensions = (((left_axis,), (right_axis,)), ((), ()))
    return lax.dot_general(left, right, dimensions, preferred_element_type=jnp.float32)


def _dot_of_left(cotangent, left, right, *, left_axis, right_axis):
    right = right.astype(cotangent.dtype)
    if left_axis == 1:
        gradient = dot(cotangent, right, 1, 1 - right_axis)
    else:
        gradient = dot(right, cotangent, 1 - right_axis, 1)
    return gradient.astype(left.aval.dtype)


def _dot_of_right(cotangent, left, right, *, left_axis, right_axis):
    left = left.astype(cotangent.dtype)
    if right_axis == 0:
        gradient = dot(left, cotangent, 1 - left_axis, 0)
    else:
        gradient = dot(cotangent, left, 0, 1 - left_axis)
    return gradient.astype(right.aval.dtype)


def _batched_dot(operands, axes, *, left_axis, right_axis):
    left, right = axes
    if left is None:  # XLA's CPU backend lacks some such products of bfloat16 operands
        product, _ = _batched_dot(
            operands[::-1], (right, left), left_axis=right_axis, right_axis=left_axis
        )
        return product.swapaxes(1, 2), 0
    plain = functools.partial(_plain_dot, left_axis=left_axis, right_axis=right_axis)
    return jax.vmap(plain, axes)(*operands), 0


_dot_p = Primitive("onednn_dot")
_dot_p.def_impl(jax.jit(_dot, static_argnames=("left_axis", "right_axis")))
_dot_p.def_abstract_eval(
    lambda left, right, *, left_axis, right_axis: jax.core.ShapedArray(
        (left.shape[1 - left_axis], right.shape[1 - right_axis]), jnp.float32
    )
)
ad.defbilinear(_dot_p, _dot_of_left, _dot_of_right)
batching.primitive_batchers[_dot_p] = _batched_dot
mlir.register_lowering(_dot_p, mlir.lower_fun(_dot, multiple_results=False))


def conv(
    stride: int, padding: Padding, dilation: int, images: jax.Array, filters: jax.Array
) -> jax.Array:
    """Convolution of images f[n,h,w,c] with filters f[k,l,c,d], summed in float32.

    Without a derivative; `convolutions` has it.

    Args:
      dilation: pixels between neighbouring entries of the filters, along both sides.
    """
    plain = functools.partial(plain_conv, stride, padding, dilation)
    window = {
        "size": filters.shape[:2],
        "pad_left": [before for before, _ in padding],
        "pad_right": [after for _, after in padding],
        "strides": (stride, stride),
        "window_dilations": (dilation, dilation),
    }
    config = {
        "dims": "4",
        "input": {"dims": "4", "data": _IMAGES},
        "kernel": {"dims": "4", "filter": _FILTERS},
        "output": {"dims": "4", "data": _IMAGES},
        "window": {name: [str(number) for number in pair] for name, pair in window.items()},
        "feature_groups": "1",
    }
    outputs = jax.eval_shape(plain, images, filters)
    call = _call("__onednn$convolution", outputs, {"onednn_conv_config": config})
    return call(images, filters)


def plain_conv(stride, padding, dilation, images, filters):
    """`conv` by XLA, in float32."""
    return lax.conv_general_dilated(
        images.astype(jnp.float32),
        filters.astype(jnp.float32),
        (stride, stride),
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _call(target: str, outputs: jax.ShapeDtypeStruct, config: dict[str, Any]):
    return jax.ffi.ffi_call(
        target,
        outputs,
        vmap_method="sequential",
        custom_call_api_version=2,
        legacy_backend_config=json.dumps(config),
    )
