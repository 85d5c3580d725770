"""Several formulas of the same pairs, in one pass over their scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jax import lax

from dim_jax.bounds.pairs import Pairs
from dim_jax.bounds.statistics import Axes, AxisName, Block, Statistic

Formula = Callable[[Pairs], Any]


def with_constants(formula: Formula, *constants: Formula) -> Formula:
    """The formula pairs -> (value of `formula`, values of `constants`), the latter constant.

    They have no gradient. What the first pass of `formula` has as well is not computed again.

    Args:
      constants: each asks for its statistics once, and without numbers per candidate.
    """

    def together(pairs: Pairs) -> tuple[Any, ...]:
        asked, extra = _first_statistics(formula, pairs)
        others = [_first_statistics(constant, pairs)[0] for constant in constants]
        new = dict.fromkeys(each for also in others for each in also if each not in asked)
        parts = pairs.reduce(*asked, *map(_Constant, new), extra=extra)
        given = dict(zip((*asked, *new), lax.stop_gradient(parts), strict=True))
        return formula(_Reduced(pairs, parts[: len(asked)])), *(
            constant(_Reduced(pairs, tuple(given[each] for each in also)))
            for constant, also in zip(constants, others, strict=True)
        )

    return together


class _Around:
    """Pairs with another `reduce`."""

    def __init__(self, pairs: Pairs):
        self._pairs = pairs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pairs, name)


class _Asked(Exception):
    """Statistics that a formula asks for."""


class _Asking(_Around):
    def reduce(self, *statistics: Statistic, extra: Any = ()) -> tuple[Any, ...]:
        raise _Asked(statistics, extra)


class _Reduced(_Around):
    """Pairs whose first `reduce` was made before."""

    def __init__(self, pairs: Pairs, parts: tuple[Any, ...]):
        super().__init__(pairs)
        self._parts = [parts]

    def reduce(self, *statistics: Statistic, extra: Any = ()) -> tuple[Any, ...]:
        return self._parts.pop() if self._parts else self._pairs.reduce(*statistics, extra=extra)


def _first_statistics(formula: Formula, pairs: Pairs) -> tuple[tuple[Statistic, ...], Any]:
    try:
        formula(_Asking(pairs))
    except _Asked as asked:
        return asked.args
    raise TypeError(f"{formula} asks for no statistics of the scores; call pairs.reduce")


@dataclass(frozen=True)
class _Constant:
    """A statistic without gradient."""

    statistic: Statistic

    @property
    def over(self) -> Axes:
        return self.statistic.over

    @property
    def crosses(self) -> Axes:
        return self.statistic.crosses

    def part(self, block: Block) -> Any:
        return self.statistic.part(lax.stop_gradient(block))

    def merge(self, a: Any, b: Any) -> Any:
        return self.statistic.merge(a, b)

    def across(self, part: Any, axis_name: AxisName) -> Any:
        return self.statistic.across(part, axis_name)
