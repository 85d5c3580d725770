"""Statistics of a score matrix, of which a bound is a formula.

Each is three functions: the part of one block, the merge of two parts, and the merge over devices.
A dense matrix is one block; a blockwise pass merges many; several devices merge theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

AxisName = str | tuple[str, ...]
Axes = tuple[int, ...]
Shape = tuple[int, ...]


class Per:
    """The axes (anchors, candidates, locations) that a statistic reduces, by what is left."""

    NOTHING: Axes = (0, 1, 2)
    ANCHOR: Axes = (1, 2)
    ANCHOR_AND_LOCATION: Axes = (1,)
    CANDIDATE_AND_LOCATION: Axes = (0,)


class Block(NamedTuple):
    """A block of scores; axes stay in place in all parts, so that they broadcast.

    `extra` holds numbers per candidate, f[1, m, l or 1], that the bound compares scores with.
    """

    scores: jax.Array  # f[n, m, l], at least float32, locations flattened (l = 1 without)
    positives: jax.Array  # b[n, m, 1]
    negatives: jax.Array  # b[n, m, 1]; both False where excluded or where a block was padded
    extra: Any = ()
    # i[n], the column of each row's positive, m where it has none here; None where only the masks
    # know, or where the masks are as fast.
    columns: Any = None
    excludes: bool = False  # whether more than the positives is no negative


Entry = Callable[[jax.Array, Any], jax.Array]  # (scores, extra) -> scores, entry by entry


def unchanged(scores: jax.Array, extra: Any) -> jax.Array:
    return scores


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LogSum:
    """The logarithm of a sum, peak + log(total), from which numbers of its size can be subtracted.

    `log_sum - t` and `t - log_sum` subtract the peak first, so that nothing is lost at 1e4. The
    logarithm of an empty sum is -inf, with a gradient of 0.
    """

    peak: jax.Array
    total: jax.Array

    def __sub__(self, number: jax.Array | float) -> jax.Array:
        summed = self.total > 0.0
        log = jnp.where(summed, jnp.log(jnp.where(summed, self.total, 1.0)), -jnp.inf)
        return (self.peak - number) + log

    def __rsub__(self, number: jax.Array | float) -> jax.Array:
        return -(self - number)

    def value(self) -> jax.Array:
        return self - 0.0

    def in_units_of(self, peak: jax.Array) -> jax.Array:
        """The sum itself, divided by exp(peak)."""
        return self.total * jnp.exp(self.peak - peak)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LeaveOneOutSum:
    """The logarithm of a sum of exponentials, and of the same sum without its largest term."""

    everything: LogSum
    others: LogSum

    def without(self, scores: jax.Array, minus: jax.Array) -> jax.Array:
        """The sum without the term exp(scores), which is one of those summed, less `minus`.

        A term of more than half the sum is the largest one, and the sum of the others is at hand;
        subtracting a smaller term loses one bit at most.
        """
        peak, total = self.everything.peak, self.everything.total
        above = scores - peak
        term = jnp.exp(jnp.where(above < 1.0, above, 0.0))  # only what is masked later is above 0
        rest = LogSum(peak, total - term) - minus
        return jnp.where(term > 0.5 * total, self.others - minus, rest)


class _Added:
    """Parts that merge by addition."""

    over: Axes
    crosses = property(lambda self: self.over)  # axes along which parts on devices must merge

    def merge(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return a + b

    def across(self, part: jax.Array, axis_name: AxisName) -> jax.Array:
        return lax.psum(part, axis_name)


@dataclass(frozen=True)
class Positive(_Added):
    """The score of the one positive of each row, or of the at most one of each column; else 0.

    It stays with the device that has the positive, unless it is wanted `everywhere`.
    """

    over: Axes = Per.ANCHOR_AND_LOCATION
    of: Entry = unchanged
    everywhere: bool = False
    crosses = property(lambda self: self.over if self.everywhere else ())

    def part(self, block: Block) -> jax.Array:
        scores = self.of(block.scores, block.extra)
        if block.columns is not None and self.over == Per.ANCHOR_AND_LOCATION:
            return _at_columns(scores, block.positives, block.columns)
        return jnp.sum(scores, self.over, keepdims=True, where=block.positives)


@dataclass(frozen=True)
class Sum(_Added):
    """Sum over the negatives of a term of each score; the mean over locations."""

    of: Entry = unchanged
    term: Callable[[jax.Array], jax.Array] = lambda scores: scores
    over: Axes = Per.NOTHING

    def part(self, block: Block) -> jax.Array:
        # Masked at every step: what overflows at a positive would make its gradient no number.
        scores = jnp.where(block.negatives, block.scores, 0.0)
        scores = jnp.where(block.negatives, self.of(scores, block.extra), 0.0)
        values = self.term(scores).mean(2, keepdims=True)
        rows = jnp.sum(values, 1, keepdims=True, where=block.negatives)
        return jnp.sum(rows, 0, keepdims=True)


@dataclass(frozen=True)
class LogSumExp:
    """log of the sum of exp(score) over the negatives along `over`; of the mean along locations."""

    over: Axes = Per.NOTHING
    of: Entry = unchanged
    crosses = property(lambda self: self.over)

    def part(self, block: Block) -> LogSum:
        part = _log_sum(self._scores(block), self.over)
        return LogSum(part.peak, part.total / block.scores.shape[2]) if 2 in self.over else part

    def _scores(self, block: Block) -> jax.Array:
        if block.columns is not None and not block.excludes:
            scores = self.of(block.scores, block.extra)
            return _without_columns(scores, block.positives, block.columns)
        return jnp.where(block.negatives, self.of(block.scores, block.extra), -jnp.inf)

    def merge(self, a: LogSum, b: LogSum) -> LogSum:
        peak = jnp.maximum(a.peak, b.peak)
        return LogSum(peak, a.in_units_of(peak) + b.in_units_of(peak))

    def across(self, part: LogSum, axis_name: AxisName) -> LogSum:
        peak = lax.pmax(part.peak, axis_name)
        return LogSum(peak, lax.psum(part.in_units_of(peak), axis_name))


@dataclass(frozen=True)
class LeaveOneOut(LogSumExp):
    """`LogSumExp` along one axis, also without any one term.

    What is left when a dominant term is taken out cannot be had by subtraction in floating point.
    """

    def part(self, block: Block) -> LeaveOneOutSum:
        scores = self._scores(block)
        (axis,) = self.over
        largest = jnp.argmax(scores, axis, keepdims=True)
        index = lax.broadcasted_iota(largest.dtype, scores.shape, axis)
        others = jnp.where(index == largest, -jnp.inf, scores)
        return LeaveOneOutSum(_log_sum(scores, self.over), _log_sum(others, self.over))

    def merge(self, a: LeaveOneOutSum, b: LeaveOneOutSum) -> LeaveOneOutSum:
        merge = super().merge
        first = a.everything.peak >= b.everything.peak
        others = _either(first, a.others, b.others), _either(first, b.everything, a.everything)
        return LeaveOneOutSum(merge(a.everything, b.everything), merge(*others))

    def across(self, part: LeaveOneOutSum, axis_name: AxisName) -> LeaveOneOutSum:
        everything = super().across(part.everything, axis_name)
        index, devices = lax.axis_index(axis_name), lax.axis_size(axis_name)
        holds = part.everything.peak == everything.peak
        first = lax.pmin(jnp.where(holds, index, devices), axis_name)
        rest = _either(index == first, part.others, part.everything)
        return LeaveOneOutSum(everything, super().across(rest, axis_name))


Statistic = Positive | Sum | LogSumExp


# By index, these two read or write one number of a row, where XLA's CPU backend stores a copy of
# the matrix for the mask. Their derivatives are by mask, fused into the rest of the backward pass.


@jax.custom_jvp
def _at_columns(scores: jax.Array, mask: jax.Array, columns: jax.Array) -> jax.Array:
    """The score f[n,1,l] of each row at its column; 0 where that is outside."""
    del mask
    return jnp.take_along_axis(scores, columns[:, None, None], 1, mode="fill", fill_value=0.0)


@_at_columns.defjvp
def _(primals, tangents):
    moved = jnp.sum(tangents[0], 1, keepdims=True, where=primals[1])
    return _at_columns(*primals), moved


@jax.custom_jvp
def _without_columns(scores: jax.Array, mask: jax.Array, columns: jax.Array) -> jax.Array:
    """The scores f[n,m,l] with -inf at the column of each row."""
    del mask
    return scores.at[jnp.arange(len(columns)), columns].set(-jnp.inf, mode="drop")


@_without_columns.defjvp
def _(primals, tangents):
    return _without_columns(*primals), jnp.where(primals[1], 0.0, tangents[0])


def _log_sum(scores: jax.Array, over: Axes) -> LogSum:
    """Of scores that are -inf where masked."""
    if over == Per.NOTHING:  # by way of the rows, which CPUs sum in vectors
        rows = _log_sum(scores, Per.ANCHOR)
        peak = jnp.max(rows.peak, 0, keepdims=True)
        return LogSum(peak, jnp.sum(rows.in_units_of(peak), 0, keepdims=True))
    # On CPU a last axis of 1 makes the exponentials four times slower.
    single = scores.shape[2] == 1
    scores = scores[:, :, 0] if single else scores
    axes = tuple(axis for axis in over if axis < scores.ndim)
    # The peak of the negatives only: a large positive would send all of them to zero. Finite
    # where there are none.
    lowest = jnp.finfo(scores.dtype).min
    peak = lax.stop_gradient(jnp.max(scores, axes, keepdims=True, initial=lowest))
    part = LogSum(peak, jnp.sum(jnp.exp(scores - peak), axes, keepdims=True))
    return jax.tree.map(lambda x: x[:, :, None], part) if single else part


def _either(first: jax.Array, a: LogSum, b: LogSum) -> LogSum:
    return jax.tree.map(lambda x, y: jnp.where(first, x, y), a, b)
