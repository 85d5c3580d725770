"""`--config.deterministic=True`: the same command on the same machine gives the same bits.

On a CPU it does so anyway. On a GPU some operations add in the order in which threads happen to
finish, and matrix products and convolutions are timed at compilation to choose the fastest kernel,
which need not be the same one twice. XLA's flag replaces the former by ordered ones and takes the
first kernel that works instead of the fastest; it costs speed, and an operation without an ordered
form fails to compile.

Limits: the same machine or one with the same GPU, the same number of devices and processes, and
the same versions of jax, CUDA, cuDNN and of this package. XLA reads its flags once, when it starts:
in a program that used JAX before, set XLA_FLAGS yourself. A TPU is deterministic as a CPU is.
"""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

# Known to jaxlib 0.10 to 0.12; XLA aborts the process at a flag that it does not know.
FLAG = "--xla_gpu_deterministic_ops"
_GPU_PLATFORMS = {"cuda", "rocm", "gpu"}
_GPU_PLUGINS = (
    *("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin"),
    *("jax_rocm7_plugin", "jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13"),
)


def prepare(config: Mapping[str, Any]) -> None:
    """Sets XLA's flag if the config asks for it and a GPU may be used; before JAX starts.

    What the user put into XLA_FLAGS about it stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if config.get("deterministic") and FLAG not in flags and _may_use_gpu():
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}=true".strip()


def _may_use_gpu() -> bool:
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms:
        return bool(_GPU_PLATFORMS & set(platforms.lower().split(",")))
    return any(_is_installed(plugin) for plugin in _GPU_PLUGINS)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name
        return False
