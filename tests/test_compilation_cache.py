"""The folder of compiled programs: whose it is, what its name depends on, and its size."""

import os
import pathlib
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest

from dim_jax.nets import onednn
from dim_jax.processes import compilation_cache

SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@pytest.mark.parametrize(
    ("given", "seconds"), [("", None), ("/elsewhere", "2.5"), (None, None)], ids=str
)
def test_compiled_programs_are_kept_unless_told_otherwise(given, seconds, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    for name, value in {"JAX_COMPILATION_CACHE_DIR": given, SECONDS: seconds}.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    code = (
        "import jax; from dim_jax.processes import compilation_cache; compilation_cache.keep(); "
        "print(jax.config.jax_compilation_cache_dir or ''); "
        "print(jax.config.jax_persistent_cache_min_compile_time_secs)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=pathlib.Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    folder, kept_from = done.stdout.splitlines()
    if given is None:
        assert pathlib.Path(folder).parent == tmp_path / "dim_jax"
    else:
        assert folder == given
    assert float(kept_from) == float(seconds or 0)


def test_programs_of_other_numbers_of_cores_are_not_used(monkeypatch):
    def on(cores):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        return compilation_cache.identifier()

    assert on(2) == on(2) != on(1)
    before = on(2)
    monkeypatch.setenv("NPROC", "1")
    assert on(2) != before


def test_programs_used_longest_ago_are_removed(tmp_path):
    folder = tmp_path / "xla-one"
    folder.mkdir()
    for age in range(10):
        program = folder / f"{age}-cache"
        program.write_bytes(bytes(10))
        os.utime(program, (1e9 - age, 1e9 - age))
    other = tmp_path / "notes.txt"
    other.write_bytes(bytes(1000))
    compilation_cache.prune(tmp_path, 100)
    assert len(list(folder.iterdir())) == 10
    compilation_cache.prune(tmp_path, 80)
    assert sorted(path.name for path in folder.iterdir()) == [f"{age}-cache" for age in range(6)]
    assert other.exists()


@pytest.fixture
def everything_is_stored():
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


def test_what_cannot_be_stored_gives_no_warning(everything_is_stored):
    """But any other reason for which a program is not stored does."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        compilation_cache.keep()
        if onednn._works():
            square = np.ones((16, 16), np.float32)
            jax.jit(lambda x: onednn.dot(x, x, 1, 0)).lower(square).compile()
        full = "Error writing persistent compilation cache entry for 'f': OSError: no space left"
        warnings.warn(full, stacklevel=1)
    assert [str(warning.message) for warning in shown] == [full]
