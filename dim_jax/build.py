"""Turns {"name": ..., **arguments} into the object of that name: the only table of roles.

A name is a function of its role's module or modules (or, for methods, a module of `dim_jax.methods`
with a `make`). Arguments whose key is itself a role are built first.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from dim_jax import contracts

ROLES = {
    "method": "dim_jax.methods",
    # Several modules: strided-crop encoders and AMDIM's have parts that no other encoder has, and
    # those of several views are made of others.
    "encoder": tuple(
        f"dim_jax.nets.{module}"
        for module in ("encoders", "folded", "amdim", "multiview", "manifold", "exemplar")
    ),
    "embedding": "dim_jax.nets.heads",
    "context": "dim_jax.nets.contexts",
    "global_critic": "dim_jax.nets.critics",
    "local_critic": "dim_jax.nets.critics",
    "discriminator": "dim_jax.nets.heads",
    "classifier": "dim_jax.nets.heads",
    "coordinates": "dim_jax.nets.heads",
    "decoder": "dim_jax.nets.heads",
    "generator": "dim_jax.nets.heads",
    "prior": "dim_jax.losses.priors",
    "bound": "dim_jax.bounds",
}
# These roles are themselves the function that a method calls, so arguments are bound, not passed.
_BOUND_ROLES = ("bound",)


def names(role: str) -> dict[str, Callable[..., Any] | None]:
    """What can be built for a role: {name: function}; methods are imported only when built."""
    if isinstance(ROLES[role], tuple):
        return {name: f for path in ROLES[role] for name, f in _names_in(role, path).items()}
    return _names_in(role, ROLES[role])


def _names_in(role: str, path: str) -> dict[str, Callable[..., Any] | None]:
    module = importlib.import_module(path)
    if role == "method":
        return {entry.name: None for entry in pkgutil.iter_modules(module.__path__)}
    public = {
        name: f for name, f in inspect.getmembers(module, inspect.isfunction) if name[0] != "_"
    }
    if role == "bound":  # those of scores alone: a method has no log-likelihoods, no MINE state
        return {name: f for name, f in public.items() if _takes_scores(f)}
    return {name: f for name, f in public.items() if f.__module__ == module.__name__}


def _takes_scores(function: Callable[..., Any]) -> bool:
    return hasattr(function, "facts") and function.facts[0].takes == "scores"


def make(role: str, spec: str | Mapping[str, Any] | None) -> Any:
    """The object that `spec` describes, or None for None.

    Args:
      role: a key of `ROLES`.
      spec: {"name": ..., **arguments}, or the name alone.

    Raises:
      UserError: an unknown name, an argument the object does not take, or a missing one.
    """
    if spec is None:
        return None
    arguments = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in arguments:
        raise contracts.UserError(f"the block '{role}' has no name; set {role}.name")
    name = arguments.pop("name")
    known = names(role)
    if name not in known:
        raise contracts.unknown(role.replace("_", " "), name, known)
    function = known[name] or importlib.import_module(f"{ROLES[role]}.{name}").make
    built = {key: make(key, value) if key in ROLES else value for key, value in arguments.items()}
    _check_arguments(f"{role.replace('_', ' ')} '{name}'", function, built, role in _BOUND_ROLES)
    return functools.partial(function, **built) if role in _BOUND_ROLES else function(**built)


def _check_arguments(
    what: str, function: Callable[..., Any], given: Mapping[str, Any], partial: bool
) -> None:
    parameters = inspect.signature(function).parameters
    for key in given:
        if key not in parameters:
            raise contracts.unknown(f"argument of the {what}", key, parameters)
    missing = [
        key
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty and key not in given
    ]
    if missing and not partial:
        raise contracts.UserError(f"the {what} needs {', '.join(missing)}; set them in the config")
