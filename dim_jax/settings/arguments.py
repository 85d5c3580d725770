"""The valid values of the arguments that a config's blocks pass on, by annotation and by name.

These are the arguments of methods, networks, bounds, optimizers, schedules and evaluations, which
have no settings of their own: their functions are the definition, and here are their ranges.
"""

import collections.abc
import inspect
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from dim_jax.settings.checks import POSITIVE, at_least, is_integer, is_number
from dim_jax.settings.definition import Check, UserError

_COUNT = at_least(1)
_WEIGHT = Check(
    lambda value: is_number(value) and 0 <= value < math.inf, "set it to 0 or a larger number"
)
_BELOW_ONE = Check(
    lambda value: is_number(value) and 0 <= value < 1, "set it to a number from 0 to less than 1"
)
_SHARE = Check(lambda value: is_number(value) and 0 <= value <= 1, "set it to a number from 0 to 1")
_COUNTS = """
    augmentations base blocks channels classes couplings depth dimensions directions draws every
    examples features fitted hidden images iterations judged kernels labels_per_class locations
    n_depth n_rkhs ndf negatives offsets outputs points pools sampled_globals
    sampled_locations shape side strides subsets transformations views width widths
"""
_WEIGHTS = """
    absolute alpha at_epochs beta covariance end entropy eps eps_root gamma information
    initial_scale invariance l2 learning_rate off_diagonal penalty relative supervised variance
    warmup_epochs weight_decay
"""
_POSITIVES = (
    "clip clip_norm epsilon factor gain limit reconstruction scale temperature trust_coefficient"
)
_RATES = "b1 b2 decay dropout momentum z_decay"  # of averages, and of units that are dropped
_FROM_ZERO = "block frozen_steps local offset queue queue_from warmup_steps"
# By the name of the argument, or of function and argument where the name alone has other values.
RANGES: Mapping[str, Check] = {
    **dict.fromkeys(_COUNTS.split(), _COUNT),
    **dict.fromkeys(_WEIGHTS.split(), _WEIGHT),
    **dict.fromkeys(_POSITIVES.split(), POSITIVE),
    **dict.fromkeys(_RATES.split(), _BELOW_ONE),
    **dict.fromkeys(_FROM_ZERO.split(), at_least(0)),
    "tail_and_dot.pools": at_least(0),  # 0: none
    "eighths": Check(
        lambda value: is_integer(value) and 1 <= value <= 4, "set it to an integer from 1 to 4"
    ),
    **dict.fromkeys(("candidates", "group", "knots", "prototypes"), at_least(2)),
    **dict.fromkeys(
        ("targets", "log_baseline"),
        Check(lambda value: is_number(value) and math.isfinite(value), "set it to a finite number"),
    ),
    **dict.fromkeys(("interpolated.alpha", "sigreg.weight"), _SHARE),
    "smile.tau": Check(  # infinite: Donsker-Varadhan
        lambda value: is_number(value) and value > 0, "set it to more than 0"
    ),
}


def range_of(function: str, argument: str) -> Check | None:
    """The range of a numeric argument of the function of this name."""
    return RANGES.get(f"{function}.{argument}") or RANGES.get(argument)


def check(place: str, function: str, parameter: inspect.Parameter, value: Any) -> None:
    """Checks the value that a config gives for an argument.

    Annotations of other types than numbers, texts and sequences of them are not checked.

    Args:
      place: the key in the config, for the message.
      function: the name of the function in the config.

    Raises:
      UserError: a value of another type than the annotation's, or a number out of range.
    """
    kinds, names = _kinds(parameter.annotation)
    optional = parameter.default is None or not {*kinds, *names} or types.NoneType in kinds
    if value is None and optional:
        return
    limits = range_of(function, parameter.name) if is_numeric(parameter) else None
    if isinstance(value, str) and str in kinds:
        limits = None  # a number or a name
    several = isinstance(value, tuple | list)
    if names:
        advice = "" if value in names else f"set it to {' or '.join(map(repr, names))}"
    elif value is None or not any(_is_of(value, kind) for kind in kinds or (Any,)):
        numbers = limits and not any(_is_several(kind) for kind in kinds)
        advice = limits.advice if numbers else f"set it to {_words(kinds)}"
    elif limits:
        wrong = [each for each in (value if several else (value,)) if not limits.holds(each)]
        advice = limits.advise(wrong[0]) if wrong else ""
        advice = advice.replace("set it", "set each of its numbers") if several else advice
    else:
        advice = ""
    if advice:
        none = ", or to None" if optional and kinds else ""
        raise UserError(f"{place} is {value!r}; {advice}{none}")


def is_numeric(parameter: inspect.Parameter) -> bool:
    """Whether the argument can be a number or several."""
    kinds, _ = _kinds(parameter.annotation)
    return any(kind in (int, float) or _element(kind) in (int, float) for kind in kinds)


_SIMPLE = {bool: "True or False", int: "an integer", float: "a number", str: "a string"}
_SEVERAL = {
    int: "several integers, such as (1, 2)",
    float: "several numbers, such as (0.5, 1.0)",
    str: "several names, such as ('y',) or, in JSON, [\"y\"]",
}


def _kinds(annotation: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The types of an annotation's union, and the values of a Literal instead of them."""
    if annotation in (inspect.Parameter.empty, Any):
        return (), ()
    if typing.get_origin(annotation) is Literal:
        return (), typing.get_args(annotation)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return typing.get_args(annotation), ()
    return (annotation,), ()


def _is_several(kind: Any) -> bool:
    sequences = (tuple, collections.abc.Sequence, collections.abc.Iterable)
    return (typing.get_origin(kind) or kind) in sequences


def _element(kind: Any) -> Any:
    """The type of the elements of a sequence type, Any where there is none."""
    return (typing.get_args(kind) or (Any,))[0] if _is_several(kind) else Any


def _length(kind: Any) -> int | None:
    """The length of a tuple type with one type per element, None for any length."""
    elements = typing.get_args(kind)
    is_fixed = typing.get_origin(kind) is tuple and Ellipsis not in elements
    return len(elements) if is_fixed else None


def _words(kinds: tuple[Any, ...]) -> str:
    words = [
        _words_of_several(kind) if _is_several(kind) else _SIMPLE.get(kind)
        for kind in kinds
        if kind is not types.NoneType
    ]
    return " or ".join(filter(None, words)) or "a block with a name"


def _words_of_several(kind: Any) -> str:
    if (length := _length(kind)) is not None:
        return f"{length} values"
    return _SEVERAL.get(_element(kind), "several values")


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; of those that are not checked all values are."""
    if _is_several(kind):
        return (
            isinstance(value, tuple | list)
            and _length(kind) in (None, len(value))
            and all(_is_of(each, _element(kind)) for each in value)
        )
    if kind is float:
        return is_number(value)
    if kind in _SIMPLE or kind is types.NoneType:
        return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return True
