"""All pairs by blocks of a critic: the matrix is never held, forward or backward.

One pass over the blocks merges the statistics of each; the backward pass makes each block's scores
again. Memory is that of one block and of the features.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dim_jax.bounds import checks, exclusion
from dim_jax.bounds.pairs import Pairs, as_block
from dim_jax.bounds.statistics import Block, Statistic

Tree = Any
Critic = Callable[[Tree, Tree], jax.Array]
Statistics = Mapping[int, Statistic]
Parts = dict[int, Any]  # of statistics


class Blocks(Pairs):
    """The scores critic(anchors, candidates), in blocks of at most `block` rows and columns."""

    def __init__(
        self,
        *features: Tree,
        critic: Critic,
        positives: Any,
        excluded: Any,
        block: int | tuple[int, int],
        **devices: Any,
    ):
        sizes = block if isinstance(block, tuple) else (block, block)
        if min(sizes) < 1:
            raise ValueError(f"block is {block}; a block has rows and columns; pass 1 or more")
        names = ("anchors", "candidates")
        n, m = (_length(*named) for named in zip(features, names, strict=True))
        self.block = (min(sizes[0], n), min(sizes[1], m))
        features, self.types = zip(*map(_at_least_float32, features), strict=True)
        self.features = tuple(map(_split, features, self.block))
        self.critic = critic
        scores = jax.eval_shape(self._scores, *map(_first, self.features))
        _check_scores(scores, self.block)
        super().__init__((n, m, *scores.shape[2:]), scores.dtype, positives, excluded, **devices)
        if self.excluded is not None and self.excluded.ndim == 2:  # filled up to the last block
            missing = ((0, -n % self.block[0]), (0, -m % self.block[1]))
            self.mask = jnp.pad(jnp.asarray(self.excluded), missing)

    def _reduce_here(self, statistics, extra):
        n, m = self.shape[:2]
        rows, columns = self._rows(), self._columns(extra)
        per_anchor = [i for i in statistics if 0 not in statistics[i].over]
        per_candidate = [i for i in statistics if 1 not in statistics[i].over]
        empty = self._empty(statistics, _first(rows), _first(columns))

        def visit(row, merged, xs):
            column, of_candidates = xs
            parts = self._parts(statistics, row, column)
            merged = merged | of_candidates
            merged = {i: statistics[i].merge(merged[i], parts[i]) for i in parts}
            return _apart(merged, per_candidate)

        def visit_row(carry, row):
            of_all, of_candidates = carry
            step = jax.checkpoint(functools.partial(visit, row), prevent_cse=False)
            start = of_all | {i: empty[i] for i in per_anchor}
            merged, of_candidates = lax.scan(step, start, (columns, of_candidates))
            of_all, of_anchors = _apart(merged, per_anchor)
            return (of_all, of_candidates), of_anchors

        rest, of_candidates = _apart(empty, per_candidate)
        of_all, _ = _apart(rest, per_anchor)
        blocks = len(columns["index"])
        of_candidates = jax.tree.map(lambda x: jnp.stack([x] * blocks), of_candidates)
        (of_all, of_candidates), of_anchors = lax.scan(visit_row, (of_all, of_candidates), rows)
        return (
            of_all
            | jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], of_anchors)
            | jax.tree.map(
                lambda x: x.swapaxes(0, 1).reshape(1, -1, x.shape[-1])[:, :m], of_candidates
            )
        )

    def _empty(self, statistics: Statistics, row: Tree, column: Tree) -> Parts:
        """The statistics of no pairs, as those of one row and of one column, with all masked.

        Not from shapes: inside shard_map they must vary over the same devices. Not from a complete
        block: XLA would compute its constants while it compiles.
        """
        one_row, one_column = _first_entry(row), _first_entry(column)
        by_candidate = {i: each for i, each in statistics.items() if 1 not in each.over}
        empty = self._parts(statistics, row, one_column, masked=True)
        empty |= self._parts(by_candidate, one_row, column, masked=True)
        return lax.stop_gradient(empty)

    def _rows(self) -> dict[str, Tree]:
        """Per block of rows: its place and anchors, their positives and excluded pairs."""
        n, m = self.shape[:2]
        columns = jnp.where((self.columns >= 0) & (self.columns < m), self.columns, -1)
        columns = _split(columns, self.block[0])
        inside = jnp.arange(columns.size).reshape(columns.shape) < n
        positives = jnp.where(inside, columns, -1)
        rows = {"inside": inside, "anchors": self.features[0], "positives": positives}
        if self.excluded is None:
            return rows
        if self.excluded.ndim == 2:  # sliced where it is used
            return rows | {
                "index": jnp.arange(columns.size, dtype=jnp.int32).reshape(columns.shape)
            }
        return rows | {"excluded": _split(jnp.asarray(self.excluded), self.block[0])}

    def _excluded(self, row: Tree, index: jax.Array) -> jax.Array:
        """Whether pairs of a row of blocks and of the columns i[1, c] are excluded, b[r, c]."""
        if "excluded" in row:
            return exclusion.mask_of(row["excluded"], index[0])
        start, size = (row["index"][0], index[0, 0]), (len(row["index"]), index.shape[1])
        return lax.dynamic_slice(self.mask, start, size)

    def _columns(self, extra: Tree) -> dict[str, Tree]:
        """Per block of columns: its place, its candidates and their extra numbers."""
        size = self.block[1]
        blocks = -(-self.shape[1] // size)
        index = jnp.arange(blocks * size, dtype=jnp.int32).reshape(blocks, size)
        extra = _split(_swapped(extra), size)
        return {"index": index, "candidates": self.features[1], "extra": extra}

    def _scores(self, *features: Tree) -> jax.Array:
        return self.critic(*jax.tree.map(lax.convert_element_type, features, self.types))

    def _parts(self, statistics: Statistics, row: Tree, column: Tree, masked=False) -> Parts:
        """The statistics of one block; with every pair masked, those of no pairs."""
        scores = self._scores(row["anchors"], column["candidates"])
        index = column["index"][None]
        positives = row["positives"][:, None] == index
        negatives = ~positives
        if self.excluded is not None:
            negatives &= ~self._excluded(row, index)
        if self.shape[0] % self.block[0]:
            negatives &= row["inside"][:, None]
        if self.shape[1] % self.block[1]:
            negatives &= index < self.shape[1]
        masks = ((mask & (not masked))[:, :, None] for mask in (positives, negatives))
        block = Block(as_block(scores, self.locations), *masks, _swapped(column["extra"]))
        return {i: statistic.part(block) for i, statistic in statistics.items()}


def _length(features: Tree, name: str) -> int:
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(features)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or lengths & {(), (0,)}:
        raise ValueError(
            f"{name} have shapes {shapes}; blocks are cut along the first axis, which all arrays "
            "share and which is not empty; pass f[n, ...]"
        )
    return shapes[0][0]


def _at_least_float32(features: Tree) -> tuple[Tree, Tree]:
    """The features in a type in which their gradients add up over the blocks, and their own."""
    features = jax.tree.map(jnp.asarray, features)

    def widened(x: jax.Array) -> jax.Array:
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return x.astype(jnp.promote_types(x.dtype, jnp.float32)) if floating else x

    return jax.tree.map(widened, features), jax.tree.map(lambda x: x.dtype, features)


def _check_scores(scores: Any, block: tuple[int, int]) -> None:
    shape = getattr(scores, "shape", None)
    if shape is None or shape[:2] != block:
        got = jax.tree.structure(scores) if shape is None else f"shape {shape}"
        raise ValueError(
            f"critic gives {got} for {block[0]} anchors and {block[1]} candidates; a bound "
            f"needs one score per pair, f[{block[0]}, {block[1]}, *locations]; score all pairs"
        )
    checks.are_scores(shape, scores.dtype)


def _split(tree: Tree, size: int) -> Tree:
    """f[n, ...] -> f[blocks, size, ...], the last row repeated to fill the last block."""

    def split(leaf: jax.Array) -> jax.Array:
        missing = -len(leaf) % size
        if missing:
            leaf = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)])
        return leaf.reshape(-1, size, *leaf.shape[1:])

    return jax.tree.map(split, tree)


def _first(blocks: Tree) -> Tree:
    return jax.tree.map(lambda x: x[0], blocks)


def _first_entry(block: Tree) -> Tree:
    return jax.tree.map(lambda x: x[:1], block)


def _swapped(tree: Tree) -> Tree:
    """[a, b, ...] -> [b, a, ...]"""
    return jax.tree.map(lambda x: x.swapaxes(0, 1), tree)


def _apart(parts: Parts, chosen: list[int]) -> tuple[Parts, Parts]:
    """The parts that are not chosen, and those that are."""
    rest = {i: part for i, part in parts.items() if i not in chosen}
    return rest, {i: parts[i] for i in chosen}
