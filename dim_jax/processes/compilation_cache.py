"""The persistent compilation cache: compiled XLA programs on disk, for the next start."""

import hashlib
import os
import pathlib
import platform

import jax


def keep() -> None:
    """Lets JAX store compiled programs below the user's cache folder.

    An existing setting of JAX_COMPILATION_CACHE_DIR or `jax_compilation_cache_dir` is not changed
    ("" = no cache). Each CPU model has a separate folder: on a home directory that several machines
    share, programs for another model could fail with an illegal instruction.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.jax_compilation_cache_dir:
        return
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(home / "dim_jax" / _cpu_identifier()))


def _cpu_identifier() -> str:
    """A short identifier of this CPU's model and features."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kind = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    text = "\n".join([platform.machine(), platform.processor(), *sorted(kind)])
    return f"xla-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
