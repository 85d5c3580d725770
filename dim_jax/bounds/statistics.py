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


class LogSum(NamedTuple):
    """A sum of exponentials, exp(peak) * total."""

    peak: jax.Array
    total: jax.Array


class ButLargest(NamedTuple):
    """A sum of exponentials, and the same without one of its largest terms."""

    everything: LogSum
    others: LogSum


class _Added:
    """Parts that merge by addition."""

    over: Axes

    def empty(self, like: jax.Array) -> jax.Array:
        return jnp.zeros_like(like)

    def merge(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return a + b

    def across(self, part: jax.Array, axis_name: AxisName) -> jax.Array:
        return lax.psum(part, axis_name)

    def crosses(self, axis: int) -> bool:
        """Whether parts of several devices must merge, their blocks lying along `axis`."""
        return axis in self.over


@dataclass(frozen=True)
class Joint(_Added):
    """The score of the one positive of each row, or of the at most one of each column; else 0.

    It stays with the device that has the positive, unless it is wanted `everywhere`.
    """

    over: Axes
    of: Entry = _as_they_are
    everywhere: bool = False

    def part(self, block: Block) -> jax.Array:
        scores = self.of(block.scores, block.extra)
        return jnp.sum(scores, self.over, keepdims=True, where=block.positives)

    def crosses(self, axis: int) -> bool:
        return self.everywhere and axis in self.over


@dataclass(frozen=True)
class Sum(_Added):
    """Sum over the negatives of a term of each score; the mean over locations."""

    of: Entry = _as_they_are
    term: Callable[[jax.Array], jax.Array] = lambda scores: scores
    over: Axes = EVERYTHING

    def part(self, block: Block) -> jax.Array:
        # Masked at every step: what overflows at a positive would make its gradient no number.
        scores = jnp.where(block.negatives, block.scores, 0.0)
        scores = jnp.where(block.negatives, self.of(scores, block.extra), 0.0)
        values = self.term(scores).mean(2, keepdims=True)
        rows = jnp.sum(values, 1, keepdims=True, where=block.negatives)
        return jnp.sum(rows, 0, keepdims=True)


@dataclass(frozen=True)
class SumExp:
    """Sum of exp(score) over the negatives along `over`; the mean along locations (axis 2)."""

    over: Axes
    of: Entry = _as_they_are

    def part(self, block: Block) -> LogSum:
        part = _log_sum(self._scores(block), self.over)
        return part._replace(total=part.total / block.scores.shape[2]) if 2 in self.over else part

    def _scores(self, block: Block) -> jax.Array:
        return jnp.where(block.negatives, self.of(block.scores, block.extra), -jnp.inf)

    def empty(self, like: LogSum) -> LogSum:
        peak, total = jax.tree.map(jnp.zeros_like, like)
        return LogSum(peak + jnp.finfo(peak.dtype).min, total)

    def merge(self, a: LogSum, b: LogSum) -> LogSum:
        peak = jnp.maximum(a.peak, b.peak)
        return LogSum(peak, _in_units_of(peak, a) + _in_units_of(peak, b))

    def across(self, part: LogSum, axis_name: AxisName) -> LogSum:
        peak = lax.pmax(part.peak, axis_name)
        return LogSum(peak, lax.psum(_in_units_of(peak, part), axis_name))

    def crosses(self, axis: int) -> bool:
        return axis in self.over


@dataclass(frozen=True)
class SumExpButLargest(SumExp):
    """`SumExp` along one axis, and the same without its largest term.

    What is left when that term is taken out cannot be had by subtraction in floating point.
    """

    def part(self, block: Block) -> ButLargest:
        scores = self._scores(block)
        (axis,) = self.over
        largest = jnp.argmax(scores, axis, keepdims=True)
        index = lax.broadcasted_iota(largest.dtype, scores.shape, axis)
        others = jnp.where(index == largest, -jnp.inf, scores)
        return ButLargest(_log_sum(scores, self.over), _log_sum(others, self.over))

    def empty(self, like: ButLargest) -> ButLargest:
        return ButLargest(*(super(SumExpButLargest, self).empty(part) for part in like))

    def merge(self, a: ButLargest, b: ButLargest) -> ButLargest:
        merge = super().merge
        first = a.everything.peak >= b.everything.peak
        others = merge(
            _either(first, a.others, b.others), _either(first, b.everything, a.everything)
        )
        return ButLargest(merge(a.everything, b.everything), others)

    def across(self, part: ButLargest, axis_name: AxisName) -> ButLargest:
        everything = super().across(part.everything, axis_name)
        index, devices = lax.axis_index(axis_name), lax.axis_size(axis_name)
        holds = part.everything.peak == everything.peak
        first = lax.pmin(jnp.where(holds, index, devices), axis_name)
        rest = _either(index == first, part.others, part.everything)
        return ButLargest(everything, super().across(rest, axis_name))


Statistic = Joint | Sum | SumExp


def _log_sum(scores: jax.Array, over: Axes) -> LogSum:
    """Of scores that are -inf where masked."""
    if over == EVERYTHING:  # by way of the rows, which CPUs sum in vectors
        rows = _log_sum(scores, ROWS)
        peak = jnp.max(rows.peak, 0, keepdims=True)
        return LogSum(peak, jnp.sum(_in_units_of(peak, rows), 0, keepdims=True))
    # On CPU a last axis of 1 makes the exponentials four times slower.
    single = scores.shape[2] == 1
    scores = scores[:, :, 0] if single else scores
    axes = tuple(axis for axis in over if axis < scores.ndim)
    # The peak of the negatives only: a large positive would send all of them to zero. Finite
    # where there are none.
    lowest = jnp.finfo(scores.dtype).min
    peak = lax.stop_gradient(jnp.max(scores, axes, keepdims=True, initial=lowest))
    part = LogSum(peak, jnp.sum(jnp.exp(scores - peak), axes, keepdims=True))
    return LogSum(part.peak[:, :, None], part.total[:, :, None]) if single else part


def _in_units_of(peak: jax.Array, part: LogSum) -> jax.Array:
    return part.total * jnp.exp(part.peak - peak)


def _either(first: jax.Array, a: LogSum, b: LogSum) -> LogSum:
    return jax.tree.map(lambda x, y: jnp.where(first, x, y), a, b)


def log_total(part: LogSum, minus: jax.Array | float = 0.0) -> jax.Array:
    """log of the sum, less a number of its own size: subtracted first, nothing is lost at 1e4.

    -inf, with a gradient of 0, where nothing was summed.
    """
    return (part.peak - minus) + _safe_log(part.total)


def log_without(part: ButLargest, scores: jax.Array, minus: jax.Array | float = 0.0) -> jax.Array:
    """log of the sum without the term exp(scores), which is one of those summed, less `minus`.

    A term of more than half the sum is the largest one, and the sum of the others is at hand;
    subtracting a smaller term loses one bit at most.
    """
    everything, others = part
    above = scores - everything.peak
    term = jnp.exp(jnp.where(above < 1.0, above, 0.0))  # only what is masked later is above 0
    rest = (everything.peak - minus) + _safe_log(everything.total - term)
    return jnp.where(term > 0.5 * everything.total, log_total(others, minus), rest)


def _safe_log(values: jax.Array) -> jax.Array:
    some = values > 0.0
    return jnp.where(some, jnp.log(jnp.where(some, values, 1.0)), -jnp.inf)
