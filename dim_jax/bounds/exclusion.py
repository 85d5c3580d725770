"""Pairs that count neither as positive nor as negative: checks, and numbers of those left.

They are i[n], the column of the one that each row has, or a mask b[n, m]; NumPy where the numbers
can be looked at when a bound is traced, else traced.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax.bounds.statistics import AxisName, Shape

Excluded = jax.Array | np.ndarray


def checked(shape: Shape, excluded: Any, axis_name: AxisName | None, concrete: bool) -> Excluded:
    """The pairs, as i[n] or b[n, m] of scores of a shape."""
    n, m = shape[:2]
    if concrete:
        excluded = np.asarray(excluded)
    is_mask = excluded.dtype == bool
    if not is_mask and not jnp.issubdtype(excluded.dtype, jnp.integer):
        raise TypeError(
            f"excluded are {excluded.dtype}{list(excluded.shape)}; they are a bool mask or the "
            "column of the pair that each row leaves out; convert with excluded.astype(bool)"
        )
    needed = (n, m) if is_mask else (n,)
    if excluded.shape != needed:
        raise ValueError(
            f"excluded have shape {excluded.shape} and scores {shape}; they are one bool per "
            "pair, without locations, or the column of the pair that each row leaves out; pass "
            f"shape {needed}"
        )
    if is_mask:
        return excluded
    if concrete and axis_name is None:
        _columns_exist(excluded, m)
    return excluded.astype(np.int32)


def mask_of(excluded: Excluded, columns: jax.Array) -> Excluded:
    """Whether each row leaves out the given columns i[c], b[n, c], of pairs i[n]."""
    return excluded[:, None] == columns[None]


def count_in_rows(excluded: Excluded, m: int) -> Excluded:
    """The number of pairs that each row leaves out, i[n]."""
    if excluded.ndim == 2:
        return excluded.sum(1)
    return ((excluded >= 0) & (excluded < m)).astype(np.int32)


def count_in_columns(excluded: Excluded, m: int) -> Excluded:
    """The number of pairs that each column leaves out, i[m]."""
    if excluded.ndim == 2:
        return excluded.sum(0)
    here = (excluded >= 0) & (excluded < m)
    if isinstance(excluded, np.ndarray):
        return np.bincount(excluded[here], minlength=m)
    return jnp.zeros(m, jnp.int32).at[jnp.where(here, excluded, m)].add(1, mode="drop")


def has_positive(excluded: Excluded, columns: Excluded, m: int) -> Excluded:
    """Whether each row leaves out the pair at its column i[n], b[n]; a column may be outside."""
    here = (columns >= 0) & (columns < m)
    if excluded.ndim == 1:
        return here & (excluded == columns)
    library = np if isinstance(columns, np.ndarray) else jnp
    at = library.where(here, columns, 0)[:, None]
    if isinstance(excluded, np.ndarray) and library is np:
        return here & np.take_along_axis(excluded, at, 1)[:, 0]
    return here & jnp.take_along_axis(jnp.asarray(excluded), jnp.asarray(at), 1)[:, 0]


def refuse_positives(wrong: np.ndarray, columns: np.ndarray) -> None:
    """Raises where `has_positive` holds."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"excluded has the pair of row {row} and column {columns[row]}, which is positive; a "
            "pair is positive, negative or excluded; leave the positives out, excluded & ~positives"
        )


def refuse_none_left(left: np.ndarray, which: str) -> None:
    """Raises where of the pairs of an anchor or a candidate only the positive is left."""
    if (left < 2).any():
        raise ValueError(
            f"excluded leaves {which} {int(np.argmax(left < 2))} without any negative; a positive "
            f"needs one to be compared with; exclude fewer pairs, or leave this {which} out"
        )


def _columns_exist(excluded: np.ndarray, m: int) -> None:
    outside = (excluded < -1) | (excluded >= m)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"excluded name column {excluded[row]} for row {row} and scores have {m} columns; "
            f"pass numbers from 0 to {m - 1}, or -1 where a row leaves nothing out"
        )
