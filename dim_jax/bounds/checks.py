"""What may be scores and positives, checked when a bound is traced."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax.bounds.statistics import AxisName


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


def are_scores(shape: tuple[int, ...], dtype: jnp.dtype) -> None:
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


def positive_columns(
    shape: tuple[int, ...],
    positives: jax.Array | None,
    axis_name: AxisName | None,
    sharded: str,
) -> jax.Array | np.ndarray:
    """The column of each row's positive, i[n]; outside 0..m-1 where another device holds it."""
    n, m = shape[:2]
    if positives is None:
        return _diagonal(shape, axis_name, sharded)
    if not isinstance(positives, jax.Array):
        positives = np.asarray(positives)
    if axis_name is None and _is_known(positives):
        positives = np.asarray(positives)
    known = isinstance(positives, np.ndarray)
    if positives.dtype == bool:
        if positives.shape != (n, m):
            raise ValueError(
                f"positives have shape {positives.shape} and scores {shape}; the mask has one "
                f"entry per pair, without locations; pass shape ({n}, {m})"
            )
        if known and axis_name is None:
            _one_per_row(positives)
        library = np if known else jnp
        columns = library.where(positives.any(1), positives.argmax(1), -1)
        return columns.astype(np.int32)
    if not jnp.issubdtype(positives.dtype, jnp.integer):
        raise TypeError(
            f"positives are {positives.dtype}{list(positives.shape)}; they are a bool mask or the "
            "column of each row's positive; convert with positives.astype(bool)"
        )
    if positives.shape != (n,):
        raise ValueError(
            f"positives have shape {positives.shape} and scores {shape}; integer positives are the "
            f"column of each row's positive; pass shape ({n},)"
        )
    if known and axis_name is None:
        _columns_exist(positives, m)
    return positives.astype(np.int32)


def _is_known(array: jax.Array | np.ndarray) -> bool:
    """Whether the numbers can be looked at: not traced, not on another process."""
    if isinstance(array, jax.core.Tracer):
        return False
    return getattr(array, "is_fully_addressable", True)


def _diagonal(
    shape: tuple[int, ...], axis_name: AxisName | None, sharded: str
) -> jax.Array | np.ndarray:
    """Pairs in the order of the batch: the diagonal of the whole matrix, cut to this block."""
    n, m = shape[:2]
    if axis_name is None:
        if n != m:
            raise ValueError(
                f"scores have shape {shape} and positives are missing; without them the "
                f"first two axes must be equal; pass positives b[{n}, {m}] with one True per row"
            )
        return np.arange(n, dtype=np.int32)
    devices, index = axis_size(axis_name), lax.axis_index(axis_name)
    own, whole = (n, m) if sharded == "anchors" else (m, n)
    if own * devices != whole:
        raise ValueError(
            f"scores have shape {shape} on each of {devices} devices of axis {axis_name!r} and "
            f"positives are missing; without them {own} {sharded} per device need {own * devices} "
            f"{'candidates' if sharded == 'anchors' else 'anchors'}; gather them, pass the other "
            f"value of sharded, or pass the block's positives"
        )
    rows = np.arange(n, dtype=np.int32)
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


def one_per_column(columns: jax.Array | np.ndarray, name: str) -> None:
    """For bounds that compare a positive with the other anchors of its candidate."""
    if not isinstance(columns, np.ndarray):
        return
    values, counts = np.unique(columns, return_counts=True)
    if (counts > 1).any():
        column = int(values[np.argmax(counts > 1)])
        raise ValueError(
            f"positives name column {column} for {counts.max()} anchors; {name} needs at most one "
            "positive per candidate; choose other negatives"
        )
