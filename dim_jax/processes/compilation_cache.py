"""The persistent compilation cache: compiled XLA programs on disk, for the next start."""

import contextlib
import hashlib
import os
import pathlib
import platform
import warnings

import jax

from dim_jax.processes import user_cache

_MOST_BYTES = 2**31  # of all folders together; the quick start keeps about 3 MB
_SECONDS = "jax_persistent_cache_min_compile_time_secs"
_NOT_SERIALISED = r"Error writing persistent compilation cache entry .*bad_alloc"
_THREADS = ("NPROC", "PJRT_NPROC")  # with which users change XLA's number of threads


def keep() -> None:
    """Lets JAX store compiled programs below the user's cache folder.

    An existing setting of JAX_COMPILATION_CACHE_DIR or `jax_compilation_cache_dir` is not changed
    ("" = no cache). Each CPU model has a separate folder: on a home directory that several machines
    share, programs for another model could fail with an illegal instruction. So has each number of
    cores: XLA splits loops over those there are when it compiles.

    Programs that compile fast are stored too, as a start has more than a hundred of them, unless
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS is set. Of more than 2 GiB, the programs that were
    read longest ago are removed.

    Of programs that call oneDNN (`nets.onednn`) nothing is stored, because XLA cannot serialise
    them: JAX's warning, one for each, would tell users nothing that they could change.
    """
    warnings.filterwarnings("ignore", message=_NOT_SERIALISED)
    if _SECONDS.upper() not in os.environ:
        jax.config.update(_SECONDS, 0.0)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.jax_compilation_cache_dir:
        return
    home = user_cache.root()
    if home is None:
        return
    prune(home, _MOST_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(home / identifier()))


def identifier() -> str:
    """A short identifier of this CPU's model and features, and of the usable cores."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kind = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    # Not a container's share of CPU time, which XLA does not look at.
    schedulable = getattr(os, "sched_getaffinity", None)  # on Linux
    cores = len(schedulable(0)) if schedulable else os.cpu_count()
    threads = [f"{name}={os.environ.get(name, '')}" for name in _THREADS]
    text = "\n".join([platform.machine(), platform.processor(), *sorted(kind), *threads])
    return f"xla-{hashlib.sha256(text.encode()).hexdigest()[:12]}-{cores}"


def prune(folder: pathlib.Path, most_bytes: int) -> None:
    """Removes the compiled programs used longest ago until a quarter of `most_bytes` is free.

    Nothing is removed while they take less than `most_bytes`. JAX's own limit would lock the folder
    and read all of it for each program, and needs another package.
    """
    programs = []
    for path in folder.glob("xla-*/*"):
        with contextlib.suppress(OSError):  # removed by another process
            facts = path.stat()
            programs.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    total = sum(size for _, size, _ in programs)
    if total <= most_bytes:
        return
    for _, size, path in sorted(programs, key=lambda program: program[0]):
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size
        if total <= most_bytes * 3 // 4:
            return
