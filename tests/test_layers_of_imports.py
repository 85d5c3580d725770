"""The rooms of the package and what each may import, read from the imports of every module."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# A room and the rooms and root modules that it may import, besides itself, `contracts` and the
# version in `__init__`. No arrow leads back: the order of the table is an order of layers.
MAY_IMPORT = {
    "settings": set(),
    "contracts": {"settings"},
    "bounds": set(),
    "losses": {"bounds"},
    "augment": {"settings"},
    "nets": {"augment"},
    "methods": {"augment", "bounds", "losses", "nets"},
    "build": {"bounds", "losses", "methods", "nets", "settings"},
    "processes": set(),
    "data": {"settings", "processes.user_cache"},  # where indexes of read-only data are kept
    "rundir": {"processes", "settings"},
    "report": {"rundir", "settings"},
    "compare": {"processes", "report", "rundir", "settings"},
    "mi": {"bounds", "processes", "report", "rundir", "settings"},
    "profiling": set(),
    "training": {
        *("augment", "data", "losses.spread", "nets", "processes", "profiling", "rundir"),
        "settings",
    },
    "encoder": {"build", "data", "nets", "processes", "report", "rundir"},
    "generator": {"build", "encoder.network", "rundir", "settings"},
    "evaluate": {
        *("bounds", "data", "encoder", "losses", "nets", "processes", "report", "rundir"),
        *("settings", "training.optimizers"),
    },
    "published": {"evaluate", "settings"},
    "run_metadata": {
        *("data", "encoder", "nets", "processes", "published", "rundir", "settings", "training"),
    },
    "outputs": {"processes", "report", "rundir", "settings", "training"},
    "experiment": {
        *("augment", "build", "data", "evaluate", "nets", "outputs", "processes", "profiling"),
        *("published", "report", "run_metadata", "rundir", "settings", "training"),
    },
    "commandline": {"processes", "settings"},
    "command": {"commandline", "experiment", "processes", "rundir", "training"},
    "main": {"command", "processes"},
}
# Frameworks, and the rooms and modules that may import each.
FRAMEWORKS = {
    "flax": {"nets", "training.train_step"},
    "optax": {"evaluate", "losses.assignment", "training"},
    "orbax": {"rundir.checkpoint"},
    "ml_collections": {"commandline"},
    "tensorflow_datasets": {"data"},
    "grain": {"data"},
    "h5py": {"data"},
    "zarr": {"data"},
    "sklearn": {"data", "evaluate"},
    "matplotlib": {"evaluate", "mi.figures", "report"},
}


@functools.cache
def imports(path: pathlib.Path) -> frozenset[str]:
    """Full names of all that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} uses a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def module(path: pathlib.Path) -> str:
    """Such as "evaluate.probes.mlp", "bounds" for bounds/__init__.py."""
    parts = path.relative_to(ROOT / "dim_jax").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files() -> list[pathlib.Path]:
    return sorted((ROOT / "dim_jax").rglob("*.py"))


def is_within(name: str, rooms) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_only_what_it_may(room):
    allowed = {room, "contracts", "__version__", *MAY_IMPORT[room]}
    for path in (path for path in files() if is_within(module(path), [room])):
        for name in imports(path):
            if name.startswith("dim_jax."):
                assert is_within(name.removeprefix("dim_jax."), allowed), f"{path} imports {name}"


def test_every_module_is_in_a_room():
    for path in files():
        assert module(path).partition(".")[0] in MAY_IMPORT or not module(path), path


def test_no_arrow_leads_back():
    order = list(MAY_IMPORT)
    for room, allowed in MAY_IMPORT.items():
        for other in allowed:
            assert order.index(other.partition(".")[0]) < order.index(room), (room, other)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_frameworks_stay_where_they_belong(framework):
    for path in files():
        if not is_within(module(path), FRAMEWORKS[framework]):
            assert not any(is_within(name, [framework]) for name in imports(path)), path


def test_modules_of_a_room_have_no_circle():
    arrows = {
        module(path): {
            name
            for imported in imports(path)
            if imported.startswith("dim_jax.")
            for name in [_existing(imported.removeprefix("dim_jax."))]
            if name and name != module(path)
        }
        for path in files()
        if path.name != "__init__.py"  # what a room re-exports it has loaded already
    }
    done, under_way = set(), []

    def visit(name):
        assert name not in under_way, f"a circle: {[*under_way, name]}"
        if name in done or name not in arrows:
            return
        under_way.append(name)
        for other in arrows[name]:
            visit(other)
        under_way.pop()
        done.add(name)

    for name in arrows:
        visit(name)


def _existing(name: str) -> str:
    """The module that a full name is of or in."""
    while name and not (ROOT / "dim_jax" / f"{name.replace('.', '/')}.py").exists():
        name = name.rpartition(".")[0]
    return name


def test_nothing_imports_experiments():
    for path in files():
        assert not any(is_within(name, ["experiments"]) for name in imports(path)), path


def test_configs_import_of_the_package_settings_alone():
    for path in (ROOT / "configs").rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] not in {"jax", "flax", "optax"}, path
            assert not is_within(name, ["dim_jax"]) or is_within(name, ["dim_jax.settings"]), path


def test_the_root_holds_ten_modules_at_most():
    assert len(list((ROOT / "dim_jax").glob("*.py"))) <= 10


def test_files_are_short():
    for path in files():
        assert len(path.read_text().splitlines()) <= 400, path
