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

from dim_jax.bounds import checks
from dim_jax.bounds.pairs import Pairs, Sharded, as_block
from dim_jax.bounds.statistics import AxisName, Block, Statistic

Tree = Any
Critic = Callable[[Tree, Tree], jax.Array]


class Blocks(Pairs):
    """The scores critic(anchors, candidates), in blocks of at most `block` rows and columns."""

    def __init__(
        self,
        anchors: Tree,
        candidates: Tree,
        critic: Critic,
        positives: jax.Array | None,
        block: int,
        axis_name: AxisName | None,
        sharded: Sharded,
    ):
        if block < 1:
            raise ValueError(f"block is {block}; a block has rows and columns; pass 1 or more")
        n, m = _length(anchors, "anchors"), _length(candidates, "candidates")
        self.block = (min(block, n), min(block, m))
        anchors, self.anchor_types = _at_least_float32(anchors)
        candidates, self.candidate_types = _at_least_float32(candidates)
        self.critic = critic
        self.anchor_blocks = _split(anchors, self.block[0])
        self.candidate_blocks = _split(candidates, self.block[1])
        scores = jax.eval_shape(
            self._scores, _first(self.anchor_blocks), _first(self.candidate_blocks)
        )
        _check_scores(scores, self.block)
        super().__init__((n, m, *scores.shape[2:]), positives, axis_name, sharded)

    def _reduce_here(self, statistics: Mapping[str, Statistic], extra: Tree) -> dict[str, Any]:
        n, m = self.shape[:2]
        rows, columns = self._rows(), self._columns(extra)
        # Not by eval_shape: inside shard_map the empty statistics must vary over the same devices.
        like = self._parts(statistics, _first(rows), _first(columns))
        empty = {name: statistics[name].empty(part) for name, part in like.items()}
        per_anchor = [name for name in statistics if 0 not in statistics[name].over]
        per_candidate = [name for name in statistics if 1 not in statistics[name].over]

        def visit(row, merged, xs):
            column, of_candidates = xs
            parts = self._parts(statistics, row, column)
            merged = merged | of_candidates
            merged = {name: statistics[name].merge(merged[name], parts[name]) for name in parts}
            return _part(merged, per_candidate)

        def visit_row(carry, row):
            whole, of_candidates = carry
            step = jax.checkpoint(functools.partial(visit, row), prevent_cse=False)
            start = whole | {name: empty[name] for name in per_anchor}
            merged, of_candidates = lax.scan(step, start, (columns, of_candidates))
            whole, of_anchors = _part(merged, per_anchor)
            return (whole, of_candidates), of_anchors

        rest, of_candidates = _part(empty, per_candidate)
        whole, _ = _part(rest, per_anchor)
        blocks = len(columns["index"])
        of_candidates = jax.tree.map(lambda x: jnp.stack([x] * blocks), of_candidates)
        (whole, of_candidates), of_anchors = lax.scan(visit_row, (whole, of_candidates), rows)
        return (
            whole
            | jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], of_anchors)
            | jax.tree.map(lambda x: _columns_joined(x)[:, :m], of_candidates)
        )

    def _rows(self) -> dict[str, Tree]:
        """Per block of rows: its place, its anchors, the columns of their positives."""
        n, m = self.shape[:2]
        columns = jnp.where((self.columns >= 0) & (self.columns < m), self.columns, -1)
        columns = _split(columns, self.block[0])
        places = jnp.arange(columns.size).reshape(columns.shape)
        return {
            "inside": places < n,
            "anchors": self.anchor_blocks,
            "positives": jnp.where(places < n, columns, -1),
        }

    def _columns(self, extra: Tree) -> dict[str, Tree]:
        """Per block of columns: its place, its candidates and their extra numbers."""
        size = self.block[1]
        blocks = -(-self.shape[1] // size)
        rows_first = jax.tree.map(lambda x: x.swapaxes(0, 1), extra)
        return {
            "index": jnp.arange(blocks * size).reshape(blocks, size),
            "candidates": self.candidate_blocks,
            "extra": _split(rows_first, size),
        }

    def _scores(self, anchors: Tree, candidates: Tree) -> jax.Array:
        return self.critic(
            jax.tree.map(lax.convert_element_type, anchors, self.anchor_types),
            jax.tree.map(lax.convert_element_type, candidates, self.candidate_types),
        )

    def _parts(self, statistics, row, column) -> dict[str, Any]:
        scores = self._scores(row["anchors"], column["candidates"])
        positives = row["positives"][:, None] == column["index"]
        negatives = ~positives
        if self.shape[0] % self.block[0]:
            negatives &= row["inside"][:, None]
        if self.shape[1] % self.block[1]:
            negatives &= column["index"] < self.shape[1]
        block = Block(
            as_block(scores, self.locations),
            positives[:, :, None],
            negatives[:, :, None],
            jax.tree.map(lambda x: x.swapaxes(0, 1), column["extra"]),
        )
        return {name: statistic.part(block) for name, statistic in statistics.items()}


def _length(features: Tree, name: str) -> int:
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(features)]
    if not shapes or any(
        not shape or shape[:1] != shapes[0][:1] or not shape[0] for shape in shapes
    ):
        raise ValueError(
            f"{name} have shapes {shapes}; blocks are cut along the first axis, which all arrays "
            "share and which is not empty; pass f[n, ...]"
        )
    return shapes[0][0]


def _at_least_float32(features: Tree) -> tuple[Tree, Tree]:
    """The features in a type in which their gradients add up over the blocks, and their own."""
    features = jax.tree.map(jnp.asarray, features)
    types = jax.tree.map(lambda x: x.dtype, features)

    def widened(x: jax.Array) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))

    return jax.tree.map(widened, features), types


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
        leaf = jnp.asarray(leaf)
        missing = -len(leaf) % size
        if missing:
            leaf = jnp.concatenate([leaf, jnp.repeat(leaf[-1:], missing, axis=0)])
        return leaf.reshape(-1, size, *leaf.shape[1:])

    return jax.tree.map(split, tree)


def _first(blocks: Tree) -> Tree:
    return jax.tree.map(lambda x: x[0], blocks)


def _part(parts: dict[str, Any], names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The dict without the names, and with them only."""
    return (
        {name: part for name, part in parts.items() if name not in names},
        {name: parts[name] for name in names},
    )


def _columns_joined(parts: jax.Array) -> jax.Array:
    """[blocks, 1, size, l] -> [1, blocks * size, l]"""
    return parts.swapaxes(0, 1).reshape(1, -1, parts.shape[-1])
