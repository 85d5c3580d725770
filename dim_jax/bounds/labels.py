"""Facts about the value of each function, which tests check and from which the table is printed."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["lower bound", "upper bound", "divergence", "neither"]


class Ceiling(NamedTuple):
    """The largest value that scores can reach, in words and for a batch of n."""

    text: str
    of: Callable[..., float]


LOG_N = Ceiling("log n", math.log)
NONE = Ceiling("none", lambda n: math.inf)


@dataclass(frozen=True)
class Facts:
    """What a value is.

    kind: of the value of one batch, in expectation, at every batch size. "lower bound" and "upper
      bound" are of the mutual information and of nothing else; a "divergence" is itself a lower
      bound of the divergence that `of` names.
    of: the quantity that the value bounds or estimates.
    ceiling: the largest value that scores can reach.
    batch: the expected value of one batch against that of an infinite one, for the same critic:
      "unbiased", "too high" (an average sits inside a logarithm), "grows with n" (competition
      among n), "exact" (no averages over batches).
    invariant_to: the largest terms that may be added to the scores without a change of the value:
      "c" a constant, "c(l)" one per location, "c(x)" per anchor, "c(y)" per candidate, "c(x, l)",
      "c(y, l)". All smaller terms follow.
    gradient: "of the value", or what else.
    population: the kind of the value on an infinite batch.
    condition: without which `kind` does not hold.
    left: what negatives have to be for `kind` to hold with excluded pairs: "marginal", each drawn
      with its anchor from the product of the marginals, or "independent", those of an anchor also
      of each other; "" where there is nothing to hold, or no pairs.
    variant: the arguments these facts belong to, where a function has several.
    takes: what the first argument is.
    pairs: whether that is a matrix of all pairs, of which some can be excluded.
    """

    kind: Kind
    of: str
    ceiling: Ceiling = NONE
    batch: Literal["unbiased", "too high", "grows with n", "exact"] = "unbiased"
    invariant_to: tuple[str, ...] = ()
    gradient: str = "of the value"
    population: Kind | None = None
    condition: str = ""
    variant: str = ""
    takes: Literal["scores", "scores and more", "log-likelihoods", "value"] = "scores"
    pairs: bool = True

    @property
    def left(self) -> Literal["marginal", "independent", ""]:
        if self.kind == "neither" or not self.pairs:
            return ""
        # Competitors have to be exchangeable; averages of single pairs need each pair's law alone.
        return "independent" if self.batch == "grows with n" else "marginal"


HEADER = (
    *("function", "one batch, in expectation", "of", "ceiling"),
    *("batch value", "invariant to", "gradient", "with `excluded`, if negatives are"),
)


def rows(functions: Iterable[Callable]) -> list[tuple[str, ...]]:
    """The facts as cells of text, in the order of `HEADER`."""
    return [_row(function.__name__, facts) for function in functions for facts in function.facts]


def _row(name: str, facts: Facts) -> tuple[str, ...]:
    kind = facts.kind + (f" if {facts.condition}" if facts.condition else "")
    if facts.population not in (None, facts.kind):
        kind += f" ({facts.population} on the population)"
    name += f", {facts.variant}" if facts.variant else ""
    invariant_to = ", ".join(facts.invariant_to) or "nothing"
    of_value = (facts.of, facts.ceiling.text, facts.batch, invariant_to, facts.gradient)
    return name, kind, *of_value, facts.left


def table(functions: Iterable[Callable]) -> str:
    """The facts as a Markdown table."""
    lines = [HEADER, ("---",) * len(HEADER), *rows(functions)]
    escaped = ([cell.replace("|", r"\|") for cell in cells] for cells in lines)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in escaped)
