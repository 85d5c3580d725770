"""The keys of an exported encoder's card that are read again, and the values that they may have."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dim_jax import contracts


def check(card: Mapping[str, Any], file: Path) -> None:
    """Raises contracts.UserError for a key that is missing, or a value that cannot be used.

    Those in `_OPTIONAL` are missing in older cards. Other keys are for readers.
    """
    for key, (valid, needed) in _KEYS.items():
        if key not in card and key in _OPTIONAL:
            continue
        if key not in card:
            raise contracts.UserError(f"{file} has no {key!r}; {_ADVICE}")
        if not valid(card[key]):
            _refuse(file, key, card[key], needed)
    *sides, channels = card["image_shape"]
    for key in ("mean", "std"):
        if len(card[key]) != channels:
            _refuse(file, key, card[key], f"one number for each of {channels} channels")
    _check_range(card, channels, file)
    resize, crop = card.get("resize"), card.get("crop")
    if crop is not None and (sides != [crop, crop] or (resize or crop) < crop):
        _refuse(file, "crop", crop, f"the side of images of {sides} out of {resize}")
    if crop is None and resize is not None and sides != [resize, resize]:
        _refuse(file, "resize", resize, f"the side of images of {sides}")


def _check_range(card: Mapping[str, Any], channels: int, file: Path) -> None:
    ends, dtype = card.get("pixel_range"), card.get("dtype", "uint8")
    if ends is None:
        if dtype != "uint8":
            _refuse(file, "pixel_range", ends, f"the range of pixels of type {dtype}")
        return
    for key in ("low", "high"):
        if len(ends[key]) != channels:
            _refuse(
                file, "pixel_range", ends, f"one low and one high for each of {channels} channels"
            )
    if not all(low < high for low, high in zip(ends["low"], ends["high"], strict=True)):
        _refuse(file, "pixel_range", ends, "a range whose low is below its high")


def _refuse(file: Path, key: str, value: Any, needed: str) -> None:
    raise contracts.UserError(f"{file} has {key!r} {value!r}, which is not {needed}; {_ADVICE}")


_ADVICE = "export the encoder or copy it again"


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _are_numbers(value: Any) -> bool:
    kinds = isinstance(value, list) and all(type(each) in (int, float) for each in value)
    return kinds and all(map(math.isfinite, value))


def _is_range(value: Any) -> bool:
    if not isinstance(value, dict) or not {"low", "high", "clip"} <= value.keys():
        return False
    return _are_numbers(value["low"]) and _are_numbers(value["high"]) and value["clip"] in (0, 1)


def _names_data(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str)


_DTYPES = ("uint8", "uint16", "int16", "float16", "float32")
_FITS = ("resize", "crop", "pad")
_SIDE = (lambda value: value is None or _is_count(value), "a number of pixels or null")
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "encoder": (
        lambda value: isinstance(value, dict) and isinstance(value.get("name"), str),
        "a block with the name of an encoder",
    ),
    "image_shape": (
        lambda value: _is_shape(value) and len(value) == 3,
        "height, width and channels",
    ),
    "mean": (_are_numbers, "a list of finite numbers"),
    "std": (
        lambda value: _are_numbers(value) and min(value, default=1) > 0,
        "a list of positive numbers",
    ),
    "taps": (
        lambda value: (
            isinstance(value, dict) and value != {} and all(map(_is_shape, value.values()))
        ),
        "the shapes of outputs by their names",
    ),
    "unreached": (
        lambda value: isinstance(value, list) and all(type(each) is str for each in value),
        "a list of names of outputs",
    ),
    "resize": _SIDE,
    "crop": _SIDE,
    "bits": (
        lambda value: value is None or (_is_count(value) and 8 <= value <= 16),
        "a number of bits from 8 to 16 or null",
    ),
    "dtype": (lambda value: value in _DTYPES, f"one of {', '.join(_DTYPES)}"),
    "pixel_range": (
        lambda value: value is None or _is_range(value),
        'null, or lists of finite numbers "low" and "high" and a boolean "clip"',
    ),
    "fit": (lambda value: value in _FITS, f"one of {', '.join(_FITS)}"),
    "channels": (lambda value: value is None or _is_count(value), "a number of channels or null"),
    "trained_on": (
        lambda value: isinstance(value, list) and all(map(_names_data, value)),
        "a list of settings of data sets with their names",
    ),
}
_OPTIONAL = (
    *("unreached", "resize", "crop", "bits", "dtype", "pixel_range", "fit", "channels"),
    "trained_on",
)
