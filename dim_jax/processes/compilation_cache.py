"""What XLA compiles, kept on disk: the second start of a command does not compile again."""

import hashlib
import os
import pathlib
import platform

import jax


def keep() -> None:
    """Lets JAX keep compiled programs below the user's cache folder.

    Where JAX_COMPILATION_CACHE_DIR or `jax_compilation_cache_dir` is set already ("" = nowhere),
    that stays. Each kind of CPU has a folder of its own: programs for another one, on a home that
    machines share, may end in an illegal instruction.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.jax_compilation_cache_dir:
        return
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    jax.config.update("jax_compilation_cache_dir", str(home / "dim_jax" / _cpu()))


def _cpu() -> str:
    """A short name of this CPU's model and abilities."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kind = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    text = "\n".join([platform.machine(), platform.processor(), *sorted(kind)])
    return f"xla-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
