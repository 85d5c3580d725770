"""All pairs of anchors and candidates: a score matrix, or one block of it on each device.

A bound asks `reduce` for statistics and puts them together; it does not see whether the scores
are there (`Matrix`) or are made block by block (`blocks.Blocks`).
"""

import abc
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dim_jax.bounds import checks, exclusion
from dim_jax.bounds.statistics import AxisName, Block, Shape, Statistic

Sharded = Literal["anchors", "candidates"]
Positives = jax.Array | None


class Pairs(abc.ABC):
    """What every bound sees of the scores, with the numbers of all devices together.

    shape: (n, m, *l) of this device's block
    dtype: that of the scores, at least float32
    valid: whether every anchor has one positive and a negative, b[] over all devices; None where
      it is certain
    anchors, candidates: numbers over all devices; each anchor has one positive
    negatives: the number of pairs that are neither positive nor excluded, locations not counted
    """

    def __init__(
        self,
        shape: Shape,
        dtype: jnp.dtype,
        positives: Positives,
        excluded: jax.Array | None,
        axis_name: AxisName | None,
        sharded: Sharded,
    ):
        if sharded not in get_args(Sharded):
            raise ValueError(f"sharded={sharded!r} is unknown; use one of {get_args(Sharded)}")
        self.shape = shape
        self.dtype = jnp.promote_types(dtype, jnp.float32)
        self.axis_name = axis_name
        self.sharded = sharded
        devices = checks.axis_size(axis_name)
        self.columns = checks.positive_columns(shape, positives, axis_name, sharded)
        self.valid = checks.each_has_one(shape, positives, axis_name, sharded)
        self.anchors = shape[0] * (devices if sharded == "anchors" else 1)
        self.candidates = shape[1] * (devices if sharded == "candidates" else 1)
        self.locations = math.prod(shape[2:])
        checks.at_least_two(self.candidates, 1, shape)
        self.excluded = None
        if excluded is not None:
            concrete = checks.is_concrete(excluded, axis_name)
            self.excluded = exclusion.checked(shape, excluded, axis_name, concrete)
            self._check_excluded()
        self.negatives = self._count_negatives()

    @functools.cached_property
    def candidates_of_anchor(self) -> int | jax.Array:
        """The number of candidates that are not excluded, f[n, 1, 1]; one for all where certain."""
        left = self.candidates if self.excluded is None else self._left_in_rows
        return self._as_one(left, (-1, 1, 1))

    @functools.cached_property
    def anchors_of_candidate(self) -> int | jax.Array:
        """The number of anchors that are not excluded, f[1, m, 1]; one for all where certain."""
        left = self.anchors if self.excluded is None else self._left_in_columns
        return self._as_one(left, (1, -1, 1))

    @functools.cached_property
    def _left_in_rows(self) -> jax.Array | np.ndarray:
        excluded = exclusion.count_in_rows(self.excluded, self.shape[1])
        return self.candidates - self._over_devices(excluded, across="candidates")

    @functools.cached_property
    def _left_in_columns(self) -> jax.Array | np.ndarray:
        excluded = exclusion.count_in_columns(self.excluded, self.shape[1])
        return self.anchors - self._over_devices(excluded, across="anchors")

    def _as_one(self, left: int | jax.Array | np.ndarray, shape: Shape) -> int | jax.Array:
        if isinstance(left, np.ndarray) and (left == left[0]).all():
            return int(left[0])
        return left if isinstance(left, int) else jnp.asarray(left, self.dtype).reshape(shape)

    def _over_devices(self, numbers: jax.Array, across: Sharded) -> jax.Array:
        """The sum over devices, where each holds a part of that side."""
        parts = self.axis_name is not None and self.sharded == across
        return lax.psum(numbers, self.axis_name) if parts else numbers

    def _count_negatives(self) -> float | jax.Array:
        left = self.candidates_of_anchor
        if isinstance(left, int):
            return float(self.anchors) * (left - 1)
        return self._over_devices(jnp.sum(left - 1), across="anchors")

    def _check_excluded(self) -> None:
        """Positives are not excluded and every anchor keeps a negative: refused, or NaN."""
        wrong = exclusion.has_positive(self.excluded, self.columns, self.shape[1])
        if self.axis_name is None and isinstance(wrong, np.ndarray):
            exclusion.refuse_positives(wrong, self.columns)
        else:
            self._invalid_where(wrong)
        if self.axis_name is None and isinstance(self._left_in_rows, np.ndarray):
            exclusion.refuse_none_left(self._left_in_rows, "row")
        else:
            self._invalid_where(self._left_in_rows < 2)

    def _check_excluded_anchors(self) -> None:
        """Every candidate with a positive keeps a negative: refused, or NaN."""
        left, columns, m = self._left_in_columns, self.columns, self.shape[1]
        if (
            self.axis_name is None
            and isinstance(left, np.ndarray)
            and isinstance(columns, np.ndarray)
        ):
            exclusion.refuse_none_left(np.where(np.isin(np.arange(m), columns), left, 2), "column")
        else:
            here = (columns >= 0) & (columns < m)
            self._invalid_where(here & (jnp.asarray(left)[jnp.where(here, columns, 0)] < 2))

    def _invalid_where(self, wrong: jax.Array) -> None:
        wrong = jnp.sum(jnp.asarray(wrong, jnp.int32))
        if self.axis_name is not None:
            wrong = lax.psum(wrong, self.axis_name)
        self.valid = (wrong == 0) if self.valid is None else self.valid & (wrong == 0)

    def reduce(self, *statistics: Statistic, extra: Any = ()) -> tuple[Any, ...]:
        """The value of each statistic, over all devices.

        One per anchor stays with the device that has the anchor if anchors are sharded, one per
        candidate likewise. One per candidate is refused where a candidate has two positives.

        Args:
          extra: numbers per candidate, f[1, m, l or 1], for the statistics' `of`.
        """
        if any(1 not in statistic.over for statistic in statistics):
            checks.at_least_two(self.anchors, 0, self.shape)
            checks.one_per_column(self.columns)
            if self.excluded is not None:
                self._check_excluded_anchors()
        parts = self._reduce_here(dict(enumerate(statistics)), extra)
        if self.axis_name is not None:
            for i, statistic in enumerate(statistics):
                if (0 if self.sharded == "anchors" else 1) in statistic.crosses:
                    parts[i] = statistic.across(parts[i], self.axis_name)
        return tuple(parts[i] for i in range(len(statistics)))

    def mean(self, terms: jax.Array) -> jax.Array:
        """Mean over all positives and locations, f[], of terms f[n, 1, l] of each anchor's.

        Or of terms f[1, m, l] of each candidate's; candidates without a positive do not count.
        """
        n, m = self.shape[:2]
        here = (self.columns >= 0) & (self.columns < m)  # the anchors whose positive is here
        if terms.shape[:2] == (n, 1):
            counted = jnp.asarray(here)[:, None, None]
        else:
            columns = jnp.where(here, self.columns, m)
            counted = jnp.zeros(m, bool).at[columns].set(True, mode="drop")[None, :, None]
        total = jnp.sum(terms.mean(2, keepdims=True), where=counted)
        if self.axis_name is not None:
            total = lax.psum(total, self.axis_name)
        return total / self.anchors

    def per_candidate(self, numbers: jax.Array | float, name: str) -> jax.Array:
        """Numbers f[] or f[m, *l or 1s] of this device's candidates as f[1, m, l or 1]."""
        # Of a Python number the type of the scores, also where JAX makes it float64.
        numbers = jnp.asarray(numbers, jnp.result_type(numbers, self.dtype))
        m, locations = self.shape[1], self.shape[2:]
        if numbers.ndim == 0:
            return jnp.broadcast_to(numbers, (1, m, 1))
        by_location = numbers.shape[1:]
        if numbers.shape[0] != m or (by_location != locations and math.prod(by_location) != 1):
            raise ValueError(
                f"{name} has shape {numbers.shape} and scores {self.shape}; it has one number per "
                f"candidate, or per candidate and location; pass shape ({m},) or {(m, *locations)}"
            )
        return numbers.reshape(1, m, -1)

    @abc.abstractmethod
    def _reduce_here(self, statistics: Mapping[int, Statistic], extra: Any) -> dict[int, Any]:
        """The statistics of this device's block."""


class Matrix(Pairs):
    """The scores f[n, m, *l] themselves."""

    def __init__(
        self,
        scores: jax.Array,
        positives: Positives = None,
        excluded: jax.Array | None = None,
        *,
        axis_name: AxisName | None = None,
        sharded: Sharded = "anchors",
    ):
        scores = jnp.asarray(scores)
        checks.are_scores(scores.shape, scores.dtype)
        super().__init__(scores.shape, scores.dtype, positives, excluded, axis_name, sharded)
        self.scores = as_block(scores, self.locations)

    def _reduce_here(self, statistics, extra):
        columns = _splittable(self.columns)
        positives = columns[:, None] == jnp.arange(self.shape[1], dtype=jnp.int32)[None]
        positives = positives[:, :, None]
        # Not as they are: JAX counts negative numbers from the end.
        here = jnp.where((columns >= 0) & (columns < self.shape[1]), columns, self.shape[1])
        by_index = here if _has_fast_indices(self.scores) else None
        block = Block(self.scores, positives, ~positives, extra, by_index)
        if self.excluded is not None:
            block = self._without_excluded(block)
        return {i: statistic.part(block) for i, statistic in statistics.items()}

    def _without_excluded(self, block: Block) -> Block:
        excluded = _splittable(self.excluded)
        if excluded.ndim == 1:
            excluded = exclusion.mask_of(excluded, jnp.arange(self.shape[1], dtype=jnp.int32))
        negatives = block.negatives & ~jnp.asarray(excluded)[:, :, None]
        return block._replace(negatives=negatives, excludes=True)


def _splittable(columns: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """The same; the compiler can split the mask of a computed arange over devices."""
    if isinstance(columns, np.ndarray) and np.array_equal(columns, np.arange(len(columns))):
        return jnp.arange(len(columns), dtype=jnp.int32)
    return columns


def log(number: float | jax.Array) -> float | jax.Array:
    """The logarithm; of a Python number one, which takes the type of what it meets."""
    return jnp.log(number) if isinstance(number, jax.Array) else math.log(number)


def _has_fast_indices(scores: jax.Array) -> bool:
    """Whether positives are faster by index than by mask; not where the compiler splits scores."""
    mesh = jax.typeof(scores).sharding.mesh
    return jax.default_backend() == "cpu" and (mesh.size <= 1 or mesh.are_all_axes_manual)


def as_block(scores: jax.Array, locations: int) -> jax.Array:
    """f[n, m, *l] -> f[n, m, l], at least float32."""
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    return scores.reshape(*scores.shape[:2], locations)


def replicated(value: jax.Array, axis_name: AxisName | None) -> jax.Array:
    """The scalar that all devices hold, so that their gradients add up to its gradient.

    Where JAX does not track which values are replicated (`pmap`), the transpose of a psum is a
    psum: differentiating gives the gradient of the sum of all copies of the value.
    """
    value = jnp.reshape(value, ())
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
