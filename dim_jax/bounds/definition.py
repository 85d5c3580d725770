"""The decorators that make estimators of formulas, and list them."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp

from dim_jax.bounds import blockwise
from dim_jax.bounds.blocks import Blocks, Critic
from dim_jax.bounds.labels import Facts
from dim_jax.bounds.pairs import Matrix, Pairs, Sharded, replicated
from dim_jax.bounds.statistics import AxisName

Function = Callable[..., Any]

_SHARED = "Arguments, returned value and errors that all bounds share: see `dim_jax.bounds`."


def bound(*facts: Facts) -> Callable[[Function], Function]:
    """Makes a bound of a formula, a function (pairs, *, options) -> value of `pairs.Pairs`.

    The result is the dense form (scores, positives=None, excluded=None, *, options,
    axis_name=None, sharded="anchors"), with the annotations and the docstring of the formula and

        facts      one entry per variant; those of log-likelihoods take `log_conditional`
        formula    the decorated function, for other formulas
        blockwise  the form (anchors, candidates, critic, ...) of `bounds.blockwise`

    The forms of this package's bounds are in `bounds` and `bounds.blockwise` by their names.
    """

    def define(formula: Function) -> Function:
        dense = _dense(formula, takes=facts[0].takes)
        dense.formula, dense.blockwise = formula, over_blocks(formula)
        dense.blockwise.facts = facts
        _publish(dense.blockwise, formula.__module__)
        return estimator(*facts)(dense)

    return define


def estimator(*facts: Facts) -> Callable[[Function], Function]:
    """Gives a function that takes no pairs its facts, and a place in the list of estimators."""

    def define(function: Function) -> Function:
        function.facts = facts
        _publish(function, function.__module__)
        return function

    return define


def _dense(formula: Function, takes: str) -> Function:
    written = inspect.signature(formula)
    scores, positives, excluded, *devices = inspect.signature(Matrix).parameters.values()
    if takes == "log-likelihoods":
        scores = scores.replace(name="log_conditional")
    _, *options = written.parameters.values()
    signature = written.replace(parameters=[scores, positives, excluded, *options, *devices])

    @wraps(formula)
    def dense(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{formula.__name__}() {error}") from None
        given.apply_defaults()
        options = given.kwargs
        over = {parameter.name: options.pop(parameter.name) for parameter in devices}
        return _value(formula, Matrix(*given.args, **over), options)

    annotations = {name: p.annotation for name, p in signature.parameters.items()}
    dense.__annotations__ = annotations | {"return": signature.return_annotation}
    dense.__signature__ = signature
    dense.__doc__ = f"{inspect.cleandoc(formula.__doc__ or '')}\n\n{_SHARED}\n"
    return dense


def over_blocks(formula: Function) -> Function:
    """The form (anchors, candidates, critic, ...) of `bounds.blockwise`, of any formula."""

    def estimate(
        anchors: Any,
        candidates: Any,
        critic: Critic = blockwise.dot,
        positives: jax.Array | None = None,
        excluded: jax.Array | None = None,
        *,
        block: int | tuple[int, int] | None = None,
        axis_name: AxisName | None = None,
        sharded: Sharded = "anchors",
        **options: Any,
    ) -> Any:
        if block is None:
            block = 1024 if critic is blockwise.dot else 128
        given = dict(critic=critic, positives=positives, excluded=excluded, block=block)
        pairs = Blocks(anchors, candidates, **given, axis_name=axis_name, sharded=sharded)
        return _value(formula, pairs, options)

    *given, _ = inspect.signature(estimate).parameters.values()
    _, *options = inspect.signature(formula).parameters.values()
    estimate.__signature__ = inspect.signature(formula).replace(parameters=[*given, *options])
    estimate.__name__ = estimate.__qualname__ = formula.__name__
    estimate.__module__ = blockwise.__name__
    estimate.__doc__ = f"`bounds.{formula.__name__}` block by block; see this module.\n"
    return estimate


def _value(formula: Function, pairs: Pairs, options: dict[str, Any]) -> Any:
    """The value of a formula, and what else it returns, as scalars that all devices hold.

    NaN if traced masks, which cannot be refused, have another number of positives in a row than 1,
    exclude one, or leave an anchor without a negative.
    """
    value = formula(pairs, **options)
    if pairs.valid is not None:
        value = jax.tree.map(lambda x: jnp.where(pairs.valid, x, jnp.nan), value)
    return jax.tree.map(lambda x: replicated(x, pairs.axis_name), value)


def _publish(function: Function, defined_in: str) -> None:
    """Enters a function of this package in its module and in the module's `__all__`."""
    if not defined_in.startswith(f"{__package__}."):
        return
    module = sys.modules[function.__module__]
    setattr(module, function.__name__, function)
    vars(module).setdefault("__all__", []).append(function.__name__)
