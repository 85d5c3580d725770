"""Checks of scores and positives, run when a bound is traced."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax import contracts
from dim_jax.bounds.statistics import AxisName, Shape

Columns = jax.Array | np.ndarray


def axis_size(axis_name: AxisName | None) -> int:
    """The number of devices along the axis, 1 without one."""
    if axis_name is None:
        return 1
    try:
        return lax.axis_size(axis_name)
    except NameError:
        raise ValueError(
            f"axis_name={axis_name!r} is not an axis here; it names the devices of a surrounding "
            "pmap, shard_map or vmap; call the bound inside one, or leave axis_name out"
        ) from None


def are_scores(shape: Shape, dtype: jnp.dtype) -> None:
    """Scores are floats [n, m, *l]."""
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"scores are {dtype}{list(shape)}; a bound needs floating-point "
            "scores; convert them with scores.astype(jnp.float32)"
        )
    if len(shape) < 2 or 0 in shape:
        raise ValueError(
            f"scores have shape {shape}; a bound needs [anchors, candidates, *locations], "
            "none of them empty; score every anchor against every candidate"
        )


def at_least_two(count: int, axis: int, shape: Shape) -> None:
    """A positive needs a negative to be compared with."""
    if count < 2:
        raise contracts.UserError(
            f"scores have shape {shape}: a batch of 1 has no negatives; at least 2 are needed "
            f"along axis {axis}; use a larger batch (train.batch_size)"
        )


def positive_columns(
    shape: Shape, positives: jax.Array | None, axis_name: AxisName | None, sharded: str
) -> Columns:
    """The column of each row's positive, i[n]; outside 0..m-1 where another device holds it."""
    n, m = shape[:2]
    if positives is None:
        return _diagonal(shape, axis_name, sharded)
    if is_concrete(positives, axis_name):
        positives = np.asarray(positives)
    concrete = isinstance(positives, np.ndarray)
    is_mask = positives.dtype == bool
    if not is_mask and not jnp.issubdtype(positives.dtype, jnp.integer):
        raise TypeError(
            f"positives are {positives.dtype}{list(positives.shape)}; they are a bool mask or the "
            "column of each row's positive; convert with positives.astype(bool)"
        )
    needed = (n, m) if is_mask else (n,)
    if positives.shape != needed:
        raise ValueError(
            f"positives have shape {positives.shape} and scores {shape}; they are one bool per "
            f"pair, without locations, or the column of each row's positive; pass shape {needed}"
        )
    if concrete and axis_name is None:
        _one_per_row(positives) if is_mask else _columns_exist(positives, m)
    if is_mask:
        library = np if concrete else jnp
        positives = library.where(positives.any(1), positives.argmax(1), -1)
    return positives.astype(np.int32)


def each_has_one(
    shape: Shape, positives: jax.Array | None, axis_name: AxisName | None, sharded: str
) -> jax.Array | None:
    """Whether every anchor has exactly one positive, b[]; None where that is known by now."""
    if positives is None or (axis_name is None and is_concrete(positives, axis_name)):
        return None
    positives = jnp.asarray(positives)
    is_mask = positives.dtype == bool
    counts = positives.sum(1) if is_mask else (positives >= 0) & (positives < shape[1])
    counts = counts.astype(jnp.int32)
    if axis_name is not None and sharded == "candidates":
        return jnp.all(lax.psum(counts, axis_name) == 1)
    wrong = jnp.sum(counts != 1)
    return (wrong if axis_name is None else lax.psum(wrong, axis_name)) == 0


def is_concrete(array: jax.Array | np.ndarray, axis_name: AxisName | None) -> bool:
    """Whether the numbers can be looked at: not traced, not on another device or process."""
    if not isinstance(array, jax.Array):
        return True
    traced = isinstance(array, jax.core.Tracer)
    return axis_name is None and not traced and array.is_fully_addressable


def _diagonal(shape: Shape, axis_name: AxisName | None, sharded: str) -> Columns:
    """Pairs in the order of the batch: the diagonal of the full matrix, cut to this block."""
    n, m = shape[:2]
    rows = np.arange(n, dtype=np.int32)
    if axis_name is None:
        if n != m:
            raise ValueError(
                f"scores have shape {shape} and positives are missing; without them the "
                f"first two axes must be equal; pass positives b[{n}, {m}] with one True per row"
            )
        return rows
    devices, index = axis_size(axis_name), lax.axis_index(axis_name)
    share, full, gathered = (n, m, "candidates") if sharded == "anchors" else (m, n, "anchors")
    if share * devices != full:
        raise ValueError(
            f"scores have shape {shape} on each of {devices} devices of axis {axis_name!r} and "
            f"positives are missing; without them {share} {sharded} per device need "
            f"{share * devices} {gathered}; gather them, pass the other value of sharded, or pass "
            "the block's positives"
        )
    return rows + index * n if sharded == "anchors" else rows - index * m


def _one_per_row(positives: np.ndarray) -> None:
    rows = positives.sum(axis=1)
    if (rows != 1).any():
        row = int(np.argmax(rows != 1))
        raise ValueError(
            f"positives {positives.shape} have {rows[row]} True in row {row}; every anchor needs "
            "exactly one positive; mark it, or leave this anchor out"
        )


def _columns_exist(columns: np.ndarray, m: int) -> None:
    outside = (columns < 0) | (columns >= m)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"positives name column {columns[row]} for row {row} and scores have {m} columns; "
            f"every anchor needs a positive; pass numbers from 0 to {m - 1}"
        )


def one_per_column(columns: Columns) -> None:
    """For bounds that compare a positive with the other anchors of its candidate."""
    if not isinstance(columns, np.ndarray):
        return
    values, counts = np.unique(columns, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"positives name column {values[np.argmax(counts > 1)]} for {counts.max()} anchors; a "
            "bound that compares anchors needs at most one positive per candidate; choose other "
            "negatives"
        )
