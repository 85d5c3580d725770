"""The memory limit for decoded images, by which `data.road` "auto" decides."""

import math
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

SHARE = 0.25  # fraction of the memory; the rest is for parameters, activations and features


def of_host() -> int:
    """The bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def limit() -> int:
    """The maximum bytes of decoded images: a share of the smaller of device and host memory."""
    host = of_host()
    device = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", host)
    return int(SHARE * min(host, device))


def needed(shape: Sequence[int], dtype: Any) -> int:
    """The bytes of an array."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def fits(needed: int) -> bool:
    """Whether this number of bytes of decoded images may be in memory."""
    return needed <= limit()


def size(count: int) -> str:
    """A number of bytes as text, such as "1.4 GiB"."""
    units = ("KiB", "MiB", "GiB", "TiB")
    power = min(max((max(count, 1).bit_length() - 1) // 10, 1), len(units))
    return f"{count / 2 ** (10 * power):.1f} {units[power - 1]}"


def describe_limit() -> str:
    """The limit as a phrase."""
    return f"{size(limit())}, a quarter of the memory, are for decoded images"
