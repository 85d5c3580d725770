"""All pairs of anchors and candidates: a score matrix, or one block of it on each device.

A bound asks `reduce` for statistics and puts them together; it does not see whether the scores
are there (`Matrix`) or are made block by block (`blocks.Blocks`).
"""

import abc
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax.bounds import checks
from dim_jax.bounds.statistics import AxisName, Block, Entry, Statistic, Sum

Sharded = Literal["anchors", "candidates"]


class Pairs(abc.ABC):
    """What every bound sees of the scores, with the numbers of all devices together.

    shape: (n, m, *l) of this device's block
    anchors, candidates: numbers over all devices; each anchor has one positive
    negatives: the number of pairs that are not positives, locations not counted
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        positives: jax.Array | None,
        axis_name: AxisName | None,
        sharded: Sharded,
    ):
        if sharded not in get_args(Sharded):
            raise ValueError(f"sharded={sharded!r} is unknown; use one of {get_args(Sharded)}")
        self.shape = shape
        self.axis_name = axis_name
        self.sharded = sharded
        devices = checks.axis_size(axis_name)
        self.columns = checks.positive_columns(shape, positives, axis_name, sharded)
        self.anchors = shape[0] * (devices if sharded == "anchors" else 1)
        self.candidates = shape[1] * (devices if sharded == "candidates" else 1)
        self.locations = math.prod(shape[2:])
        self.negatives = float(self.anchors) * (self.candidates - 1)

    def reduce(self, extra: Any = (), **statistics: Statistic) -> dict[str, Any]:
        """The statistics by name, over all devices.

        One per anchor stays with the device that has the anchor if anchors are sharded, one per
        candidate likewise.

        Args:
          extra: numbers per candidate, f[1, m, l or 1], for the statistics' `of`.
        """
        parts = self._reduce_here(statistics, extra)
        if self.axis_name is None:
            return parts
        axis = 0 if self.sharded == "anchors" else 1
        for name, statistic in statistics.items():
            if statistic.crosses(axis):
                parts[name] = statistic.across(parts[name], self.axis_name)
        return parts

    def joint_mean(self, terms: jax.Array) -> jax.Array:
        """Mean over all positives and locations, f[], of terms f[n, 1, l] of each anchor's.

        Or of terms f[1, m, l] of each candidate's; candidates without a positive do not count.
        """
        per_anchor = terms.shape[:2] == (self.shape[0], 1)
        here = self._has_positive() if per_anchor else self._is_positive()
        total = jnp.sum(terms.mean(2, keepdims=True), where=here)
        if self.axis_name is not None:
            total = lax.psum(total, self.axis_name)
        return total / self.anchors

    def _has_positive(self) -> jax.Array:
        """Whether each anchor's positive is on this device, b[n, 1, 1]."""
        here = (self.columns >= 0) & (self.columns < self.shape[1])
        return jnp.asarray(here)[:, None, None]

    def _is_positive(self) -> jax.Array:
        """Whether each candidate has a positive on this device, b[1, m, 1]."""
        m = self.shape[1]
        columns = jnp.where(self.columns >= 0, self.columns, m)  # negative ones would wrap
        return jnp.zeros(m, bool).at[columns].set(True, mode="drop")[None, :, None]

    def negatives_mean(self, of: Entry, extra: Any = ()) -> jax.Array:
        """Mean over all negatives and locations of a function of each score, f[1, 1, 1]."""
        return self.reduce(extra, mean=Sum(of))["mean"] / self.negatives

    def per_candidate(self, numbers: jax.Array | float, name: str) -> jax.Array:
        """Numbers f[] or f[m, *l or 1s] of this device's candidates as f[1, m, l or 1]."""
        numbers = jnp.asarray(numbers)
        numbers = numbers.astype(jnp.promote_types(numbers.dtype, jnp.float32))
        m, locations = self.shape[1], self.shape[2:]
        if numbers.ndim == 0:
            return jnp.broadcast_to(numbers, (1, m, 1))
        by_location = numbers.shape[1:]
        if numbers.shape[0] != m or (by_location != locations and math.prod(by_location) != 1):
            raise ValueError(
                f"{name} has shape {numbers.shape} and scores {self.shape}; it has one number per "
                f"candidate, or per candidate and location; pass shape ({m},) or "
                f"{(m, *locations)}"
            )
        return numbers.reshape(1, m, -1)

    def value(self, value: jax.Array) -> jax.Array:
        """The scalar that all devices hold; see `replicated`."""
        return replicated(value.reshape(()), self.axis_name)

    def require_negatives(self, of: Literal["anchors", "candidates"] = "candidates") -> None:
        if getattr(self, of) < 2:
            raise ValueError(
                f"scores have shape {self.shape}: a batch of 1 has no negatives; at least 2 "
                f"are needed along axis {int(of == 'candidates')}; use a larger batch"
            )

    def require_one_positive_per_candidate(self, name: str) -> None:
        checks.one_per_column(self.columns, name)

    def require_square(self, name: str) -> None:
        if self.anchors != self.candidates:
            raise ValueError(
                f"{name} needs a positive for every candidate and got {self.anchors} anchors with "
                f"{self.candidates} candidates; pass a square matrix, without a queue"
            )

    @abc.abstractmethod
    def _reduce_here(self, statistics: Mapping[str, Statistic], extra: Any) -> dict[str, Any]:
        """The statistics of this device's block."""


class Matrix(Pairs):
    """The scores f[n, m, *l] themselves."""

    def __init__(
        self,
        scores: jax.Array,
        positives: jax.Array | None,
        axis_name: AxisName | None,
        sharded: Sharded,
    ):
        scores = jnp.asarray(scores)
        checks.are_scores(scores.shape, scores.dtype)
        super().__init__(scores.shape, positives, axis_name, sharded)
        self.scores = as_block(scores, self.locations)

    def _reduce_here(self, statistics: Mapping[str, Statistic], extra: Any) -> dict[str, Any]:
        columns = self.columns
        if isinstance(columns, np.ndarray) and np.array_equal(columns, np.arange(len(columns))):
            columns = jnp.arange(len(columns))  # a mask that the compiler can split over devices
        positives = (columns[:, None] == jnp.arange(self.shape[1]))[:, :, None]
        block = Block(self.scores, positives, ~positives, extra)
        return {name: statistic.part(block) for name, statistic in statistics.items()}


def of(
    scores: jax.Array | Pairs,
    positives: jax.Array | None,
    axis_name: AxisName | None,
    sharded: Sharded,
) -> Pairs:
    """The pairs that a bound was called with, checked, with at least one negative per anchor."""
    if not isinstance(scores, Pairs):
        scores = Matrix(scores, positives, axis_name, sharded)
    scores.require_negatives()
    return scores


def as_block(scores: jax.Array, locations: int) -> jax.Array:
    """f[n, m, *l] -> f[n, m, l], at least float32."""
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    return scores.reshape(*scores.shape[:2], locations)


def replicated(value: jax.Array, axis_name: AxisName | None) -> jax.Array:
    """The scalar that all devices hold, so that their gradients add up to its gradient.

    Where JAX does not track which values are replicated (`pmap`), the transpose of a psum is a
    psum: differentiating gives the gradient of the sum of all copies of the value.
    """
    if axis_name is None or _tracks_replication(axis_name):
        return value
    return with_gradient_of(value / lax.axis_size(axis_name), value)


@jax.custom_jvp
def with_gradient_of(objective: jax.Array, value: jax.Array) -> jax.Array:
    """The number `value` with the gradient of `objective`; also where one is infinite."""
    del objective
    return value


@with_gradient_of.defjvp
def _(primals, tangents):
    return with_gradient_of(*primals), tangents[0]


def _tracks_replication(axis_name: AxisName) -> bool:
    def varying_and_replicated() -> tuple[jax.Array, jax.Array]:
        index = lax.axis_index(axis_name)
        return index, lax.psum(index, axis_name)

    varying, replicated = jax.eval_shape(varying_and_replicated)
    return varying != replicated
