"""What a bound needs of a score matrix: statistics of parts that merge into that of the whole.

Each is defined once, by four functions: of one block of scores, of none, the merge of two parts,
and the merge over the devices. A dense matrix is one block; a blockwise pass merges
many; several devices merge theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

AxisName = str | tuple[str, ...]
Axes = tuple[int, ...]

EVERYTHING: Axes = (0, 1, 2)
ROWS: Axes = (1, 2)  # one value per anchor
ROWS_BY_LOCATION: Axes = (1,)  # one value per anchor and location
COLUMNS_BY_LOCATION: Axes = (0,)  # one value per candidate and location


class Block(NamedTuple):
    """A block of scores; axes stay in place in all parts, so that they broadcast.

    `extra` holds numbers per candidate, f[1, m, l or 1], that the bound compares scores with.
    """

    scores: jax.Array  # f[n, m, l], at least float32, locations flattened (l = 1 without)
    positives: jax.Array  # b[n, m, 1]
    negatives: jax.Array  # b[n, m, 1]; both False where a block was padded
    extra: Any = ()


Entry = Callable[[jax.Array, Any], jax.Array]  # (scores, extra) -> scores, entry by entry


def _as_they_are(scores: jax.Array, extra: Any) -> jax.Array:
    del extra
    return scores


class JointPart(NamedTuple):
    value: jax.Array  # 0 where this part holds no positive
    here: jax.Array  # b, without locations: whether it holds one


class SumExpPart(NamedTuple):
    """exp(peak) * total, and the part of `total` without one of its largest terms."""

    peak: jax.Array
    total: jax.Array
    others: jax.Array


@dataclass(frozen=True)
class Joint:
    """The score of the one positive of each row, or of the at most one of each column.

    It stays with the device that has the positive, unless it is wanted `everywhere`.
    """

    over: Axes
    of: Entry = _as_they_are
    everywhere: bool = False

    def part(self, block: Block) -> JointPart:
        scores = self.of(block.scores, block.extra)
        return JointPart(
            jnp.sum(scores, self.over, keepdims=True, where=block.positives),
            jnp.any(block.positives, self.over, keepdims=True),
        )

    def empty(self, like: JointPart) -> JointPart:
        return jax.tree.map(_zeros, like)

    def merge(self, a: JointPart, b: JointPart) -> JointPart:
        return JointPart(a.value + b.value, a.here | b.here)

    def across(self, part: JointPart, axis_name: AxisName) -> JointPart:
        here = lax.psum(part.here.astype(jnp.int32), axis_name) > 0
        return JointPart(lax.psum(part.value, axis_name), here)

    def crosses(self, axis: int) -> bool:
        """Whether parts of several devices must merge, their blocks lying along `axis`."""
        return self.everywhere and axis in self.over


@dataclass(frozen=True)
class Sum:
    """Sum over the negatives of a function of each score; the mean over locations."""

    of: Entry = _as_they_are
    over: Axes = EVERYTHING

    def part(self, block: Block) -> jax.Array:
        values = self.of(block.scores, block.extra).mean(2, keepdims=True)
        rows = jnp.sum(values, 1, keepdims=True, where=block.negatives)
        return jnp.sum(rows, 0, keepdims=True)

    def empty(self, like: jax.Array) -> jax.Array:
        return _zeros(like)

    def merge(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return a + b

    def across(self, part: jax.Array, axis_name: AxisName) -> jax.Array:
        return lax.psum(part, axis_name)

    def crosses(self, axis: int) -> bool:
        return axis in self.over


@dataclass(frozen=True)
class SumExp:
    """Sum of exp(score) over the negatives along `over`; the mean along locations (axis 2).

    With `others`, also the sum without its largest term: what is left when that term is taken out
    cannot be had by subtraction in floating point.
    """

    over: Axes
    of: Entry = _as_they_are
    others: bool = False

    def part(self, block: Block) -> SumExpPart:
        scores = jnp.where(block.negatives, self.of(block.scores, block.extra), -jnp.inf)
        # Of the negatives only: a large positive would send all of them to zero. Finite where
        # there are none.
        lowest = jnp.finfo(scores.dtype).min
        peak = lax.stop_gradient(jnp.max(scores, self.over, keepdims=True, initial=lowest))
        terms = jnp.exp(scores - peak)
        total = jnp.sum(terms, self.over, keepdims=True)
        others = jnp.zeros_like(total)
        if self.others:
            (axis,) = self.over
            largest = jnp.argmax(scores, axis, keepdims=True)
            index = lax.broadcasted_iota(largest.dtype, scores.shape, axis)
            others = jnp.sum(terms, axis, keepdims=True, where=index != largest)
        if 2 in self.over:
            total /= scores.shape[2]
        return SumExpPart(peak, total, others)

    def empty(self, like: SumExpPart) -> SumExpPart:
        part = jax.tree.map(_zeros, like)
        return part._replace(peak=part.peak + jnp.finfo(part.peak.dtype).min)

    def merge(self, a: SumExpPart, b: SumExpPart) -> SumExpPart:
        peak = jnp.maximum(a.peak, b.peak)
        a, b = _rescaled(a, peak), _rescaled(b, peak)
        others = jnp.where(a.peak >= b.peak, a.others + b.total, a.total + b.others)
        return SumExpPart(peak, a.total + b.total, others if self.others else a.others)

    def across(self, part: SumExpPart, axis_name: AxisName) -> SumExpPart:
        peak = lax.pmax(part.peak, axis_name)
        part = _rescaled(part, peak)
        total = lax.psum(part.total, axis_name)
        if not self.others:
            return SumExpPart(peak, total, part.others)
        index = lax.axis_index(axis_name)
        first = lax.pmin(jnp.where(part.peak == peak, index, lax.axis_size(axis_name)), axis_name)
        others = lax.psum(jnp.where(index == first, part.others, part.total), axis_name)
        return SumExpPart(peak, total, others)

    def crosses(self, axis: int) -> bool:
        return axis in self.over


Statistic = Joint | Sum | SumExp


def _rescaled(part: SumExpPart, peak: jax.Array) -> SumExpPart:
    """The same sums in units of exp(peak); `peak` stays that of the part."""
    factor = jnp.exp(part.peak - peak)
    return SumExpPart(part.peak, part.total * factor, part.others * factor)


def _zeros(like: jax.Array) -> jax.Array:
    zeros = jnp.zeros(like.shape, like.dtype)
    # Inside shard_map a loop's carry must vary over the same devices before and after.
    varying = tuple(getattr(like, "vma", None) or ())
    return lax.pcast(zeros, varying, to="varying") if varying else zeros


def log_total(part: SumExpPart, minus: jax.Array | float = 0.0) -> jax.Array:
    """log of the sum, less a number of its own size: subtracted first, nothing is lost at 1e4.

    -inf, with a gradient of 0, where nothing was summed.
    """
    return (part.peak - minus) + _safe_log(part.total)


def log_without(part: SumExpPart, scores: jax.Array, minus: jax.Array | float = 0.0) -> jax.Array:
    """log of the sum without the term exp(scores), which is one of those summed, less `minus`.

    A term of more than half the sum is the largest one, and the sum of the others is at hand;
    subtracting a smaller term loses one bit at most.
    """
    term = jnp.exp(jnp.minimum(scores - part.peak, 0.0))
    rest = jnp.where(term > 0.5 * part.total, part.others, part.total - term)
    return (part.peak - minus) + _safe_log(rest)


def _safe_log(values: jax.Array) -> jax.Array:
    some = values > 0.0
    return jnp.where(some, jnp.log(jnp.where(some, values, 1.0)), -jnp.inf)
