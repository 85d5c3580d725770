"""A bound of all pairs of a batch and its metrics, without the matrix of their scores.

Scored at a time are all anchors with the candidates of a block of images (`bounds.blockwise`), in
the forward pass and again in the backward pass. In a program whose arrays are sharded over one mesh
axis, each device scores its candidates with all anchors, which alone are gathered.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from dim_jax import bounds, contracts
from dim_jax.bounds import definition, one_pass
from dim_jax.bounds.pairs import Pairs
from dim_jax.bounds.statistics import Positive, Sum

Tree = Any
MIB = 2**20
HELD = 64 * MIB  # bytes of float32 numbers of the pairs of a device that are held at once
BLOCK = 4 * MIB  # bytes of a block's, where there are more


def images_per_block(
    anchors: int, candidates: jax.Array, *, axes: int = 1, numbers: int = 1
) -> int | None:
    """The number of images of a block, by size; None if all scores are held at once.

    Args:
      candidates: f[m, *l, c]; each location is scored with each of the `anchors` of all devices.
      axes, numbers: the axes of a candidate and what is held of each pair (`nets.pure.Critic`).
    """
    mesh = _mesh_of(candidates)
    images = len(candidates) // (mesh.size if mesh else 1)
    locations = math.prod(candidates.shape[1:-axes])
    bytes_per_image = 4 * anchors * locations * numbers
    if images * bytes_per_image <= HELD:
        return None
    most = max(1, BLOCK // bytes_per_image)
    divisor = max(size for size in range(1, most + 1) if images % size == 0)
    return divisor if 2 * divisor >= most else most  # the last block is filled by a copy


def formula_of(bound: Callable[..., jax.Array]) -> Callable[[Pairs], jax.Array] | None:
    """The formula of a bound with its options bound, None where it has a dense form only."""
    function, options = bound, {}
    while isinstance(function, functools.partial):
        function, options = function.func, {**function.keywords, **options}
    formula = getattr(function, "formula", None)
    return formula and functools.partial(formula, **options)


def compute(
    name: str,
    bound: Callable[..., jax.Array],
    score: Callable[[Tree, Tree, Tree], jax.Array],
    params: Tree,
    anchors: Tree,
    candidates: Tree,
    positives: np.ndarray,
    images: int,
) -> tuple[jax.Array, contracts.Scalars]:
    """The bound and what `score_metrics.compute` gives, of the scores f[n,m,*l].

    Args:
      bound: one with a formula (`formula_of`).
      score: (params, anchors f[n,...], candidates f[c,...]) -> f[n,c,*l], differentiable; all three
        are trees, and scores of a pair do not depend on other pairs.
      positives: i[n], columns of all m.
      images: the number of candidates of a block.
    """
    nats = functools.partial(bounds.infonce.formula, negatives="candidates")
    formula = one_pass.with_constants(formula_of(bound), nats, _mean_scores)
    over_blocks = definition.over_blocks(formula)
    block = (len(positives), images)

    def evaluate(params, *features_and_positives, **devices):
        critic = functools.partial(score, params)
        anchors, candidates, columns = features_and_positives
        return over_blocks(anchors, candidates, critic, columns, block=block, **devices)

    mesh = _mesh_of(jax.tree.leaves(candidates)[0])
    if mesh is not None:
        evaluate = functools.partial(_on_devices, evaluate, mesh)
    value, nats, (joint, product) = evaluate(params, anchors, candidates, positives)
    metrics = {"nats": nats, "score_joint": joint, "score_product": product}
    return value, {f"{name}/{key}": number for key, number in metrics.items()}


def _on_devices(evaluate, mesh, params, anchors, candidates, positives):
    """`evaluate` with the candidates of each device, and with all anchors."""
    (axis,) = mesh.axis_names
    share = len(jax.tree.leaves(candidates)[0]) // mesh.size
    several = not np.array_equal(positives, np.arange(len(positives)))  # anchors of an image

    @jax.shard_map(
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(), PartitionSpec(axis)),
        out_specs=PartitionSpec(),
    )
    def on_device(params, anchors, candidates):
        # Else their gradients would be summed over devices in every block.
        params, anchors = lax.pcast((params, anchors), axis, to="varying")
        columns = None
        if several:
            first = share * lax.axis_index(axis)
            here = (positives >= first) & (positives < first + share)
            columns = jnp.where(here, positives - first, -1)
        devices = dict(axis_name=axis, sharded="candidates")
        return evaluate(params, anchors, candidates, columns, **devices)

    return on_device(params, anchors, candidates)


def _mean_scores(pairs: Pairs) -> tuple[jax.Array, jax.Array]:
    """The mean scores of the positives and of all other pairs."""
    joint, product = pairs.reduce(Positive(), Sum())
    return pairs.mean(joint), product / pairs.negatives


def _mesh_of(array: jax.Array) -> Any:
    """The mesh over which the compiler splits the first axis of arrays like this; None without."""
    mesh = jax.typeof(array).sharding.mesh
    one = mesh.axis_types == (AxisType.Auto,) and mesh.size > 1
    return mesh if one and len(array) % mesh.size == 0 else None
