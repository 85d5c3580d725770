"""The machine, the commit and the versions of packages that results were made with."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess

import jax

from dim_jax import __version__

_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


def device() -> str:
    """The accelerator's name, or the CPU with its number of cores."""
    first = jax.devices()[0]
    if first.platform != "cpu":
        return first.device_kind
    return f"CPU with {os.cpu_count()} cores"


def commit() -> str | None:
    """The commit of the source tree, if dim_jax runs from one."""
    command = ["git", "-C", os.path.dirname(__file__), "rev-parse", "HEAD"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
    return None


def versions() -> dict[str, str]:
    """The versions of Python, of this package and of those that its numbers depend on."""
    return {
        "python": platform.python_version(),
        "dim_jax": __version__,
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }
