"""XLA flags for `--config.deterministic=True`, with which a command gives bitwise equal results.

CPUs are deterministic without it. On a GPU some operations add in the order in which threads
finish, and the kernels of matrix products and convolutions are chosen by timing at compilation,
which can select another kernel every time. XLA's flag uses deterministic operations and the first
kernel that works; it costs speed, and an operation without a deterministic implementation fails to
compile.

Limits: the same machine or one with the same GPU, the same number of devices and processes, and
the same versions of jax, CUDA, cuDNN and of this package. XLA reads its flags once, when it starts:
in a program that used JAX before, set XLA_FLAGS yourself. TPUs are deterministic, as CPUs are.
"""

import importlib.util
import os

# In jaxlib 0.10 to 0.12; XLA aborts the process if it does not know a flag.
FLAG = "--xla_gpu_deterministic_ops"
_GPU_PLATFORMS = {"cuda", "rocm", "gpu"}
_GPU_PLUGINS = (
    *("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin"),
    *("jax_rocm7_plugin", "jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13"),
)


def ask_for_determinism() -> None:
    """Sets XLA's flag where a GPU may be used; before JAX starts.

    If XLA_FLAGS has it already, its value there stays.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG not in flags and _may_use_gpu():
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
