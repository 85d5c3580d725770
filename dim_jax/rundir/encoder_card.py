"""The keys of an exported encoder's card that are read again, and the values that they may have."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dim_jax import contracts


def check(card: Mapping[str, Any], file: Path) -> None:
    """Raises contracts.UserError for a key that is missing, or a value that cannot be used.

    "resize", "crop" and "bits" are missing in cards of version 0.1.0. Other keys are for readers.
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
    resize, crop = card.get("resize"), card.get("crop")
    if crop is not None and (sides != [crop, crop] or (resize or crop) < crop):
        _refuse(file, "crop", crop, f"the side of images of {sides} out of {resize}")
    if crop is None and resize is not None and sides != [resize, resize]:
        _refuse(file, "resize", resize, f"the side of images of {sides}")


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
    "resize": _SIDE,
    "crop": _SIDE,
    "bits": (
        lambda value: value is None or (_is_count(value) and 8 <= value <= 16),
        "a number of bits from 8 to 16 or null",
    ),
}
_OPTIONAL = ("resize", "crop", "bits")
