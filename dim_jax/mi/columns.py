"""The arguments of an estimate as checked columns of numbers, or images."""

import dataclasses
from collections.abc import Collection
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.mi import arrays

FEWEST = 50  # samples
FEWEST_BLOCKS = 10
ARGUMENTS = ("x", "y", "given")
_MOST_CLASSES = 20  # of integers that count as classes unless told
_TIED = 0.01  # share of repeated values that is worth a remark
_PROBED = 1_000  # samples on which columns are compared before all are


@dataclasses.dataclass(frozen=True)
class Columns:
    """One argument of an estimate.

    values: f64[n,d] without constant columns, or images f[n,h,w,c] in their type. Classes have one
      column: where they were rows of several, these are numbered from 0.
    names: of the d columns; that of the argument for images.
    discrete: whether its rows are classes.
    notes: remarks on the data.
    """

    values: np.ndarray
    names: tuple[str, ...]
    discrete: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Any, name: str, discrete: bool | None = None) -> "Columns":
        """The columns of an array f[n] or f[n,d], images f[n,h,w,c], a list or a data frame.

        Args:
          name: of the argument in messages.
          discrete: whether the rows are classes. None: they are where a single column is of
            booleans, or of integers with at most 20 and at most n / 10 different values.

        Raises:
          UserError: values that are no finite numbers, fewer than 50 samples, nothing that varies,
            or more classes than n / 2.
        """
        named = arrays.of(value, name)
        _check_size(named.array, name)
        if named.array.ndim == 4:
            return cls._of_images(named, name, discrete)
        values = np.ascontiguousarray(named.array, np.float64)
        _check_finite(values, named.names, name)
        values, names, notes = _without_constants(values, named.names, name)
        if discrete is None:
            discrete = _are_classes(values, named.array.dtype)
        if discrete and len(names) > 1:
            rows = np.unique(values, axis=0, return_inverse=True)[1].reshape(-1, 1)
            values, names = rows.astype(np.float64), (contracts.abridged(names, 5),)
        columns = cls(values, names, discrete, notes)
        if discrete:
            _check_classes(columns, name)
            return columns
        return dataclasses.replace(columns, notes=(*notes, *_notes_on_ties(values, names, name)))

    @classmethod
    def _of_images(cls, named: arrays.Named, name: str, discrete: bool | None) -> "Columns":
        images = named.array
        if discrete:
            raise contracts.UserError(f"{name} has images, which are no classes; change discrete")
        if images.dtype.kind not in "biu" and images.dtype not in (np.float32, np.float64):
            images = images.astype(np.float32)
        _check_finite(images, named.names, name)
        if images.min() == images.max():
            raise contracts.UserError(
                f"all pixels of {name} have the value {images.flat[0]}; give images that vary"
            )
        return cls(images, named.names, False)

    @property
    def images(self) -> bool:
        """Whether the values are images."""
        return self.values.ndim == 4

    @property
    def codes(self) -> np.ndarray:
        """The classes i64[n], from 0, of a discrete argument."""
        return np.unique(self.values[:, 0], return_inverse=True)[1]


def says_discrete(discrete: bool | str | Collection[str] | None, name: str) -> bool | None:
    """The word of the caller on one argument, None where the caller has none.

    Args:
      discrete: True or False for all arguments, or the names of those that are classes, by which
        the others are not.
      name: "x", "y" or "given".

    Raises:
      UserError: another name.
    """
    if discrete is None or isinstance(discrete, bool | np.bool_):
        return None if discrete is None else bool(discrete)
    if not isinstance(discrete, str | Collection):
        raise contracts.UserError(
            f"discrete is {discrete!r}; set it to names such as ('y',), or to True or False for all"
        )
    chosen = [discrete] if isinstance(discrete, str) else [*discrete]
    for each in chosen:
        if each not in ARGUMENTS:
            raise contracts.unknown("argument in discrete", each, ARGUMENTS)
    return name in chosen


def check_pair(
    x: Columns, y: Columns, given: Columns | None = None, blocks: np.ndarray | None = None
) -> tuple[str, ...]:
    """Checks that the arguments fit together; returns remarks on samples that are entered twice.

    Args:
      blocks: labels [n] of integers or strings, equal for samples that depend on each other.

    Raises:
      UserError: unequal lengths, fewer than 10 blocks, or a column that is a strictly monotone
        function of a column of another argument, such as its copy: the information is infinite.
    """
    arguments = {"x": x, "y": y} | ({} if given is None else {"given": given})
    check_lengths(arguments, None if blocks is None else arrays.labels(blocks, "blocks"))
    names = [*arguments]
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            _check_copies(arguments[first], arguments[second], first, second)
    return _notes_on_copies([*arguments.values()])


def check_lengths(arguments: dict[str, Columns], codes: np.ndarray | None) -> None:
    """Raises UserError for unequal numbers of samples, or fewer than 10 blocks of `codes` i[n]."""
    lengths = {name: len(columns.values) for name, columns in arguments.items()}
    if codes is not None:
        lengths["blocks"] = len(codes)
    if len({*lengths.values()}) > 1:
        counts = ", ".join(f"{name} {count:,}" for name, count in lengths.items())
        raise contracts.UserError(
            f"the arguments have unequal numbers of samples ({counts}); row i of each must "
            "be of the same sample"
        )
    if codes is not None and (count := int(codes.max()) + 1) < FEWEST_BLOCKS:
        raise contracts.UserError(
            f"there are {count} different blocks, and at least {FEWEST_BLOCKS} are needed to "
            "measure the variation between them; divide the samples into more"
        )


def are_copies(x: Columns, y: Columns) -> bool:
    """Whether a column of one is a strictly monotone function of a column of the other."""
    return _copied(x, y) is not None


def _check_size(array: np.ndarray, name: str) -> None:
    if not array.size:
        raise contracts.UserError(f"{name} has the shape {list(array.shape)}, which holds no value")
    if len(array) < FEWEST:
        raise contracts.UserError(
            f"{name} has {len(array)} samples, and an estimate needs at least {FEWEST}"
        )


def _check_finite(array: np.ndarray, names: tuple[str, ...], name: str) -> None:
    if array.dtype.kind in "biu" or np.isfinite(array).all():
        return
    columns = range(array.shape[1]) if array.ndim == 2 else [...]
    for column in columns:
        part = array[:, column] if array.ndim == 2 else array
        for kind, bad in (("NaN", np.isnan(part)), ("infinite", np.isinf(part))):
            if bad.any():
                rows = bad.reshape(len(bad), -1).any(1)
                single = array.ndim == 4 or names[column] == name
                where = name if single else f"column '{names[column]}' of {name}"
                raise contracts.UserError(
                    f"{where} is {kind} in {int(rows.sum()):,} of {len(rows):,} rows, the first is "
                    f"row {int(np.argmax(rows)):,} (from 0); leave these samples out of all "
                    "arguments, or fill them in"
                )


def _without_constants(
    array: np.ndarray, names: tuple[str, ...], name: str
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    varies = array.min(0) != array.max(0)
    if varies.all():
        return array, names, ()
    if not varies.any():
        is_one = "is constant" if len(names) == 1 else "has constant columns alone"
        raise contracts.UserError(
            f"{name} {is_one}, and shares no information with anything; give columns that vary"
        )
    dropped = [title for title, keep in zip(names, varies, strict=True) if not keep]
    kept = tuple(title for title, keep in zip(names, varies, strict=True) if keep)
    note = f"{name}: constant columns are left out: {contracts.abridged(dropped, 5)}"
    return array[:, varies], kept, (note,)


def _are_classes(values: np.ndarray, dtype: np.dtype) -> bool:
    if values.shape[1] > 1 or dtype.kind not in "biu":
        return False
    return dtype.kind == "b" or len(np.unique(values)) <= min(_MOST_CLASSES, len(values) // 10)


def _check_classes(columns: Columns, name: str) -> None:
    count = int(columns.codes.max()) + 1
    if 2 * count > len(columns.values):
        raise contracts.UserError(
            f"{name} has {count:,} classes in {len(columns.values):,} samples, and at most half as "
            "many as samples can be used; join classes, or leave it out of discrete"
        )


def _notes_on_ties(values: np.ndarray, names: tuple[str, ...], name: str) -> list[str]:
    distinct = [len(np.unique(column)) for column in values.T]
    few = [title for title, count in zip(names, distinct, strict=True) if count <= _MOST_CLASSES]
    ties = 1 - np.array(distinct) / len(values)
    tied = [title for title, share in zip(names, ties, strict=True) if share > _TIED]
    notes = []
    if tied:
        notes.append(
            f"{name}: values repeat (up to {ties.max():.0%} of a column) in "
            f"{contracts.abridged(tied, 5)}"
        )
    if few and len(names) == 1:
        notes.append(f"{name} has {distinct[0]} different values; for classes, add it to discrete")
    return notes


def _check_copies(x: Columns, y: Columns, first: str, second: str) -> None:
    """Raises UserError if a column of one is a strictly monotone function of one of the other."""
    pair = _copied(x, y)
    if pair is None:
        return
    titles = [
        f"{name} ('{columns.names[i]}')" if len(columns.names) > 1 else name
        for name, columns, i in zip((first, second), (x, y), pair, strict=True)
    ]
    raise contracts.UserError(
        f"{titles[0]} is a copy of {titles[1]}, or a strictly monotone function of it, and the "
        "information between continuous columns that determine each other is infinite; leave it "
        f"out of {first} or {second}"
    )


def _copied(x: Columns, y: Columns) -> tuple[int, int] | None:
    if x.discrete or y.discrete:
        return None
    if x.images or y.images:
        return (0, 0) if np.array_equal(x.values, y.values) else None
    return _monotone_columns(x.values, y.values)


def _monotone_columns(x: np.ndarray, y: np.ndarray) -> tuple[int, int] | None:
    """The positions of the first two columns with equal or reversed ranks.

    Columns of which more than half of the values repeat have finite information, and are passed.
    """
    part = np.linspace(0, len(x) - 1, min(_PROBED, len(x))).astype(int)
    others = {}
    for j, column in enumerate(y[part].T):
        ranks = _dense_ranks(column)
        others |= {ranks.tobytes(): j, (ranks.max() - ranks).tobytes(): j}
    for i, column in enumerate(x[part].T):
        j = others.get(_dense_ranks(column).tobytes())
        if j is not None and _are_monotone(_dense_ranks(x[:, i]), _dense_ranks(y[:, j])):
            return i, j
    return None


def _dense_ranks(column: np.ndarray) -> np.ndarray:
    return np.unique(column, return_inverse=True)[1]


def _are_monotone(ranks: np.ndarray, others: np.ndarray) -> bool:
    distinct = int(ranks.max()) + 1
    equal = np.array_equal(ranks, others) or np.array_equal(ranks, others.max() - others)
    return equal and 2 * distinct > len(ranks)


def _notes_on_copies(arguments: list[Columns]) -> tuple[str, ...]:
    """A remark if samples are equal in all arguments, which only discrete ones explain."""
    if all(columns.discrete for columns in arguments):
        return ()
    count = len(arguments[0].values)
    keys = np.unique(np.stack([_row_keys(columns) for columns in arguments], 1), axis=0)
    copies = count - len(keys)
    if not copies:
        return ()
    return (
        f"{copies:,} of {count:,} samples are copies of others; if they were entered twice, leave "
        "them out, or give copies the same label in blocks",
    )


def _row_keys(columns: Columns) -> np.ndarray:
    """A number f64[n] for every row, equal for equal rows and, but for chance, for no others."""
    if columns.images:
        keys = (hash(image.tobytes()) % 2**52 for image in columns.values)
        return np.fromiter(keys, np.float64, len(columns.values))
    weights = np.random.default_rng(0).normal(size=columns.values.shape[1])
    keys = np.zeros(len(columns.values))
    for weight, column in zip(weights, columns.values.T, strict=True):
        keys += weight * (column / np.abs(column).max())
    return keys
