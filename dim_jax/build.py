"""Builds objects from config blocks {"name": ..., **arguments}, by the table of roles.

A name is a public function in the module or modules of its role (or, for methods, a module of
`dim_jax.methods` with a `make`). A name with dots is that of a function of another package, such as
"package.module.function" (for methods, of a module with a `make`, "package.module"). Arguments
whose key is itself a role are built first.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from dim_jax import contracts, settings
from dim_jax.nets import pure

ROLES = {
    "method": "dim_jax.methods",
    # Several modules, because most kinds of encoders have layers that no other encoder has.
    "encoder": tuple(
        f"dim_jax.nets.{module}"
        for module in (
            "encoders",
            "folded",
            "contextual",
            "amdim",
            "multiview",
            "manifold",
            "exemplar",
            "resnet",
            "resnet_gan",
            "spectral",
        )
    ),
    "embedding": "dim_jax.nets.heads",
    "context": "dim_jax.nets.contexts",
    "global_critic": ("dim_jax.nets.critics", "dim_jax.nets.tail_critics"),
    "local_critic": "dim_jax.nets.critics",
    "discriminator": "dim_jax.nets.heads",
    "classifier": "dim_jax.nets.heads",
    "coordinates": "dim_jax.nets.heads",
    "decoder": "dim_jax.nets.heads",
    "generator": ("dim_jax.nets.heads", "dim_jax.nets.generators"),
    "projector": "dim_jax.nets.heads",
    "predictor": "dim_jax.nets.heads",
    "prior": "dim_jax.losses.priors",
    "bound": "dim_jax.bounds",
}
# Methods call these functions themselves, so arguments are bound with functools.partial.
_PARTIAL_ROLES = ("bound",)
_KINDS = {"method": contracts.Method, "encoder": pure.Net}


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
    """Whether a function needs scores and otherwise what a config can hold."""
    if not hasattr(function, "facts") or not function.facts[0].takes.startswith("scores"):
        return False
    _, *options = inspect.signature(function).parameters.values()
    needed = [each for each in options if each.default is each.empty]
    return all(settings.arguments.is_numeric(each) for each in needed)


def make(role: str, spec: str | Mapping[str, Any] | None, place: str = "") -> Any:
    """The object that `spec` describes, or None for None.

    Args:
      role: a key of `ROLES`.
      spec: {"name": ..., **arguments}, or only the name.
      place: the key of the block in the config, for messages; by default the role.

    Raises:
      UserError: an unknown name, an unknown argument, a missing one, or one that is not valid.
    """
    if spec is None:
        return None
    place = place or role
    if not isinstance(spec, str | Mapping):
        raise contracts.UserError(f"{place} is {spec!r}; set it to a block with a name")
    arguments = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in arguments:
        raise contracts.UserError(f"the block '{role}' has no name; set {place}.name")
    name = arguments.pop("name")
    function = _find(role, name)
    what = f"{role.replace('_', ' ')} '{name}'"
    parameters = inspect.signature(function).parameters
    _check_arguments(what, parameters, arguments, role in _PARTIAL_ROLES)
    for key, value in arguments.items():
        if key in ROLES:
            arguments[key] = make(key, value, f"{place}.{key}")
        settings.arguments.check(f"{place}.{key}", name, parameters[key], arguments[key])
    if role in _PARTIAL_ROLES:
        return functools.partial(function, **arguments)
    made = function(**arguments)
    if not isinstance(made, kind := _KINDS.get(role, object)):
        raise contracts.UserError(
            f"the {what} returned {type(made).__name__}; return a {kind.__module__}.{kind.__name__}"
        )
    return made


def _find(role: str, name: Any) -> Callable[..., Any]:
    if isinstance(name, str) and "." in name and all(map(str.isidentifier, name.split("."))):
        return _load(role, name)
    available = names(role)
    if name not in available:
        raise contracts.unknown(role.replace("_", " "), name, available)
    return available[name] or importlib.import_module(f"{ROLES[role]}.{name}").make


def _load(role: str, path: str) -> Callable[..., Any]:
    """The function at a path with dots, outside of this package."""
    module, _, name = (path, "", "make") if role == "method" else path.rpartition(".")
    what = role.replace("_", " ")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise contracts.UserError(
                f"the {what} '{path}' is not there: no module '{error.name}' in this folder, "
                "beside the config or among the installed packages; correct the name or set "
                "PYTHONPATH"
            ) from error
        raise
    if not callable(getattr(loaded, name, None)):
        where = getattr(loaded, "__file__", None) or module
        raise contracts.UserError(
            f"the {what} '{path}' is not there: {where} has no function {name}; add it"
        )
    return getattr(loaded, name)


def _check_arguments(
    what: str, parameters: Mapping[str, Any], given: Mapping[str, Any], partial: bool
) -> None:
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
