"""The taps that a method trains: those whose last parameters receive a gradient.

A network may have layers above the one that a loss reads. No gradient reaches them, so that their
taps are random functions of trained features and say nothing of the method. Both questions, the
parameters that a loss reaches and the last parameters of a tap, are answered by a walk through the
traced computation: without compiling, and whatever values the parameters begin with, so that a
weight that starts at zero is not mistaken for one without a gradient.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from dim_jax import contracts

# Their derivative is zero everywhere.
_FLAT = frozenset({"stop_gradient", "sign", "floor", "ceil", "round", "argmax", "argmin"})
# Their derivative is a given rule: they may pass through integers, such as the bits of numbers.
_CUSTOM = frozenset({"custom_jvp_call", "custom_vjp_call"})


class _Value(NamedTuple):
    """Parameters on which an array depends, one bit for each leaf, and whether on images too."""

    leaves: int = 0
    varies: bool = False


_NOTHING = _Value()
_Combine = Callable[[core.JaxprEqn, Sequence[_Value]], _Value]


def unreached_parameters(
    traced: core.ClosedJaxpr, step: contracts.Step, params: Mapping[str, Any]
) -> tuple[str, ...]:
    """The parameters that no gradient reaches: those on which their player's loss cannot depend.

    Args:
      traced: a method's loss, whose first inputs are the leaves of `params`.
      step: the shapes of its outputs.
      params: {player: tree}, arrays or their shapes.

    Returns:
      Their paths, such as "encoder/encoder/fc/kernel", in the order of the leaves.
    """
    leaves = jax.tree_util.tree_leaves_with_path(dict(params))
    inputs = [*_of_leaves(len(leaves)), *[_NOTHING] * (len(traced.jaxpr.invars) - len(leaves))]
    losses = _outputs(traced, step, inputs, _differentiate).losses
    return tuple(
        path
        for index, (path, (keys, _)) in enumerate(zip(_paths(params), leaves, strict=True))
        if not losses[keys[0].key].leaves >> index & 1
    )


def unreached_taps(
    method: contracts.Method, params, state, shape: Sequence[int], unreached: Iterable[str]
) -> tuple[str, ...]:
    """The taps of `method.represent` whose last parameters include one that no gradient reaches.

    The last parameters are those of the last operation between features and parameters: a trained
    layer on features that are not trained is reached, a layer that is not trained on features that
    are is not.

    Args:
      shape: [h,w,c] of an image.
      unreached: the result of `unreached_parameters`; nothing is traced if there are none.
    """
    if not (unreached := {*unreached}):
        return ()
    paths, images = _paths(params), jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    traced, shapes = jax.make_jaxpr(method.represent, return_shape=True)(params, state, images)
    rest = len(traced.jaxpr.invars) - len(paths) - 1
    inputs = [*_of_leaves(len(paths)), *[_NOTHING] * rest, _Value(varies=True)]
    taps = _outputs(traced, shapes, inputs, _represent)
    missing = sum(1 << index for index, path in enumerate(paths) if path in unreached)
    return tuple(tap for tap, last in taps.items() if last.leaves & missing)


def _of_leaves(count: int) -> list[_Value]:
    return [_Value(1 << index) for index in range(count)]


def _outputs(traced: core.ClosedJaxpr, shapes, inputs: Sequence[_Value], combine: _Combine) -> Any:
    """The values of the outputs of a traced function, as the tree that it returns."""
    return jax.tree.unflatten(jax.tree.structure(shapes), _walk(traced.jaxpr, inputs, combine))


def _paths(params: Mapping[str, Any]) -> list[str]:
    leaves = jax.tree_util.tree_leaves_with_path(dict(params))
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]


def _union(values: Iterable[_Value]) -> _Value:
    leaves, varies = 0, False
    for value in values:
        leaves, varies = leaves | value.leaves, varies or value.varies
    return _Value(leaves, varies)


def _differentiate(equation: core.JaxprEqn, values: Sequence[_Value]) -> _Value:
    """The leaves from which a gradient may flow through an operation."""
    return _NOTHING if equation.primitive.name in _FLAT else _union(values)


def _depend(equation: core.JaxprEqn, values: Sequence[_Value]) -> _Value:
    """The leaves on which the result of an operation depends."""
    del equation
    return _union(values)


def _represent(equation: core.JaxprEqn, values: Sequence[_Value]) -> _Value:
    """The last leaves: those that an operation brings to features, else those of its features."""
    del equation
    if not any(value.varies for value in values):
        return _union(values)
    brought = _union(value for value in values if not value.varies)
    features = _union(value for value in values if value.varies)
    return _Value(brought.leaves or features.leaves, True)


def _walk(jaxpr: core.Jaxpr, inputs: Sequence[_Value], combine: _Combine) -> list[_Value]:
    """The values of a jaxpr's outputs."""
    values = dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom):
        return _NOTHING if isinstance(atom, core.Literal) else values.get(atom, _NOTHING)

    for equation in jaxpr.eqns:
        results = _apply(equation, [read(atom) for atom in equation.invars], combine)
        if combine is _differentiate:
            results = [
                value if jnp.issubdtype(atom.aval.dtype, jnp.inexact) else _NOTHING
                for atom, value in zip(equation.outvars, results, strict=True)
            ]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: core.JaxprEqn, inputs: list[_Value], combine: _Combine) -> list[_Value]:
    """The values of an equation's outputs; of an operation of unknown structure all of all."""
    options = equation.params
    match equation.primitive.name:
        case "scan":
            consts, carried = options["num_consts"], options["num_carry"]
            return _repeat(options["jaxpr"].jaxpr, inputs, consts, carried, combine)[0]
        case "while":
            inputs = inputs[options["cond_nconsts"] :]
            carried = len(inputs) - options["body_nconsts"]
            body = options["body_jaxpr"].jaxpr
            after, before = _repeat(body, inputs, options["body_nconsts"], carried, combine)
            return [_union(pair) for pair in zip(after, before, strict=True)]
        case "cond":
            branches = [_walk(each.jaxpr, inputs[1:], combine) for each in options["branches"]]
            return [_union(each) for each in zip(*branches, strict=True)]
    if equation.primitive.name in _CUSTOM and combine is _differentiate:
        combine = _depend
    for name in ("jaxpr", "call_jaxpr"):
        inner = options.get(name)
        inner = getattr(inner, "jaxpr", inner)
        if isinstance(inner, core.Jaxpr) and len(inner.invars) == len(inputs):
            return _walk(inner, inputs, combine)
    return [combine(equation, inputs)] * len(equation.outvars)


def _repeat(
    body: core.Jaxpr, inputs: list[_Value], consts: int, carried: int, combine: _Combine
) -> tuple[list[_Value], list[_Value]]:
    """The values of a loop's outputs after a round, and those of what is carried before any round.

    What is carried depends on all that earlier rounds saw.
    """
    fixed, carry, scanned = (
        inputs[:consts],
        inputs[consts : consts + carried],
        inputs[consts + carried :],
    )
    while True:
        results = _walk(body, [*fixed, *carry, *scanned], combine)
        after = [_union(pair) for pair in zip(carry, results, strict=False)]
        if after == carry:
            return results, carry
        carry = after
