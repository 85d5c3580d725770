"""Exported encoders as functions: `load_encoder(run).encode(images)`."""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dim_jax import build, contracts
from dim_jax.encoder import network, raw_pixels
from dim_jax.nets import pure
from dim_jax.rundir import encoder_card, encoder_files, exported_encoder, paths

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An exported network in evaluation mode.

    encode(images, taps=None) -> {"conv": .., "fc": .., "y": ..}: f32[n,...], a pure function of
        images [n,h,w,c], normalisation included; works inside jit and grad. Images are uint8 or
        floats in [0, 1]; of an encoder with a "pixel_range", raw pixels with the unit of those
        that it was trained on, of any type. One image's features do not depend on the other
        images. Only the given taps are computed, None = all. UserError for other images or taps.
    card: its inputs, outputs and origin: "image_shape" (h, w, c), "dtype" of the images, "resize"
        and "crop" (evaluations of the run resized the shorter side to the first and took the
        centre of the second, None = neither), "pixel_range" {"low", "high", "clip"} (the raw
        values of each channel that become 0 and 1 before "mean" and "std" apply, None = 0 and
        255), "taps" {name: shape of one image's features}, "unreached" (the taps that the training
        did not reach), "trained_on" (the settings of the images of its trainings), "encoder",
        "mean", "std", "data", "config", "steps", "commit", "versions".
    params, stats: the network's weights and batch statistics.
    """

    encode: Callable[..., contracts.Taps]
    card: dict[str, Any]
    params: contracts.Tree
    stats: contracts.Tree


def load_encoder(run: str | os.PathLike) -> Encoder:
    """The encoder of a run folder (its `encoder/`), or an exported one.

    Args:
      run: a run folder, the folder of an exported encoder, or a file that
        `python -m dim_jax.encoder --export safetensors` or `--export npz` wrote.

    Raises: contracts.UserError when there is none, when it is damaged or of another format.
    """
    place = paths.expand(run, "the run")
    if (place / "encoder").is_dir():
        place = place / "encoder"
    params, stats, card = encoder_files.read(place)
    if card.get("format") != FORMAT:
        raise contracts.UserError(
            f"{place} holds an encoder of format {card.get('format')!r} and this version of "
            f"dim_jax reads format {FORMAT}; install the version that wrote it"
        )
    encoder_card.check(card, place if place.is_file() else place / exported_encoder.CARD)
    net, shapes = network.of_card(card, params, stats, place)
    card["taps"] = shapes
    return _of(net, card, *jax.tree.map(jnp.asarray, (params, stats)))


def untrained(encoder: Encoder, seed: int) -> Encoder:
    """The network of an encoder with random parameters, as before a training."""
    net = build.make("encoder", encoder.card["encoder"])
    images = jnp.zeros((1, *encoder.card["image_shape"]), jnp.float32)
    return _of(net, encoder.card, *jax.jit(net.init)(jax.random.key(seed), images))


def _of(net: pure.Net, card: dict[str, Any], params, stats) -> Encoder:
    """The encoder of a network and its weights."""

    @functools.partial(jax.jit, static_argnames="taps")
    def features(params, stats, pixels, taps):
        return network.outputs(net, card, params, stats, pixels, taps)

    def encode(images: jax.Array, taps: Sequence[str] | None = None) -> contracts.Taps:
        wanted = tuple(card["taps"] if taps is None else taps)
        check_taps(card, wanted)
        pixels = raw_pixels.checked(images, card)
        if not len(pixels):
            return {name: jnp.zeros((0, *card["taps"][name]), jnp.float32) for name in wanted}
        return features(params, stats, pixels, wanted)

    return Encoder(encode, card, params, stats)


def check_taps(card: dict[str, Any], taps: Sequence[str]) -> None:
    """Raises contracts.UserError for a tap that the encoder lacks."""
    for tap in taps:
        if tap not in card["taps"]:
            raise contracts.unknown("tap", tap, card["taps"])
