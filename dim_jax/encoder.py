"""Trained encoders for other projects: `load_encoder(run).encode(images) -> {tap: features}`.

    python -m dim_jax.encoder --run runs/dim_cifar10 --folder ~/pictures --out features.npz

writes the features of a folder of images to a file. Neither needs the training command, its flags
or the devices that it ran on.
"""

import argparse
import dataclasses
import functools
import os
import stat
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import build, contracts, data
from dim_jax.data import folder_layout
from dim_jax.nets import pure
from dim_jax.processes import backend, standard_streams
from dim_jax.rundir import encoder_card, exported_encoder, paths, tree_leaves, writing

FORMAT = 1
BATCH, AHEAD = 256, 2  # images that are encoded together, and batches decoded meanwhile
_PROGRESS_SECONDS = 10.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class Encoder:
    """An exported network in evaluation mode.

    encode(images) -> {"conv": .., "fc": .., "y": ..}: f32[n,...], a pure function of images
        u8[n,h,w,c] or floats in [0,1], normalisation included; works inside jit and grad.
        One image's features do not depend on the other images. UserError for other images.
    card: its inputs, outputs and origin: "image_shape" (h, w, c), "resize" and "crop" (evaluations
        of the run resized the shorter side to the first and took the centre of the second, None =
        neither), "taps" {name: shape of one image's features}, "encoder", "mean", "std", "data",
        "config", "steps", "commit", "versions".
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
    folder = paths.expand(run, "the run")
    if (folder / "encoder").is_dir():
        folder = folder / "encoder"
    params, stats, card = exported_encoder.read(folder)
    if card.get("format") != FORMAT:
        raise contracts.UserError(
            f"{folder} holds an encoder of format {card.get('format')!r} and this version of "
            f"dim_jax reads format {FORMAT}; install the version that wrote it"
        )
    encoder_card.check(card, folder / exported_encoder.CARD)
    net, shapes = _network(card, params, stats, folder)
    card["taps"] = shapes
    params, stats = jax.tree.map(jnp.asarray, (params, stats))

    @jax.jit
    def taps(params, stats, pixels):
        normalised = data.normalise(pixels, card["mean"], card["std"])
        outputs, _ = net.apply(params, stats, normalised, train=False)
        return {name: outputs[name] for name in card["taps"]}

    def encode(images: jax.Array) -> contracts.Taps:
        pixels = _pixels(images, tuple(card["image_shape"]))
        if not len(pixels):
            return {
                name: jnp.zeros((0, *shape), jnp.float32) for name, shape in card["taps"].items()
            }
        return taps(params, stats, pixels)

    return Encoder(encode, card, params, stats)


def tap_shapes(spec: Mapping[str, Any], image_shape: Sequence[int]) -> dict[str, list[int]]:
    """The shapes of one image's features at all taps of the encoder of a config's block."""
    return _trace(build.make("encoder", spec), image_shape)[1]


def _trace(net: pure.Net, image_shape: Sequence[int]) -> tuple[Any, dict[str, list[int]]]:
    """The shapes of (params, stats), and those of one image's features at the taps."""
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    weights = jax.eval_shape(net.init, jax.random.key(0), images)
    taps, _ = jax.eval_shape(functools.partial(net.apply, train=False), *weights, images)
    return weights, {name: list(tap.shape[1:]) for name, tap in taps.items()}


def _network(
    card: Mapping[str, Any], params: contracts.Tree, stats: contracts.Tree, folder: Path
) -> tuple[pure.Net, dict[str, list[int]]]:
    """The network of a card, and its taps with the shapes of their features.

    Raises:
      UserError: weights or taps are not those of the network.
    """
    try:
        net = build.make("encoder", card["encoder"])
        weights, taps = _trace(net, card["image_shape"])
    except Exception as error:  # of any kind, from the arguments of any network
        reason = str(error).strip().partition("\n")[0]
        raise contracts.UserError(
            f"{folder} describes an encoder that cannot be built ({reason}); export it again"
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
            f"the export in {folder} is not of the encoder that its card describes: {wrong}; "
            "export or copy it again"
        )
    return net, shapes


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


def embed(encoder: Encoder, images: np.ndarray, tap: str = "y", batch: int = 256) -> np.ndarray:
    """The features f32[n,...] of images u8[n,h,w,c] at one tap, `batch` images at a time.

    Raises: contracts.UserError for an unknown tap or images that do not fit.
    """
    _check_tap(encoder, tap)
    images = np.asarray(images)
    batch = max(1, min(batch, len(images)))
    parts = (images[start : start + batch] for start in range(0, len(images), batch))
    return _embed_parts(encoder, parts, len(images), tap, batch)


def _embed_parts(
    encoder: Encoder,
    parts: Iterable[np.ndarray],
    count: int,
    tap: str,
    batch: int,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """`embed` of `count` images that come in parts of `batch` images, the last one smaller."""
    features, done = np.empty((count, *encoder.card["taps"][tap]), np.float32), 0
    for part in parts:
        size = len(part)
        if size < batch:  # padded, so that the function compiles once
            part = np.pad(part, [(0, batch - size), (0, 0), (0, 0), (0, 0)])
        features[done : done + size] = np.asarray(encoder.encode(part)[tap])[:size]
        done += size
        progress(done)
    return features


class Meter:
    """The images per second of an embedding: printed while it takes long, and kept for its end."""

    def __init__(self, total: int):
        self._total = total
        self._ticks: list[tuple[int, float]] = []
        self._printed = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        self._ticks.append((done, now))
        if now > self._printed + _PROGRESS_SECONDS and (rate := self.rate()):
            print(f"{done:,} of {self._total:,} images, {rate:,.0f} per second", flush=True)
            self._printed = now

    def rate(self) -> float | None:
        """Without compiling, and without the images decoded meanwhile; None of too few images."""
        ticks = self._ticks[AHEAD + 1 :]
        if len(ticks) < 2:
            return None
        (first, began), (last, ended) = ticks[0], ticks[-1]
        return (last - first) / (ended - began)


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
    with standard_streams.guarded():
        return _embed_to_file(options)


def _embed_to_file(options: argparse.Namespace) -> int:
    try:
        out = _check_output(options.out)
        backend.start()
        encoder = load_encoder(options.run)
        embedded, rate = _embed_folder(encoder, options.folder, options.tap)
        _write(out, embedded)
    except contracts.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    features = embedded["features"]
    speed = f"; {rate:,.0f} images per second" if rate else ""
    print(
        f"wrote {options.out}: {options.tap} of {len(features)} images, {features.shape[1:]}{speed}"
    )
    return 0


def _check_tap(encoder: Encoder, tap: str) -> None:
    if tap not in encoder.card["taps"]:
        raise contracts.unknown("tap", tap, encoder.card["taps"])


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


def _embed_folder(
    encoder: Encoder, folder: str, tap: str
) -> tuple[dict[str, np.ndarray], float | None]:
    """Features, file names, and labels with class names where there are any, in name order.

    Returns:
      them, and the images per second after the start, None of a small folder.
    """
    _check_tap(encoder, tap)
    loaded = _load_folder(encoder.card, folder)
    for note in loaded.notes:
        print(note)
    split = loaded.splits["all"]
    count = len(split.images)
    batch, meter = min(BATCH, count), Meter(count)
    parts: Iterable[np.ndarray] = split.images.batches(batch, AHEAD)
    if encoder.card["image_shape"][-1] == 1:
        parts = (np.rint(part @ _LUMA).astype(np.uint8)[..., None] for part in parts)
    features = _embed_parts(encoder, parts, count, tap, batch, meter)
    embedded = {"features": features, "names": np.array(split.names)}
    if loaded.facts.classes is not None:
        embedded |= {"labels": split.labels, "classes": np.array(loaded.facts.classes)}
    return embedded, meter.rate()


def _load_folder(card: Mapping[str, Any], folder: str) -> data.Dataset:
    """The images of a folder as the evaluations of the encoder's run would read them."""
    path = paths.expand(folder, "--folder")
    if not path.is_dir():
        raise contracts.UserError(
            f"the folder {folder} does not exist; give --folder a folder of images"
        )
    # Cards of version 0.1.0 do not say how: the complete images are resized.
    resize = card.get("resize", card["image_shape"][0])
    try:
        images = data.load_all(path, image_size=resize, bits=card.get("bits"))
    except folder_layout.UnclearSplitsError as error:
        raise contracts.UserError(
            f"{error.held}, and it is not clear which are classes: give --folder one of them"
        ) from error
    return data.centre(images, card.get("crop"))


def _check_output(text: str) -> Path:
    """The file to write, which does not exist or is one that this command wrote; links followed."""
    path = Path(os.path.realpath(paths.expand(text, "--out")))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except OSError as error:
        raise _unwritable(path, error) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise contracts.UserError(f"{text} is {kind} and features are a file; give another --out")
    if path.stat().st_size and not _holds_features(path):
        raise contracts.UserError(
            f"{text} exists and holds no features that this command wrote; remove it, or give "
            "another --out"
        )
    return path


def _holds_features(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
    required = {"features.npy", "names.npy"}
    return required <= names <= required | {"labels.npy", "classes.npy"}


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    def save(draft: Path) -> None:
        with draft.open("wb") as file:  # given a name, np.savez would append ".npz" to it
            np.savez(file, **arrays)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing.replace_file(path, save)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> contracts.UserError:
    return contracts.UserError(f"cannot write {path} ({error.strerror}); give another --out")


if __name__ == "__main__":
    sys.exit(main())
