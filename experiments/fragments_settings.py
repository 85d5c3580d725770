"""The settings of a config as Markdown tables, from their definitions in `dim_jax.settings`."""

from collections.abc import Mapping

from dim_jax import settings
from experiments import fragments

# May a run folder be continued with another value?
SCOPES = {
    "training": "no",
    "length": "to a longer training",
    "evaluation": "until there are results",
    "machine": "yes",
}
_HEADINGS = ("key", "type", "default", "may change", "meaning")
BLOCKS = {
    "root": settings.Config,
    "data": settings.Data,
    "augment": settings.Augment,
    "encoder": settings.Encoder,
    "train": settings.Train,
}


def tables() -> dict[str, str]:
    """The table of each block by its name."""
    return {name: table(block) for name, block in BLOCKS.items()}


def table(block: type[settings.Block]) -> str:
    """One row for each setting of a block."""
    rows = [
        (f"`{name}`", _type(each), _default(each), _scope(each), each.help + _link(name))
        for name, each in block.settings().items()
    ]
    return fragments.markdown(_HEADINGS, rows) + "\n"


def _link(name: str) -> str:
    sections = ("data", "augment", "encoder", "method", "players", "train", "evals")
    return f" {{ref}}`More <configuration-{name}>`." if name in sections else ""


def _scope(each: settings.Setting) -> str:
    return "" if each.kind in BLOCKS.values() else SCOPES[each.scope]


def _type(each: settings.Setting) -> str:
    return "block" if each.kind in (Mapping, *BLOCKS.values()) else each.type


def _default(each: settings.Setting) -> str:
    if each.default is settings.REQUIRED or _type(each) == "block":
        return ""
    return f"`{each.default!r}`"
