"""The layering of the design, read from the imports of every module."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
OPTIMIZERS = {"optax"}
FLAX = {"flax"}
# module -> what it must never import (our modules by full name, or top-level packages)
NEVER = {
    "contracts": {"dim_jax", "ml_collections", *FLAX, *OPTIMIZERS},
    "divergences": {"dim_jax.data", "ml_collections", *FLAX, *OPTIMIZERS},
    "bounds": {"dim_jax.data", "dim_jax.nets", "ml_collections", *FLAX, *OPTIMIZERS},
    "losses": {"dim_jax.data", "dim_jax.nets", "ml_collections", *FLAX, *OPTIMIZERS},
    # optax has the solver of assignments, which is no optimizer: allowed in this module alone.
    "matching": {"dim_jax", "ml_collections", *FLAX},
    "embeddings": {"dim_jax.data", "dim_jax.nets", "ml_collections", *FLAX, *OPTIMIZERS},
    "priors": {"dim_jax.data", "dim_jax.nets", "ml_collections", *FLAX, *OPTIMIZERS},
    "distributed": {
        *("dim_jax.nets", "dim_jax.methods", "dim_jax.data", "dim_jax.evaluate", "dim_jax.report"),
        *("dim_jax.train", "dim_jax.run", "ml_collections", *FLAX, *OPTIMIZERS),
    },
    "nets": {"dim_jax.bounds", "dim_jax.methods", "dim_jax.data", "ml_collections"},
    "methods": {
        *("dim_jax.data", "dim_jax.train", "dim_jax.steps", "dim_jax.report", "dim_jax.optim"),
        *("ml_collections", "flax", "optax", "jax.sharding"),
    },
    "evaluate": {"dim_jax.methods", "dim_jax.train", "dim_jax.steps", "dim_jax.report"},
    "data": {"dim_jax.nets", "dim_jax.methods", "dim_jax.train", "dim_jax.evaluate"},
    "report": {"dim_jax.nets", "dim_jax.methods", "dim_jax.data", "dim_jax.train", "flax"},
    "division": {"dim_jax.methods", "dim_jax.data", "dim_jax.train", "dim_jax.steps", *FLAX},
    "steps": {"dim_jax.methods", "dim_jax.nets", "dim_jax.evaluate", "dim_jax.report"},
    "train": {"dim_jax.methods", "dim_jax.nets", "dim_jax.evaluate", "dim_jax.report"},
}


def imports(path: pathlib.Path) -> set[str]:
    """Full names of all that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} uses a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(module: str) -> list[pathlib.Path]:
    path = ROOT / "dim_jax" / module
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def offends(imported: str, forbidden: str) -> bool:
    return imported == forbidden or imported.startswith(f"{forbidden}.")


@pytest.mark.parametrize("module", NEVER)
def test_module_keeps_to_its_layer(module):
    for path in files(module):
        for imported in imports(path):
            for forbidden in NEVER[module]:
                assert not offends(imported, forbidden), f"{path.name} imports {imported}"


def test_nothing_imports_main_or_experiments():
    for path in (ROOT / "dim_jax").rglob("*.py"):
        for imported in imports(path):
            assert not offends(imported, "dim_jax.main"), path
            assert not offends(imported, "experiments"), path


def test_configs_import_no_jax_and_nothing_of_the_package():
    for path in (ROOT / "configs").rglob("*.py"):
        for imported in imports(path):
            assert imported.split(".")[0] not in {"jax", "flax", "optax", "dim_jax"}, path


def test_only_checkpoint_knows_orbax():
    for path in (ROOT / "dim_jax").rglob("*.py"):
        if path.name != "checkpoint.py":
            assert not any(offends(name, "orbax") for name in imports(path)), path
