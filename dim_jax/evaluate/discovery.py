"""Evaluations by name: the modules of `probes`, `measures` and `figures` with an `EVALUATION`."""

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from dim_jax import contracts, settings
from dim_jax.evaluate.evaluation import Evaluation

_ROOMS = ("probes", "measures", "figures")


def names() -> list[str]:
    """The names of all evaluations."""
    return sorted(filter(exists, _places()))


def exists(name: str) -> bool:
    """Whether this is the present name of an evaluation."""
    return name in _places() and hasattr(_module(name), "EVALUATION")


def current(name: str) -> str:
    """The present name of an evaluation, given that or a former one.

    Raises:
      UserError: no evaluation has or had the name.
    """
    name = settings.RENAMED_EVALUATIONS.get(name, name)
    if not exists(name):
        raise contracts.unknown("evaluation", name, names())
    return name


def load(name: str) -> Evaluation:
    """The evaluation of a name, present or former; errors as `current`."""
    return _module(current(name)).EVALUATION


def _module(name: str) -> ModuleType:
    # That of the given name only: some import libraries that take a second.
    return importlib.import_module(_places()[name])


@functools.cache
def _places() -> Mapping[str, str]:
    """The full names of all modules of the rooms, by their names in them."""
    places = {}
    for room in _ROOMS:
        package = importlib.import_module(f"{__package__}.{room}")
        for entry in pkgutil.iter_modules(package.__path__):
            places[entry.name] = f"{package.__name__}.{entry.name}"
    return places
