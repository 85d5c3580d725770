"""The data types that users have, as arrays of numbers with a name for every column.

NumPy and JAX arrays, lists, dicts of columns, and the series and data frames of pandas or polars,
which are known by their attributes: neither library is imported.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts

_CLASSES = "give classes as integers, for which np.unique(..., return_inverse=True) has codes"
_NEEDED = "columns of numbers f[n] or f[n,d], or images f[n,h,w,c]"


class Named(NamedTuple):
    """An array f[n,d], or images f[n,h,w,c], in its type, and the names of its columns."""

    array: np.ndarray
    names: tuple[str, ...]


def of(value: Any, name: str) -> Named:
    """The array of an argument.

    Args:
      name: of the argument in messages, such as "x".

    Raises:
      UserError: strings, objects, times, complex numbers, categories, lists of unequal lengths, a
        number of axes that is not 1, 2 or 4, and values that jax.jit traces.
    """
    if isinstance(value, jax.core.Tracer):
        raise contracts.UserError(
            f"{name} is traced by jax.jit, and its values are needed; call this outside of jit"
        )
    if isinstance(value, Mapping):
        return _of_columns([*value.values()], [str(title) for title in value], name)
    if _is_frame(value):
        return _of_frame(value, name)
    if _is_series(value):
        title = name if value.name is None else str(value.name)
        return Named(_of_series(value, name)[:, None], (title,))
    array = _numbers(_as_array(value, name), name)
    if array.ndim == 1:
        return Named(array[:, None], (name,))
    if array.ndim == 2:
        single = array.shape[1] == 1
        names = [name] if single else [f"{name}[:, {i}]" for i in range(array.shape[1])]
        return Named(array, tuple(names))
    if array.ndim == 4:
        return Named(array, (name,))
    advice = {0: "", 3: f"; give grey images as {name}[..., None]"}
    flat = f"; make it two axes with {name}.reshape(len({name}), -1)" if array.ndim else ""
    raise contracts.UserError(
        f"{name} has the shape {list(array.shape)}, and needed are {_NEEDED}"
        f"{advice.get(array.ndim, flat)}"
    )


def separate(value: Any, name: str) -> dict[str, np.ndarray]:
    """The columns f[n] of an argument by name, each in its type, where `of` gives all one type.

    Names that occur twice have their position added.

    Raises:
      UserError: as `of`, and for images.
    """
    if isinstance(value, Mapping):
        titles = [*map(str, value)]
        columns = _checked([*value.values()], titles, name)
    elif _is_frame(value):
        titles = [*map(str, value.columns)]
        columns = _checked(_frame_columns(value), titles, name)
    else:
        named = of(value, name)
        if named.array.ndim != 2:
            raise contracts.UserError(
                f"{name} has images of the shape {[*named.array.shape[1:]]}; give columns f[n,d]"
            )
        titles, columns = named.names, [*named.array.T]
    return {
        title if titles.count(title) == 1 else f"{title} ({position})": column
        for position, (title, column) in enumerate(zip(titles, columns, strict=True))
    }


def labels(value: Any, name: str) -> np.ndarray:
    """Labels of samples as codes i64[n], from an array or series of integers, booleans or strings.

    Raises:
      UserError: several axes, floats with fractions, or missing labels.
    """
    array = _as_array(value.to_numpy() if hasattr(value, "to_numpy") else value, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype == object and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)
    integral = array.dtype.kind == "f" and bool(np.all(array == np.floor(array)))  # NaN fails it
    if array.ndim != 1 or not (array.dtype.kind in "iubUT" or integral):
        raise contracts.UserError(
            f"{name} has the shape {list(array.shape)} and the type {array.dtype}; give one "
            "integer or string for every sample"
        )
    return np.unique(array, return_inverse=True)[1]


def _as_array(value: Any, name: str) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise contracts.UserError(
            f"{name} has {np.ma.count_masked(value):,} masked values; leave these samples out"
        )
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise contracts.UserError(
            f"{name} is no array ({type(value).__name__}: {str(error).partition(chr(10))[0]}); "
            f"give {_NEEDED}"
        ) from error


def _numbers(array: np.ndarray, what: str) -> np.ndarray:
    """The array, if it holds numbers or booleans."""
    dtype = array.dtype
    if dtype.kind == "b" or any(jnp.issubdtype(dtype, kind) for kind in (np.integer, jnp.floating)):
        return array
    first = next(iter(array.flat), None)
    if dtype.kind in "USTO" and isinstance(first, str | bytes):
        problem = f"{what} holds strings, such as {str(first)[:40]!r}; {_CLASSES}"
    elif dtype.kind in "mM":
        problem = f"{what} holds times ({dtype}); {_TIMES}"
    elif dtype.kind == "c":
        problem = f"{what} is complex; give real and imaginary parts as two columns"
    elif dtype.kind == "O":
        shown = f"{type(first).__name__} {str(first)[:40]!r}"
        problem = f"{what} holds Python objects, such as {shown}; convert it with astype(float)"
    else:
        problem = f"{what} has the type {dtype}; give {_NEEDED}"
    raise contracts.UserError(problem)


_TIMES = "give numbers, such as seconds since the first, and blocks that follow time"


def _is_frame(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("columns", "dtypes", "to_numpy"))


def _is_series(value: Any) -> bool:
    has_all = all(hasattr(value, name) for name in ("name", "dtype", "to_numpy"))
    return has_all and len(getattr(value, "shape", (0,))) == 1


def _of_frame(frame: Any, name: str) -> Named:
    return _of_columns(_frame_columns(frame), [str(title) for title in frame.columns], name)


def _frame_columns(frame: Any) -> list[Any]:
    by_position = getattr(frame, "iloc", None)  # names may repeat in pandas
    return [
        frame[title] if by_position is None else by_position[:, i]
        for i, title in enumerate(frame.columns)
    ]


def _of_columns(columns: Sequence[Any], titles: Sequence[str], name: str) -> Named:
    arrays = _checked(columns, titles, name)
    if len(arrays) == 1:
        return Named(arrays[0][:, None], tuple(titles))
    return Named(np.stack([array.astype(np.float64) for array in arrays], 1), tuple(titles))


def _checked(columns: Sequence[Any], titles: Sequence[str], name: str) -> list[np.ndarray]:
    if not columns:
        raise contracts.UserError(f"{name} is a table without columns; give one column or more")
    arrays = []
    for column, title in zip(columns, titles, strict=True):
        what = f"column '{title}' of {name}"
        is_series = _is_series(column)
        array = _of_series(column, what) if is_series else _numbers(_as_array(column, what), what)
        arrays.append(array)
        if array.ndim != 1 or len(array) != len(arrays[0]):
            raise contracts.UserError(
                f"{what} has the shape {list(array.shape)}; give columns of one axis and of equal "
                "lengths"
            )
    return arrays


def _of_series(series: Any, what: str) -> np.ndarray:
    kind = str(series.dtype).lower()
    if kind.startswith(("categor", "enum")):
        raise contracts.UserError(
            f"{what} is categorical; give its codes (.cat.codes in pandas, .to_physical() in "
            "polars)"
        )
    if kind.startswith(("date", "time", "period", "duration")):
        raise contracts.UserError(f"{what} holds times ({series.dtype}); {_TIMES}")
    array = np.asarray(series.to_numpy())
    if array.dtype == object and hasattr(series.dtype, "na_value"):  # numbers with missing ones
        with contextlib.suppress(TypeError, ValueError):
            array = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return _numbers(array, what)
