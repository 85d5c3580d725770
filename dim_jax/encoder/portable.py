"""The encoder as a function for other machines, and images that compare it elsewhere."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from dim_jax import build, contracts
from dim_jax.encoder import loading, network
from dim_jax.nets import onednn, products

TOLERANCE = 1e-4  # of features up to 1, and relative to the largest of larger ones


def function(encoder: loading.Encoder) -> Callable[[jax.Array], contracts.Taps]:
    """Raw pixels [n,h,w,c] of the card's type -> {tap: f32[n,...]}, for any number n.

    It has XLA's operations alone: no kernel that only some machines or versions of jaxlib have.
    """
    params, stats = jax.device_get((encoder.params, encoder.stats))
    return functools.partial(_apply(encoder, forward_only=True), params, stats)


def function_by_platform(encoder: loading.Encoder) -> Callable[[jax.Array], contracts.Taps]:
    """`function` for programs of several platforms.

    On a CPU, convolutions are products of patches: with weights that are constants, XLA's
    convolutions in fusions of YNNPACK give wrong numbers for some networks (jaxlib 0.10.2, AMDIM).
    """
    weights = jax.device_get((encoder.params, encoder.stats))
    forms = {name: _apply(encoder, forward_only=name != "cpu") for name in ("cpu", "default")}
    return lambda images: jax.lax.platform_dependent(*weights, images, **forms)


def _apply(encoder: loading.Encoder, *, forward_only: bool) -> Callable[..., contracts.Taps]:
    net = build.make("encoder", encoder.card["encoder"])

    def apply(params, stats, images):
        with onednn.allowed(False), products.forward_only(forward_only):
            return network.outputs(net, encoder.card, params, stats, images, encoder.card["taps"])

    return apply


def images(encoder: loading.Encoder, count: int) -> np.ndarray:
    """Random images [count,h,w,c] of the card's type, within its range."""
    random = np.random.default_rng(0)
    pixels = random.uniform(size=(count, *encoder.card["image_shape"]))
    ends = network.pixel_range(encoder.card)
    low, high = (0, 255) if ends is None else map(np.asarray, ends[:2])
    dtype = np.dtype(encoder.card.get("dtype", "uint8"))
    pixels = low + pixels * (high - low)
    return (np.rint(pixels) if dtype.kind in "iu" else pixels).astype(dtype)


def compare(encoder: loading.Encoder, call: Callable[[np.ndarray], Any], what: str) -> None:
    """Compares features of three random images on the CPU with those of another program.

    Args:
      call: raw pixels [n,h,w,c] -> {tap: f32[n,...]}.

    Raises:
      UserError: features differ by more than TOLERANCE.
    """
    pixels = images(encoder, 3)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        apply = jax.jit(_apply(encoder, forward_only=False))
        wanted = jax.device_get(apply(encoder.params, encoder.stats, pixels))
        others = jax.device_get(call(pixels))
    for tap in encoder.card["taps"]:
        largest = max(1.0, float(np.abs(wanted[tap]).max()))
        difference = float(np.abs(others[tap] - wanted[tap]).max()) / largest
        if not difference <= TOLERANCE:
            raise contracts.UserError(
                f"the {what} differs from the encoder by {difference:.2g} at the tap {tap}, and at "
                f"most {TOLERANCE:g} is allowed; export in another format, such as safetensors"
            )
