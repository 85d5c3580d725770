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
    return sorted(_modules())


def current(name: str) -> str:
    """The present name of an evaluation, given that or a former one.

    Raises:
      UserError: no evaluation has or had the name.
    """
    name = settings.RENAMED_EVALUATIONS.get(name, name)
    if name not in _modules():
        raise contracts.unknown("evaluation", name, names())
    return name


def load(name: str) -> Evaluation:
    """The evaluation of a name, present or former; errors as `current`."""
    return _modules()[current(name)].EVALUATION


@functools.cache
def _modules() -> Mapping[str, ModuleType]:
    modules = {}
    for room in _ROOMS:
        package = importlib.import_module(f"{__package__}.{room}")
        for entry in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{entry.name}")
            if hasattr(module, "EVALUATION"):
                modules[entry.name] = module
    return modules
