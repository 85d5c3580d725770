"""Reading of an array on disk in blocks of neighbours, and the error for one that is damaged."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from dim_jax import contracts


def read(
    shape: tuple[int, ...],
    dtype: np.dtype,
    rows: Sequence[int],
    chunk: int,
    block: Callable[[int, int], np.ndarray],
) -> np.ndarray:
    """The entries of an array at some positions, read in blocks `block(start, stop)`.

    A block holds neighbours, and entries of one chunk, which would be decoded for each of them.

    Args:
      shape, dtype: of the array. chunk: entries per chunk on disk.
    """
    rows = np.asarray(rows, np.int64)
    order = np.argsort(rows, kind="stable")
    steps, chunks = np.diff(rows[order]), np.diff(rows[order] // chunk)
    values = np.empty((len(rows), *shape[1:]), dtype)
    for places in np.split(order, np.flatnonzero((steps > 1) & (chunks > 0)) + 1):
        if len(places):
            first, last = rows[places[0]], rows[places[-1]]
            values[places] = block(int(first), int(last) + 1)[rows[places] - first]
    return values


def fail(where: str, error: Exception) -> NoReturn:
    """Raises a UserError for what a library or the system raised."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    raise contracts.UserError(
        f"{where} cannot be read ({reason or type(error).__name__}): restore it, or save it again"
    ) from error
