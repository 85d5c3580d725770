"""Trained encoders for other projects: `load_encoder(run).encode(images) -> {tap: features}`.

    python -m dim_jax.encoder --run runs/dim_cifar10 --folder ~/pictures --out features.npz

writes the features of a folder of images to a file. Neither needs the training command, its flags
or the devices that it ran on.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import build, contracts, data
from dim_jax.rundir import exported_encoder, writing

FORMAT = 1
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An exported network in evaluation mode.

    encode(images) -> {"conv": .., "fc": .., "y": ..}: f32[n,...], a pure function of images
        u8[n,h,w,c] or floats in [0,1], normalisation included; works inside jit and grad.
        One image's features do not depend on the other images. UserError for other images.
    card: its inputs, outputs and origin: "image_shape" (h, w, c), "taps" {name: shape of one
        image's features}, "encoder", "mean", "std", "data", "config", "steps", "commit",
        "versions".
    params, stats: the network's weights and batch statistics.
    """

    encode: Callable[[jax.Array], contracts.Taps]
    card: dict[str, Any]
    params: contracts.Tree
    stats: contracts.Tree


def load_encoder(run: str | os.PathLike) -> Encoder:
    """The encoder of a run folder (its `encoder/`) or of the folder of an exported encoder.

    Raises: contracts.UserError when there is none, when it is damaged or of another format.
    """
    folder = Path(run).expanduser()
    if (folder / "encoder").is_dir():
        folder = folder / "encoder"
    params, stats, card = exported_encoder.read(folder)
    if card.get("format") != FORMAT:
        raise contracts.UserError(
            f"{folder} holds an encoder of format {card.get('format')} and this version of dim_jax "
            f"reads format {FORMAT}; install the version that wrote it"
        )
    net = build.make("encoder", card["encoder"])
    params, stats = jax.tree.map(jnp.asarray, (params, stats))

    @jax.jit
    def taps(params, stats, pixels):
        normalised = data.normalise(pixels, card["mean"], card["std"])
        outputs, _ = net.apply(params, stats, normalised, train=False)
        return {name: outputs[name] for name in card["taps"]}

    def encode(images: jax.Array) -> contracts.Taps:
        return taps(params, stats, _pixels(images, tuple(card["image_shape"])))

    return Encoder(encode, card, params, stats)


def embed(encoder: Encoder, images: np.ndarray, tap: str = "y", batch: int = 256) -> np.ndarray:
    """The features f32[n,...] of images u8[n,h,w,c] at one tap, `batch` images at a time.

    Raises: contracts.UserError for an unknown tap or images that do not fit.
    """
    if tap not in encoder.card["taps"]:
        raise contracts.unknown("tap", tap, encoder.card["taps"])
    images = np.asarray(images)
    batch = max(1, min(batch, len(images)))
    features = np.empty((len(images), *encoder.card["taps"][tap]), np.float32)
    for start in range(0, len(images), batch):
        chunk = images[start : start + batch]
        # The last chunk is padded, so that the function compiles once.
        padding = np.zeros((batch - len(chunk), *chunk.shape[1:]), chunk.dtype)
        taps = encoder.encode(np.concatenate([chunk, padding]))
        features[start : start + batch] = np.asarray(taps[tap])[: len(chunk)]
    return features


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code, 2 for a mistake that the message explains."""
    parser = argparse.ArgumentParser(
        prog="python -m dim_jax.encoder", description="Write the features of a folder of images."
    )
    parser.add_argument("--run", required=True, help="a run folder or an exported encoder")
    parser.add_argument("--folder", required=True, help="images, in class folders or not")
    parser.add_argument("--out", required=True, help="the npz file to write")
    parser.add_argument("--tap", default="y", help="which features: conv, fc or y (default)")
    options = parser.parse_args(arguments)
    try:
        embedded = _embed_folder(load_encoder(options.run), options.folder, options.tap)
        _write(Path(options.out).expanduser(), embedded)
    except contracts.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    features = embedded["features"]
    print(f"wrote {options.out}: {options.tap} of {len(features)} images, {features.shape[1:]}")
    return 0


def _pixels(images: Any, shape: tuple[int, ...]) -> Any:
    """The images, checked; values can only be checked outside of jit."""
    if not isinstance(images, jax.Array):
        images = np.asarray(images)
    size = ",".join(map(str, shape))
    if images.ndim != 4 or images.shape[1:] != shape:
        hint = "; add the batch axis with images[None]" if images.shape == shape else ""
        raise contracts.UserError(
            f"got images of shape {list(images.shape)}, this encoder needs [n,{size}]{hint}"
        )
    if images.dtype == np.uint8:
        return images
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise contracts.UserError(
            f"got images of type {images.dtype}, this encoder needs uint8 in 0..255 or floats in "
            "0..1; convert them with images.astype('uint8')"
        )
    if images.size and not isinstance(images, jax.core.Tracer):
        low, high = (float(limit(np.asarray(images))) for limit in (np.min, np.max))
        # Half a grey level of tolerance for the overshoot of a resize; NaN fails the comparison.
        if not (low >= -0.002 and high <= 1.002):
            raise contracts.UserError(
                f"got float images with values from {low:.4g} to {high:.4g}, this encoder needs "
                "0..1; divide by 255, or give uint8, and leave the normalisation to the encoder"
            )
    return images.astype(np.float32)


def _embed_folder(encoder: Encoder, folder: str, tap: str) -> dict[str, np.ndarray]:
    """Features, file names, and labels with class names where there are any, in name order."""
    height, _, channels = encoder.card["image_shape"]
    loaded = data.load(f"folder:{folder}", image_size=height)
    splits = loaded.splits.values()
    images, labels, names = (
        np.concatenate([getattr(split, field) for split in splits])
        for field in ("images", "labels", "names")
    )
    if channels == 1:
        images = np.rint(images @ _LUMA).astype(np.uint8)[..., None]
    order = np.argsort(names)
    embedded = {"features": embed(encoder, images, tap)[order], "names": names[order]}
    if loaded.facts.classes is not None:
        embedded |= {"labels": labels[order], "classes": np.array(loaded.facts.classes)}
    return embedded


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    def save(draft: Path) -> None:
        with draft.open("wb") as file:  # given a name, np.savez would append ".npz" to it
            np.savez(file, **arrays)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.replace_file(path, save)
    except OSError as error:
        raise contracts.UserError(
            f"cannot write {path} ({error.strerror}); give another --out"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
