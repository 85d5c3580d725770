"""Eight virtual CPU devices, and the data sets and configs that several tests share."""

import gc
import importlib.metadata
import os
import pathlib
import sys
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
# Many tests compile the same training step; workers and subprocesses share what is compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="dim_jax_xla_"))
os.environ["DIM_JAX_CACHE"] = ""  # no results of the user's other runs
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
# Tests wait for compilation, hardly for the programs. A flag that jaxlib lacks ends the process.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_cpu_parallel_codegen_split_count=1",
        "--xla_cpu_use_fusion_emitters=false"
        if importlib.metadata.version("jaxlib").startswith("0.10.")
        else "",
    ]
)

import config_files
import jax
import pytest

# Tracing makes many small objects that live on: a tenth of the time went to looking at them again.
gc.set_threshold(100_000, 50, 100)

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


# Files that take longest, first: begun at the end, one would keep a worker while the other waits.
LONGEST = (
    *("test_methods.py", "test_experiment.py", "test_bench_faults.py", "test_processes.py"),
    *("test_bench_train_step.py", "test_ndm.py", "test_fuzz.py", "test_end_to_end.py"),
)


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="module", autouse=True)
def nothing_compiled_is_kept():
    """Every compiled program holds some ten memory maps, of which a process may have 65,530.

    Past that number LLVM crashes the process; programs come back from the cache on disk.
    """
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def optimised():
    """Compiles as users do, for tests that wait for their programs."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session")
def config():
    """The function (name, argument="smoke") -> config."""
    return config_files.load


@pytest.fixture(scope="session")
def tfds_dir() -> str:
    """The folder of prepared TFDS data sets, or skip."""
    path = pathlib.Path(os.environ.get("TFDS_DATA_DIR", ROOT.parent / "shared" / "tfds"))
    if not path.is_dir():
        pytest.skip(f"no prepared TFDS data sets in {path}; set TFDS_DATA_DIR")
    return str(path)
