"""Mutual information of many columns: each with one y, or each with each other.

Every pair has an estimate as `mi.estimate` gives it, but without networks: of a Gaussian copula and
kernels, cross-fitted. One column against one is nearly as well measured by these, in a tenth of the
time. p-values are those of `independence`: exact permutation tests, and below what these can show
the tail of a Pearson type III law.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from dim_jax import contracts
from dim_jax.mi import arrays, classes, columns, corrections, cross_fit, estimation, independence
from dim_jax.mi.columns import Columns
from dim_jax.mi.pooled import Pooled
from dim_jax.mi.result import Estimate
from dim_jax.mi.sides import Side

Progress = Callable[[float, str], None]
_PERMUTATIONS = 500


@dataclasses.dataclass(frozen=True)
class Row:
    """One column with y.

    nats, interval, reliable, why: as in `mi.Estimate`. nats is 0 for a constant column, and
      infinite for a copy of y or a strictly monotone function of it.
    p_value: of independence; NaN for constant columns and copies, for which nothing is tested.
    corrected: the p-value, corrected for the number of columns.
    position: of the column in x.
    """

    name: str
    position: int
    nats: float
    interval: tuple[float, float]
    p_value: float
    corrected: float
    reliable: bool
    why: str
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The columns of x with y: those with the largest information first.

    correction: of the p-values for the number of tests. confidence: of each interval.
    """

    rows: tuple[Row, ...]
    correction: str
    confidence: float
    samples: int

    def to_dict(self) -> dict[str, Any]:
        """All fields as types that JSON has."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [self.header(), *map(self.cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def header(self) -> tuple[str, ...]:
        """Titles of the `cells`."""
        interval = f"{self.confidence:.0%} interval"
        return "column", "nats", interval, "p", f"p ({self.correction})", "remark"

    def cells(self, row: Row) -> tuple[str, ...]:
        """A row as text."""
        remark = "; ".join((*(() if row.reliable else (row.why,)), *row.notes))
        spread = "{:.3f} to {:.3f}".format(*row.interval)
        return row.name, f"{row.nats:.3f}", spread, _p(row.p_value), _p(row.corrected), remark


@dataclasses.dataclass(frozen=True)
class Pairwise:
    """All pairs of d columns, as symmetric matrices f64[d,d].

    nats: NaN on the diagonal, where continuous columns have infinite information; infinite for
      copies and strictly monotone functions of each other.
    p_values, corrected: NaN where nothing is tested; corrected for all pairs.
    low, high: the ends of each interval.
    """

    names: tuple[str, ...]
    nats: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray
    corrected: np.ndarray
    correction: str
    confidence: float
    samples: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All fields as types that JSON has."""
        return {
            field.name: value.tolist() if isinstance(value, np.ndarray) else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
        }

    def __str__(self) -> str:
        width = max(6, *map(len, self.names)) + 2
        lines = ["".join(title.rjust(width) for title in ("nats", *self.names))]
        for name, values in zip(self.names, self.nats, strict=True):
            cells = ("" if math.isnan(value) else f"{value:.3f}" for value in values)
            lines.append(name.rjust(width) + "".join(cell.rjust(width) for cell in cells))
        return "\n".join(lines)


def ranking(
    x: Any,
    y: Any,
    *,
    names: Sequence[str] | None = None,
    blocks: Any = None,
    discrete: bool | str | Collection[str] | None = None,
    correction: str = "holm",
    confidence: float = 0.95,
    permutations: int = _PERMUTATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ranking:
    """The mutual information of each column of x with y, in nats, the largest first.

    Args:
      x: f[n,d], or a data frame or dict of columns, which may have different types.
      y: as in `mi.estimate`.
      names: of the d columns.
      blocks, confidence, permutations, seed, progress: as in `mi.estimate`.
      discrete: as in `mi.estimate`; "x" is every column of x.
      correction: "holm" keeps the probability of any false rejection at the level that the
        corrected p-values are compared with, "benjamini_hochberg" the expected share of false ones
        among the rejected.

    Raises:
      UserError: as `mi.estimate`, but for constant columns of x and copies of y, which have a row.
    """
    run = _Run.of(blocks, correction, confidence, permutations, seed)
    candidates = _candidates(x, "x", names, columns.says_discrete(discrete, "x"))
    target = Columns.of(y, "y", columns.says_discrete(discrete, "y"))
    side = estimation.side(target)
    rows = []
    for position, (name, candidate) in enumerate(candidates.items()):
        if progress:
            progress(position / len(candidates), name)
        estimate = run.pair(candidate, (target, side), name, "y")
        notes = (*(candidate[0].notes if candidate else ()), *estimate.notes)
        rows.append(_row(name, position, estimate, notes))
    adjusted = corrections.corrected(np.array([row.p_value for row in rows]), correction)
    rows = [
        dataclasses.replace(row, corrected=float(value))
        for row, value in zip(rows, adjusted, strict=True)
    ]
    rows.sort(key=lambda row: -row.nats)
    return Ranking(tuple(rows), correction, confidence, len(target.values))


def pairwise(
    x: Any,
    *,
    names: Sequence[str] | None = None,
    blocks: Any = None,
    discrete: bool | None = None,
    correction: str = "holm",
    confidence: float = 0.95,
    permutations: int = _PERMUTATIONS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Pairwise:
    """The mutual information of all pairs of columns of x, in nats; arguments as in `ranking`.

    Raises:
      UserError: as `ranking`, and for a single column.
    """
    run = _Run.of(blocks, correction, confidence, permutations, seed)
    candidates = _candidates(x, "x", names, columns.says_discrete(discrete, "x"))
    titles, count = tuple(candidates), len(candidates)
    if count < 2:
        raise contracts.UserError(f"x has {count} column, and pairs need 2 or more")
    pairs = [*zip(*np.triu_indices(count, 1), strict=True)]
    matrices = np.full((4, count, count), np.nan)
    notes = [note for each in candidates.values() if each for note in each[0].notes]
    for number, (i, j) in enumerate(pairs):
        if progress:
            progress(number / len(pairs), f"{titles[i]} and {titles[j]}")
        first, second = (candidates[titles[index]] for index in (i, j))
        estimate = run.pair(first, second, titles[i], titles[j])
        values = (estimate.nats, *estimate.interval, estimate.p_value)
        matrices[:, i, j] = matrices[:, j, i] = values
        notes += estimate.notes
    upper = np.triu_indices(count, 1)
    adjusted = np.full((count, count), np.nan)
    adjusted[upper] = adjusted.T[upper] = corrections.corrected(matrices[3][upper], correction)
    size = dict(correction=correction, confidence=confidence, samples=run.samples(candidates))
    return Pairwise(titles, *matrices, adjusted, **size, notes=tuple(dict.fromkeys(notes)))


_Candidate = tuple[Columns, Side] | None  # None for a constant column


@dataclasses.dataclass
class _Run:
    """The facts that all pairs share; the folds are drawn at the first."""

    blocks: np.ndarray | None
    confidence: float
    permutations: int
    seed: int
    parts: list[np.ndarray] | None = None
    tests: int = 0

    @classmethod
    def of(cls, blocks: Any, correction: str, confidence: float, permutations: int, seed: int):
        corrections.check(correction)
        estimation.check(confidence, permutations)
        codes = None if blocks is None else arrays.labels(blocks, "blocks")
        return cls(codes, confidence, permutations, seed)

    def samples(self, candidates: dict[str, _Candidate]) -> int:
        return next((len(each[0].values) for each in candidates.values() if each), 0)

    def pair(self, x: _Candidate, y: _Candidate, first: str, second: str) -> Estimate:
        if x is None or y is None:
            note = f"{first if x is None else second} is constant, and shares no information"
            return _untested(0.0, self.confidence, note)
        columns.check_lengths({first: x[0], second: y[0]}, self.blocks)
        if columns.are_copies(x[0], y[0]):
            note = f"{first} is a copy of {second} or a strictly monotone function of it"
            return _untested(math.inf, self.confidence, note)
        random = np.random.default_rng([self.seed, self.tests])
        self.tests += 1
        facts = dict(
            confidence=self.confidence,
            samples=len(x[0].values),
            dimensions=(1, len(y[0].names)),
        )
        test = dict(blocks=self.blocks, permutations=self.permutations, random=random)
        p_value = independence.p_value(x[0], y[0], **test)
        if x[0].discrete and y[0].discrete and self.blocks is None:
            codes = (x[0].codes, y[0].codes)
            estimate = classes.estimate(*codes, permutations=0, random=random, **facts)
        else:
            if self.parts is None:
                self.parts = cross_fit.folds(facts["samples"], self.blocks, random)
            options = dict(blocks=self.blocks, permutations=0, seed=self.seed, settings=None)
            folds = cross_fit.run(x[1], y[1], self.parts, **options)
            estimate = estimation.of_folds(Pooled.of(folds), self.blocks, p_value=p_value, **facts)
        return dataclasses.replace(estimate, p_value=p_value)


def _candidates(
    x: Any, name: str, names: Sequence[str] | None, discrete: bool | None
) -> dict[str, _Candidate]:
    separate = arrays.separate(x, name)
    if names is not None:
        titles = [*map(str, names)]
        if len(titles) != len(separate) or len({*titles}) != len(titles):
            raise contracts.UserError(
                f"names has {len({*titles})} different names for {len(separate)} columns of "
                f"{name}; give each column a name"
            )
        separate = dict(zip(titles, separate.values(), strict=True))
    result = {}
    for title, column in separate.items():
        if len(column) and column.min() == column.max():  # not so if one is NaN
            result[title] = None
            continue
        prepared = Columns.of(column, title, discrete)
        result[title] = prepared, estimation.side(prepared)
    return result


def _untested(nats: float, confidence: float, note: str) -> Estimate:
    nan = float("nan")
    return Estimate(
        **dict(nats=nats, standard_error=0.0, interval=(nats, nats), confidence=confidence),
        **dict(p_value=nan, null=np.empty(0), guaranteed=None, reliable=True, why=note),
        **dict(label="exact", method="default", samples=0, dimensions=(1, 1), notes=(note,)),
    )


def _row(name: str, position: int, estimate: Estimate, notes: tuple[str, ...]) -> Row:
    shared = ("nats", "interval", "p_value", "reliable", "why")
    fields = {field: getattr(estimate, field) for field in shared}
    return Row(name, position, corrected=float("nan"), notes=notes, **fields)


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"
