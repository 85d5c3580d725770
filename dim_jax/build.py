"""Builds objects from config blocks {"name": ..., **arguments}, by the table of roles.

A name is a public function in the module or modules of its role (or, for methods, a module of
`dim_jax.methods` with a `make`). Arguments whose key is itself a role are built first.
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
    # Several modules, because most kinds of encoders have layers that no other encoder has.
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
# Methods call these functions themselves, so arguments are bound with functools.partial.
_PARTIAL_ROLES = ("bound",)


def names(role: str) -> dict[str, Callable[..., Any] | None]:
    """The available names of a role: {name: function}; methods, imported when built, have None."""
    if isinstance(ROLES[role], tuple):
        return {name: f for path in ROLES[role] for name, f in _list_names(role, path).items()}
    return _list_names(role, ROLES[role])


def _list_names(role: str, path: str) -> dict[str, Callable[..., Any] | None]:
    module = importlib.import_module(path)
    if role == "method":
        return {entry.name: None for entry in pkgutil.iter_modules(module.__path__)}
    public = {
        name: f for name, f in inspect.getmembers(module, inspect.isfunction) if name[0] != "_"
    }
    if role == "bound":  # only bounds of scores: methods have no log-likelihoods and no MINE state
        return {name: f for name, f in public.items() if _takes_scores(f)}
    return {name: f for name, f in public.items() if f.__module__ == module.__name__}


def _takes_scores(function: Callable[..., Any]) -> bool:
    return hasattr(function, "facts") and function.facts[0].takes == "scores"


def make(role: str, spec: str | Mapping[str, Any] | None) -> Any:
    """The object that `spec` describes, or None for None.

    Args:
      role: a key of `ROLES`.
      spec: {"name": ..., **arguments}, or only the name.

    Raises:
      UserError: an unknown name, an unknown argument, or a missing one.
    """
    if spec is None:
        return None
    arguments = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in arguments:
        raise contracts.UserError(f"the block '{role}' has no name; set {role}.name")
    name = arguments.pop("name")
    available = names(role)
    if name not in available:
        raise contracts.unknown(role.replace("_", " "), name, available)
    function = available[name] or importlib.import_module(f"{ROLES[role]}.{name}").make
    built = {key: make(key, value) if key in ROLES else value for key, value in arguments.items()}
    _check_arguments(f"{role.replace('_', ' ')} '{name}'", function, built, role in _PARTIAL_ROLES)
    return functools.partial(function, **built) if role in _PARTIAL_ROLES else function(**built)


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
