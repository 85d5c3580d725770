"""Generators of finished runs as functions: `load_generator(run).decode(codes)`."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import build, contracts, settings
from dim_jax.encoder import network
from dim_jax.rundir import checkpoint, encoder_card, exported_encoder, paths, tree_leaves, workdir


@dataclasses.dataclass(frozen=True)
class Generator:
    """The generator or decoder of a run at its last step, in evaluation mode.

    draw(rng, count) -> codes f32[n,d] of the method's prior.
    decode(codes f[n,d]) -> images f32[n,h,w,c]: a pure function, normalisation undone; works inside
        jit and grad. Pixels are in [0, 1]; of a run with a "pixel_range" in its card, they have the
        unit of the images that it was trained on. One image does not depend on the other codes.
    card: that of the run's encoder, see `dim_jax.encoder.Encoder`.
    step: of the checkpoint that the weights are from.
    """

    draw: Callable[[jax.Array, int], jax.Array]
    decode: Callable[[jax.Array], jax.Array]
    card: dict[str, Any]
    step: int


def load_generator(run: str | os.PathLike) -> Generator:
    """The generator of a finished run, from its newest checkpoint that is readable.

    Args:
      run: the folder of a run of a method with a prior and a generator or decoder, such as gan,
        implicit_generator, bigan, vae or aae.

    Raises: contracts.UserError when the run has none, when it is not finished, or is damaged.
    """
    folder = workdir.Workdir(paths.expand(run, "the run"))
    config = _read(folder)
    method = build.make("method", config.method)
    generative = method.generative
    if generative is None or generative.draw is None:
        raise contracts.UserError(
            f"{folder.path} is a run of a method that makes no images of codes of a prior; give "
            "one of a method with a generator, such as gan or vae"
        )
    card = exported_encoder.read(folder.encoder)[2]
    encoder_card.check(card, folder.encoder / exported_encoder.CARD)
    views = np.zeros((config.augment.views, 2, *card["image_shape"]), np.float32)
    batch = contracts.Batch(
        images=views, labels=np.zeros(2, np.int32), index=np.arange(2, dtype=np.int32)
    )
    needed = jax.eval_shape(lambda rng: method.init(rng, batch), jax.random.key(0))
    y = jax.eval_shape(method.represent, *needed, views[0])["y"]
    step, (params, state) = _weights(folder, dataclasses.asdict(config), needed)

    @jax.jit
    def images(params, state, codes):
        return _pixels(generative.decode(params, state, codes), card)

    width = generative.width or y.shape[-1]

    def decode(codes: jax.Array) -> jax.Array:
        if np.ndim(codes) != 2 or np.shape(codes)[1] != width:
            raise contracts.UserError(
                f"codes are {list(np.shape(codes))} and this generator takes [n, {width}], such as "
                "draw(rng, n) returns"
            )
        return images(params, state, jnp.asarray(codes, jnp.float32))

    def draw(rng: jax.Array, count: int) -> jax.Array:
        return generative.draw(rng, (count, width))

    return Generator(draw, decode, card, step)


def _read(folder: workdir.Workdir) -> settings.Config:
    try:
        config = json.loads(folder.config.read_text())
    except (OSError, ValueError):  # absent or damaged
        config = None
    if not isinstance(config, dict):
        raise contracts.UserError(
            f"{folder.path} has no readable config.json; give the folder of a finished run"
        )
    return settings.Config.of(config)


def _weights(
    folder: workdir.Workdir, config: Mapping[str, Any], needed: contracts.Tree
) -> tuple[int, contracts.Tree]:
    """The step of the newest readable checkpoint, and its (params, state)."""
    checkpoints = checkpoint.Checkpoints(folder.checkpoints, config=config)
    checkpoints.check()
    newest = checkpoints.read(("params", "state"))
    if newest is None:
        raise contracts.UserError(
            f"{folder.path} has no readable checkpoint; copy the run again, with its checkpoints"
        )
    step, leaves = newest
    names = tree_leaves.named_leaves(dict(zip(("params", "state"), needed, strict=True)))
    saved = {name: leaf for name, leaf in leaves.items() if name.partition("/")[2]}
    signatures = {name: tree_leaves.signature(leaf) for name, leaf in saved.items()}
    if difference := tree_leaves.difference(signatures, names):
        raise contracts.UserError(
            f"checkpoint {step} of {folder.path} is not of its config: {difference}; copy the run "
            "again"
        )
    values = [jnp.asarray(saved[name]) for name in names]
    return step, jax.tree.unflatten(jax.tree.structure(needed), values)


def _pixels(images: jax.Array, card: Mapping[str, Any]) -> jax.Array:
    """Normalised images as pixels: the inverse of `data.normalise`."""
    ends = network.pixel_range(card)
    unit = images * np.asarray(card["std"], np.float32) + np.asarray(card["mean"], np.float32)
    if ends is None or ends.clip:
        unit = jnp.clip(unit, 0.0, 1.0)
    if ends is None:
        return unit
    low, high = (np.asarray(each, np.float32) for each in ends[:2])
    return low + unit * (high - low)
