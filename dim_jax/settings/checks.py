"""Checks that settings share."""

import math
from collections.abc import Mapping
from typing import Any

from dim_jax.settings.definition import Check

_LARGEST = 2**31 - 1  # of int32
LARGEST_SIDE = 2**14  # pixels; one image of this size is 805 MB


def is_integer(value: Any) -> bool:
    """Whether the value is a whole number, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether the value is a real number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_numbers(values: Any, count: int) -> bool:
    """Whether the value is a sequence of `count` numbers."""
    return isinstance(values, tuple | list) and len(values) == count and all(map(is_number, values))


def is_range(pair: Any, most: float = math.inf) -> bool:
    """Whether the value is the least and the largest of a range in (0, most]."""
    return are_numbers(pair, 2) and 0 < pair[0] <= pair[1] <= most and pair[1] < math.inf


def at_least(least: int, most: int = _LARGEST) -> Check:
    """An integer of at least `least` and at most `most`."""
    return Check(
        lambda value: is_integer(value) and least <= value <= most,
        f"set it to {least} or a larger integer",
        most=most,
    )


def one_of(*names: str) -> Check:
    """One of these texts."""
    return Check(lambda value: value in names, f"set it to {' or '.join(map(repr, names))}", names)


BOOLEAN = Check(lambda value: isinstance(value, bool), "set it to True or False")
TEXT = Check(lambda value: isinstance(value, str), "set it to a string")
POSITIVE = Check(lambda value: is_number(value) and 0 < value < math.inf, "set it to more than 0")
FRACTION = Check(
    lambda value: is_number(value) and 0 < value < 1, "set it to more than 0 and less than 1"
)
PORTION = Check(
    lambda value: is_number(value) and 0 < value <= 1, "set it to more than 0 and at most 1"
)
SHARE = Check(
    lambda value: is_number(value) and 0 <= value <= 1,
    "set it to the share of the images to change, from 0 to 1",
)
RANGE = Check(is_range, "set it to the least and the largest value, both more than 0")
RANGE_OF_SHARES = Check(
    lambda pair: is_range(pair, 1.0),
    "set it to the least and the largest value, both more than 0 and at most 1",
)
BLOCK = Check(lambda value: isinstance(value, Mapping), "set it to a block of keys")
