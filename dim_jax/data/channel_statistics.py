"""Statistics of the channels of the training images, for the scaling of pixels."""

from typing import NamedTuple

import numpy as np

from dim_jax import contracts
from dim_jax.data import dataset, fingerprint
from dim_jax.data.pixel_range import PixelRange

QUANTILES = (0.01, 0.99)
_VALUES = 2**28  # pixel values of the images that are measured
_FEWEST = 1_000  # images that are measured, if there are as many
_PER_PART = 2**24  # values in memory at a time


class _Moments(NamedTuple):
    """Over all pixels, per channel: mean and std f64[c]; the ends and `QUANTILES`, f64[2,c]."""

    mean: np.ndarray
    std: np.ndarray
    ends: np.ndarray
    quantiles: np.ndarray


def measure(data: dataset.Dataset, kind: str) -> dataset.Dataset:
    """The data set with the pixel range and the statistics that a scaling needs.

    The range of u8 is 0 to 255, unless by quantiles; that of other types is the least and the
    largest value of each channel. Of many images some, evenly spaced, are measured; they are the
    same ones on every road.

    Args:
      kind: a value of `data.scaling`. "quantiles": the range is that of the quantiles 0.01 and
        0.99, and values beyond are clipped; of a channel whose quantiles are equal, as of one that
        is mostly 0, it is that of the least and the largest value.

    Raises:
      UserError: a channel whose values are too far apart; an image that cannot be read.
    """
    known = data.facts
    is_u8 = np.dtype(known.dtype) == np.uint8
    with_statistics = kind == "standardized" and (known.mean is None or not is_u8)
    if is_u8 and kind != "quantiles" and not with_statistics:
        return data
    images = data.splits["train"].images
    rows = _measured(images)
    moments = _moments(images, rows)
    pixel_range = display = None
    if not is_u8 or kind == "quantiles":
        sparse = moments.quantiles[0] == moments.quantiles[1]
        inner = np.where(sparse, moments.ends, moments.quantiles)
        display = _range(known.name, inner, clip=True)
        pixel_range = display
        if kind != "quantiles":
            pixel_range = _range(known.name, moments.ends, clip=False)
    notes = data.notes + (() if pixel_range is None else (_describe(known.dtype, pixel_range),))
    if len(rows) < len(images):
        notes += (
            f"The scaling of the channels is that of {len(rows):,} of the {len(images):,} training "
            "images, evenly spaced.",
        )
    flat = moments.std == 0
    if flat.any():
        notes += (f"{_channels(flat, 'has', 'have')} one value in all training images.",)
    if kind == "quantiles" and np.any(sparse & ~flat):
        notes += (
            f"{_channels(sparse & ~flat, 'has', 'have')} equal quantiles 0.01 and 0.99: the ends "
            "are the least and the largest value.",
        )
    mean, std = known.mean, known.std
    if with_statistics:
        mean, std = _of_unit(moments, pixel_range)
    splits = {
        role: split._replace(pixel_range=pixel_range, display=display)
        for role, split in data.splits.items()
    }
    known = known._replace(mean=mean, std=std, pixel_range=pixel_range)
    identity = data.fingerprint
    if identity is not None:
        scaling = {} if pixel_range is None else dict(low=pixel_range.low, high=pixel_range.high)
        scaling |= dict(mean=mean, std=std) if with_statistics else {}
        identity = fingerprint.with_scaling(identity, scaling)
    return data._replace(facts=known, splits=splits, notes=notes, fingerprint=identity)


def _describe(dtype: str, pixel_range: PixelRange) -> str:
    ends = [f"{low:,.6g} to {high:,.6g}" for low, high in zip(*pixel_range[:2], strict=True)]
    source = "quantiles 0.01 and 0.99" if pixel_range.clip else "least and largest values"
    channels = "" if len(ends) == 1 else "per channel "
    return (
        f"Pixels are {dtype}; the {source} of the training images are the ends of their range: "
        f"{channels}{contracts.abridged(ends, 5)}."
    )


def _channels(chosen: np.ndarray, one: str, several: str) -> str:
    """The beginning of a sentence about the chosen channels, bool[c], with its verb."""
    numbers = [str(number + 1) for number in np.flatnonzero(chosen)]
    plural, verb = ("s", several) if len(numbers) > 1 else ("", one)
    return f"Channel{plural} {', '.join(numbers)} of {len(chosen)} {verb}"


def _measured(images) -> np.ndarray:
    """The positions of the images that are measured."""
    most = max(_FEWEST, _VALUES // max(1, int(np.prod(images.shape[1:]))))
    return np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).astype(int))


def _range(name: str, ends: np.ndarray, *, clip: bool) -> PixelRange:
    """The range of these ends, and from one value to the next integer or the next f32.

    Raises:
      UserError: ends whose distance is no f32.
    """
    low, high = ends.astype(np.float32)
    with np.errstate(over="ignore"):
        above = np.maximum(low + 1, np.nextafter(low, np.float32(np.inf)))
        high = np.where(high > low, high, above)
        wide = np.flatnonzero(~np.isfinite(high - low))
    if len(wide):
        first = wide[0]
        raise contracts.UserError(
            f"channel {first + 1} of the training images of {name} has values from "
            f"{low[first]:.6g} to {ends[1][first]:.6g}, which is more than a float32 holds: divide "
            "the images by a number, or replace values that stand for missing ones"
        )
    return PixelRange(_numbers(low), _numbers(high), clip)


def _moments(images, rows: np.ndarray) -> _Moments:
    channels = images.shape[-1]
    size = max(1, _PER_PART // max(1, int(np.prod(images.shape[1:]))))
    total, count = np.zeros(channels), 0
    squares, shift = np.zeros(channels), None
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    kept = []
    for start in range(0, len(rows), size):
        values = images[rows[start : start + size]].reshape(-1, channels).astype(np.float64)
        shift = values.mean(axis=0) if shift is None else shift  # else large offsets would cancel
        total += (values - shift).sum(axis=0)
        squares += ((values - shift) ** 2).sum(axis=0)
        count += len(values)
        low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        step = -(-len(rows) // size)  # as many pixels in memory as of one part
        kept.append(values[start % step :: step].astype(np.float32))
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    quantiles = np.quantile(np.concatenate(kept), QUANTILES, axis=0)
    return _Moments(mean + shift, std, np.stack([low, high]), quantiles)


def _of_unit(moments: _Moments, pixel_range: PixelRange | None):
    """Mean and standard deviation of pixels in [0, 1]; 1 for a channel that has one value."""
    low, high = (0.0, 255.0) if pixel_range is None else map(np.array, pixel_range[:2])
    std = np.where(moments.std > 0, moments.std, high - low)
    return _numbers((moments.mean - low) / (high - low)), _numbers(std / (high - low))


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)
