"""The features of a data set's splits by an encoder, at once, with checks and progress."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import Dataset, Split, colours
from dim_jax.encoder import inputs, progress
from dim_jax.encoder.loading import Encoder
from dim_jax.evaluate import features
from dim_jax.evaluate.encoders import file_splits, functions, stored
from dim_jax.evaluate.encoders.functions import Function


class Opened(NamedTuple):
    """An encoder of some images, of which the shapes are known and no features are computed yet.

    encode() -> the representation of all features.
    """

    shapes: stored.Shapes
    encode: Callable[[], stored.Stored]


def open_images(
    encoder: Function | Encoder, loaded: Dataset, batch: int | None, log: Callable[[str], None]
) -> Opened:
    """A function or an exported encoder of the images of a data set.

    Args:
      batch: images that are encoded together, of which the last are filled up; None as
        `features.extract`.

    Raises:
      UserError: images that do not fit, or outputs that are no features.
    """
    if isinstance(encoder, Function):
        size = batch or functions.BATCH
        batches = (_first(loaded.splits[role], size) for role in ("test", "train"))
        functions.check_independence(encoder, *batches)
        return Opened(encoder.shapes, lambda: _encoded(encoder, encoder.shapes, loaded, size, log))
    grey = inputs.is_made_grey(encoder.card, loaded.facts)
    shapes = {tap: tuple(shape) for tap, shape in encoder.card["taps"].items()}

    def encode(images):
        return encoder.encode(colours.as_grey(images) if grey else images)

    return Opened(shapes, lambda: _encoded(encode, shapes, loaded, batch, log))


def open_files(
    files: tuple[file_splits.FeatureFile, ...], parts: file_splits.Parts, loaded: Dataset
) -> Opened:
    """The features of files that belong to the images of a data set.

    Raises:
      UserError: features of different shapes.
    """
    rows = file_splits.of_parts(files, parts)
    shapes = {functions.TAP: rows["train"].shape[1:]}

    def encode() -> stored.Stored:
        kept = stored.Stored(shapes)
        for role, split in loaded.splits.items():
            kept.keep(split, {functions.TAP: rows[role]})
        return kept

    return Opened(shapes, encode)


def _encoded(represent, shapes: stored.Shapes, loaded: Dataset, batch: int | None, log):
    total = sum(len(split.images) for split in loaded.splits.values())
    kept, done, began = stored.Stored(shapes), 0, time.perf_counter()
    with progress.shown(progress.Meter(), total) as show:

        def counted(images):
            nonlocal done
            taps = represent(images)
            done += len(images)
            show(min(done, total))
            return taps

        counted.shapes = shapes
        for split in loaded.splits.values():
            kept.keep(split, features.extract(contracts.Frozen(counted), split, shapes, batch))
    seconds = time.perf_counter() - began
    log(f"encoded {total:,} images in {seconds:.1f} s, {total / seconds:,.0f} per second")
    return kept


def _first(split: Split, size: int) -> np.ndarray:
    """The first images of a split, repeated if there are fewer."""
    images = np.asarray(split.images[:size])
    return np.concatenate([images] * math.ceil(size / len(images)))[:size]
