"""Frozen features of all images of a split, and a cache of them."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.nets import products

Features = dict[str, np.ndarray]
_DRAWN = 512  # images at a time


class Images:
    """The images of a split as a key: equal to themselves alone, and alive as long as the key."""

    def __init__(self, split: dataset.Split):
        self.images = split.images

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Images) and self.images is other.images

    def __hash__(self) -> int:
        return id(self.images)


class FeatureCache:
    """A representation that stores the features that `extract` computes of it.

    It has the fields of the `contracts.Frozen` that it wraps and stands in its place. It is
    mutable and grows: make one for each representation, and drop it to free the memory.

    Args:
      frozen: the representation.
      requests: the taps that will be asked for of a split, and of how many `views`; a split may be
        named several times. All its taps of that many views are computed together, the first time
        that one of them is asked for.
      name: of the representation, for messages.
    """

    def __init__(
        self,
        frozen: contracts.Frozen,
        requests: Iterable[tuple[dataset.Split, Iterable[str], int | None]] = (),
        name: str = "",
    ):
        self.frozen = frozen
        self.name = name
        self._requested: dict[tuple[Images, int | None], dict[str, None]] = {}  # ordered sets
        self._features: dict[tuple[Images, int | None, bytes | None], Features] = {}
        for split, taps, views in requests:
            requested = self._requested.setdefault((Images(split), views), {})
            requested.update(dict.fromkeys(taps))

    def __getattr__(self, field: str) -> Any:
        if field not in contracts.Frozen._fields:
            raise AttributeError(f"a FeatureCache has no attribute '{field}'")
        return getattr(self.frozen, field)

    def features(
        self,
        split: dataset.Split,
        taps: tuple[str, ...],
        batch: int,
        views: int | None,
        rng: jax.Array | None,
    ) -> Features:
        """As `extract`; the arrays are those of the cache, not copies."""
        draws = None if views is None else np.asarray(jax.random.key_data(rng)).tobytes()
        stored = self._features.setdefault((Images(split), views, draws), {})
        requested = self._requested.get((Images(split), views), {})
        missing = [tap for tap in dict.fromkeys((*taps, *requested)) if tap not in stored]
        if any(tap in missing for tap in taps):
            stored.update(_encode(self.frozen, split, missing, batch, views, rng, self.name))
        return {tap: stored[tap] for tap in taps}


def without_cache(frozen: contracts.Frozen | FeatureCache) -> contracts.Frozen:
    """The representation itself, of which no features are stored."""
    return frozen.frozen if isinstance(frozen, FeatureCache) else frozen


def shapes(
    frozen: contracts.Frozen, split: dataset.Split, views: int | None = None
) -> dict[str, tuple[int, ...]]:
    """{tap: shape of one example's features}, without computing any; `views` as of `extract`."""
    known = getattr(frozen.represent, "shapes", None)
    if known is not None:
        return known
    drawn = split if views is None else dataset.uncut(split)
    images = jax.ShapeDtypeStruct((2, *drawn.images.shape[1:]), drawn.images.dtype)
    encode = _encoder(frozen, views, jax.random.key(0))
    return {name: tap.shape[1:] for name, tap in jax.eval_shape(encode, images, 0).items()}


def extract(
    frozen: contracts.Frozen | FeatureCache,
    split: dataset.Split,
    taps: Iterable[str],
    batch: int | None = None,
    *,
    views: int | None = None,
    rng: jax.Array | None = None,
) -> Features:
    """The features {tap: f32[n,d]} of a split, maps flattened, one row for every image, in order.

    Args:
      batch: images encoded at a time; the last, smaller batch is padded and the padding dropped.
        None: 512, or on a CPU 128, whose maps stay in its caches; the draws of views follow from
        the batches, so that these are of 512.
      views: None = of the images as they are; k = the mean of the features of k copies of each
        image, changed at random as in training, by `rng`; crops are cut from the same images.

    Raises:
      UserError: a tap that the representation does not have; views of one that has none; features
        that are not finite.
    """
    taps = tuple(taps)
    if views is not None:
        check_views(views)
        _check_prepares(frozen, views)
    if batch is None:
        batch = 128 if views is None and jax.default_backend() == "cpu" else 512
    if isinstance(frozen, FeatureCache):
        return frozen.features(split, taps, batch, views, rng)
    return _encode(frozen, split, taps, batch, views, rng)


def check_views(views: int) -> None:
    """Raises UserError unless `views` is a number of copies to average over."""
    if not isinstance(views, int) or views < 1:
        raise contracts.UserError(
            f"views is {views!r}: set it to the number of copies of each image whose features are "
            "averaged, or to None"
        )


def _check_prepares(frozen: contracts.Frozen, views: int) -> None:
    if frozen.prepare is None:
        raise contracts.UserError(
            f"views is {views} and this representation was not trained on changed images; leave "
            "it out of the evaluation's representations, or set views to None"
        )


def drawn_codes(frozen: contracts.Frozen, split: dataset.Split, rng: jax.Array) -> np.ndarray:
    """One code f[n,d] for each image of a split, drawn from its posterior.

    Raises:
      UserError: the method has no posterior to draw from; codes that are not finite.
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
        _check_finite(codes[-1], "drawn codes", split, start)
    return np.concatenate(codes)


def _encode(
    frozen,
    split: dataset.Split,
    taps: Iterable[str],
    batch: int,
    views: int | None,
    rng,
    name: str = "",
) -> Features:
    encode, sizes = _encoder(frozen, views, rng, tuple(taps)), shapes(frozen, split, views)
    for tap in taps:
        if tap not in sizes:
            raise contracts.unknown("tap", tap, sizes)
    if (stored := getattr(frozen.represent, "stored", None)) is not None:
        return stored(split, taps)
    split, count = split if views is None else dataset.uncut(split), len(split.images)
    features = {tap: np.empty((count, math.prod(sizes[tap])), np.float32) for tap in taps}

    def store(start: int, size: int, encoded) -> None:
        for tap, rows in features.items():
            rows[start : start + size] = np.asarray(encoded[tap]).reshape(batch, -1)[:size]
            what = f"features '{tap}' of the representation" + (f" '{name}'" if name else "")
            _check_finite(rows[start : start + size], what, split, start)

    ahead = None  # a batch is stored while the device encodes the next one
    with products.forward_only(True):
        for start, images in zip(range(0, count, batch), _parts(split, batch), strict=True):
            size = len(images)
            if size < batch:
                images = np.concatenate([images, np.repeat(images[:1], batch - size, axis=0)])
            encoded = start, size, encode(images, start)
            if ahead is not None:
                store(*ahead)
            ahead = encoded
        if ahead is not None:
            store(*ahead)
    return features


def _check_finite(rows: np.ndarray, what: str, split: dataset.Split, start: int) -> None:
    """Classifiers of such numbers would be at chance, as if the representation were poor."""
    finite = np.isfinite(rows)
    if not finite.all():
        index = start + int(np.argmin(finite.all(axis=1)))
        file = f" ({split.names[index]})" if split.names else ""
        raise contracts.UserError(
            f"the {what} are not finite, first those of image {index}{file} of {len(split.images)}:"
            " weights or batch statistics are too large or damaged; train again with a lower "
            "learning rate"
        )


def _encoder(
    frozen: contracts.Frozen,
    views: int | None,
    rng: jax.Array | None,
    taps: tuple[str, ...] | None = None,
) -> Callable[..., contracts.Taps]:
    """(images u8[n,h,w,c], start) -> their taps, or the means of the taps of `views` views of them.

    Of views the given taps only, so that no others are computed; None = all.

    One view after the other, so that the memory is that of one; the sum is in float64 and has the
    mean of equal features exact.
    """
    if views is None:
        return lambda images, _: frozen.represent(images)
    view = _view(frozen.method.represent, frozen.prepare, taps)

    def encode(images, start):
        key = jax.random.fold_in(rng, start)
        keys = (jax.random.fold_in(key, number) for number in range(views))
        if isinstance(images, jax.core.Tracer):
            return view(frozen.params, frozen.state, images, next(keys))
        sums = {}
        for each in keys:
            for tap, rows in view(frozen.params, frozen.state, images, each).items():
                sums[tap] = sums.get(tap, 0.0) + np.asarray(rows, np.float64)
        return {tap: (total / views).astype(np.float32) for tap, total in sums.items()}

    return encode


@functools.lru_cache(maxsize=8)  # one function for equal ones, so that it is compiled once
def _view(represent, prepare, taps):
    @jax.jit
    def view(params, state, images, key):
        # Of a method that trains on several views of an image, the first.
        encoded = represent(params, state, prepare(jnp.asarray(images), key)[0])
        return encoded if taps is None else {tap: encoded[tap] for tap in taps}

    return view


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
