"""How much room there is for decoded images: the rule by which `data.road` "auto" decides."""

import os

import jax

SHARE = 0.25  # of the memory; the rest is for parameters, activations and features


def limit() -> int:
    """The bytes that decoded images may take: a share of the device's memory and of the host's."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    device = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", host)
    return int(SHARE * min(host, device))


def fits(needed: int) -> bool:
    """Whether so many bytes of decoded images may lie in memory."""
    return needed <= limit()


def size(count: int) -> str:
    """Bytes in words, such as "1.4 GiB"."""
    units = ("KiB", "MiB", "GiB", "TiB")
    power = min(max((max(count, 1).bit_length() - 1) // 10, 1), len(units))
    return f"{count / 2 ** (10 * power):.1f} {units[power - 1]}"


def described() -> str:
    """The limit as a phrase."""
    return f"{size(limit())}, a quarter of the memory, are for decoded images"
