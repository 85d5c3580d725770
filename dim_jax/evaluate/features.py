"""Frozen features of a whole split, computed once."""

from collections.abc import Iterable, Iterator
from concurrent import futures
from typing import NamedTuple

import jax
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset

Features = dict[str, np.ndarray]
_DRAWN = 512  # images at a time


class _Kept(NamedTuple):
    """What is known of one split: itself, the taps wanted of it (an ordered set), its features.

    The split is kept beside its features, so its id cannot be given to another one.
    """

    split: dataset.Split
    wanted: dict[str, None]
    features: Features


class Remembering(contracts.Frozen):
    """A representation that keeps what `extract` computed, for the evaluations of one run."""


def remembering(
    frozen: contracts.Frozen, requests: Iterable[tuple[dataset.Split, Iterable[str]]]
) -> contracts.Frozen:
    """The same representation, whose images are encoded once for several evaluations.

    Args:
      requests: the taps that will be asked for of a split, which may be named several times; all
        of them are kept from the first time the split is encoded.
    """
    kept = Remembering(*frozen)
    kept.store = {}
    for split, taps in requests:
        _kept(kept, split).wanted.update(dict.fromkeys(taps))
    return kept


def shapes(frozen: contracts.Frozen, split: dataset.Split) -> dict[str, tuple[int, ...]]:
    """{tap: shape of one example's features}, without computing any."""
    images = jax.ShapeDtypeStruct((2, *split.images.shape[1:]), split.images.dtype)
    return {name: tap.shape[1:] for name, tap in jax.eval_shape(frozen.represent, images).items()}


def extract(
    frozen: contracts.Frozen, split: dataset.Split, taps: Iterable[str], batch: int = 512
) -> Features:
    """The features {tap: f32[n,d]} of a split, maps flattened, one row for every image, in order.

    Args:
      batch: images encoded at a time; the last, smaller batch is padded and the padding dropped.

    Raises:
      UserError: a tap that the representation does not have.
    """
    taps = tuple(taps)
    if not isinstance(frozen, Remembering):
        return _encode(frozen, split, taps, batch)
    _, wanted, kept = _kept(frozen, split)
    missing = [tap for tap in dict.fromkeys((*taps, *wanted)) if tap not in kept]
    if any(tap in missing for tap in taps):
        kept.update(_encode(frozen, split, missing, batch))
    return {tap: kept[tap] for tap in taps}


def drawn_codes(frozen: contracts.Frozen, split: dataset.Split, rng: jax.Array) -> np.ndarray:
    """One code f[n,d] for each image of a split, drawn from its posterior.

    Raises:
      UserError: the method has no posterior to draw from.
    """
    generative = frozen.method and frozen.method.generative
    if not (generative and generative.infer):
        raise contracts.UserError(
            "codes cannot be drawn of this representation, where an image has one code; set "
            "drawn=False"
        )
    infer = jax.jit(generative.infer)
    codes = []
    for start, images in zip(
        range(0, len(split.images), _DRAWN), _parts(split, _DRAWN), strict=True
    ):
        size = len(images)
        images = np.concatenate([images, np.repeat(images[:1], _DRAWN - size, axis=0)])
        key = jax.random.fold_in(rng, start)
        drawn = infer(frozen.params, frozen.state, key, frozen.normalise(images))
        codes.append(np.asarray(drawn)[:size])
    return np.concatenate(codes)


def _kept(frozen: Remembering, split: dataset.Split) -> _Kept:
    return frozen.store.setdefault(id(split.images), _Kept(split, {}, {}))


def _encode(frozen, split: dataset.Split, taps: Iterable[str], batch: int) -> Features:
    sizes = shapes(frozen, split)
    for tap in taps:
        if tap not in sizes:
            raise contracts.unknown("tap", tap, sizes)
    count = len(split.images)
    features = {tap: np.empty((count, int(np.prod(sizes[tap]))), np.float32) for tap in taps}
    for start, images in zip(range(0, count, batch), _parts(split, batch), strict=True):
        size = len(images)
        if size < batch:
            images = np.concatenate([images, np.repeat(images[:1], batch - size, axis=0)])
        encoded = frozen.represent(images)
        for tap, rows in features.items():
            rows[start : start + size] = np.asarray(encoded[tap]).reshape(batch, -1)[:size]
    return features


def _parts(split: dataset.Split, size: int) -> Iterator[np.ndarray]:
    """The images, `size` at a time; streamed ones are decoded while the former are encoded."""
    starts = range(0, len(split.images), size)
    if not dataset.is_streamed(split):
        yield from (split.images[start : start + size] for start in starts)
        return
    with futures.ThreadPoolExecutor(1) as reader:
        ahead = None
        for start in starts:
            part = reader.submit(split.images.__getitem__, slice(start, start + size))
            if ahead is not None:
                yield ahead.result()
            ahead = part
        if ahead is not None:
            yield ahead.result()
