"""The network that a card describes, its outputs, and the comparison of both with saved weights."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import build, contracts, data
from dim_jax.nets import pure
from dim_jax.rundir import tree_leaves


def tap_shapes(spec: Mapping[str, Any], image_shape: Sequence[int]) -> dict[str, list[int]]:
    """The shapes of one image's features at all taps of the encoder of a config's block.

    Outputs that are no features, such as the embeddings of each manifold layer, are left out.
    """
    return _trace(build.make("encoder", spec), image_shape)[1]


def outputs(
    net: pure.Net,
    card: Mapping[str, Any],
    params: contracts.Tree,
    stats: contracts.Tree,
    pixels: Any,
    taps: Iterable[str],
) -> contracts.Taps:
    """The features of raw pixels [n,h,w,c] at some taps, f32[n,...], in evaluation mode."""
    normalised = data.normalise(pixels, card["mean"], card["std"], pixel_range(card))
    features, _ = net.apply(params, stats, normalised, train=False)
    return {name: features[name] for name in taps}


def pixel_range(card: Mapping[str, Any]) -> data.PixelRange | None:
    """The raw values of a card that become 0 and 1; None = 0 and 255, or floats in [0, 1]."""
    ends = card.get("pixel_range")
    return ends and data.PixelRange(tuple(ends["low"]), tuple(ends["high"]), ends["clip"])


def of_card(
    card: Mapping[str, Any], params: contracts.Tree, stats: contracts.Tree, where: Path
) -> tuple[pure.Net, dict[str, list[int]]]:
    """The network of a card, and its taps with the shapes of their features.

    Raises:
      UserError: weights or taps are not those of the network; `where` is the export.
    """
    try:
        net = build.make("encoder", card["encoder"])
        weights, taps = _trace(net, card["image_shape"])
    except Exception as error:  # of any kind, from the arguments of any network
        reason = str(error).strip().partition("\n")[0]
        raise contracts.UserError(
            f"{where} describes an encoder that cannot be built ({reason}); export it again"
        ) from error
    needed, saved = (
        tree_leaves.named_leaves(dict(zip(("params", "state"), each, strict=True)))
        for each in (weights, (params, stats))
    )
    # Version 0.1.0 listed the logits of a method's classifier, which is no part of the encoder.
    shapes = {tap: shape for tap, shape in card["taps"].items() if tap in taps or tap != "logits"}
    wrong = _first_fault(needed, saved) or _first_other_tap(shapes, taps)
    if wrong:
        raise contracts.UserError(
            f"the export in {where} is not of the encoder that its card describes: {wrong}; "
            "export or copy it again"
        )
    return net, shapes


def _trace(net: pure.Net, image_shape: Sequence[int]) -> tuple[Any, dict[str, list[int]]]:
    """The shapes of (params, stats), and those of one image's features at the taps."""
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    weights = jax.eval_shape(net.init, jax.random.key(0), images)
    taps, _ = jax.eval_shape(functools.partial(net.apply, train=False), *weights, images)
    arrays = {name: tap for name, tap in taps.items() if isinstance(tap, jax.ShapeDtypeStruct)}
    return weights, {name: list(tap.shape[1:]) for name, tap in arrays.items()}


def _first_fault(needed: Mapping[str, Any], saved: Mapping[str, np.ndarray]) -> str | None:
    for name in [*needed, *saved]:
        if name not in saved or name not in needed:
            return f"the array {name} is {'missing' if name in needed else 'no part of it'}"
        kinds = tree_leaves.kind(needed[name]), tree_leaves.kind(saved[name])
        if needed[name].shape != saved[name].shape or kinds[0] != kinds[1]:
            each = (f"{leaf.dtype}{list(leaf.shape)}" for leaf in (saved[name], needed[name]))
            return f"the array {name} is {' and not '.join(each)}"
        if not np.isfinite(saved[name]).all():
            return f"the array {name} has numbers that are not finite"
    return None


def _first_other_tap(there: Mapping[str, list[int]], here: Mapping[str, list[int]]) -> str | None:
    for name, shape in there.items():
        if shape != here.get(name):
            return f"the tap {name} has the shape {shape} there and {here.get(name)} here"
    return None
