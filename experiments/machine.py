"""The kind of machine of a benchmark whose results depend on it: one result file for each."""

import pathlib
import platform
import re
from typing import NamedTuple

import jax

_CPUINFO = pathlib.Path("/proc/cpuinfo")
# Instructions for products in bfloat16, the fastest first: a flag of Linux, and what it is.
_INSTRUCTIONS = {
    "amx_bf16": ("amx", "a matrix unit (AMX)"),
    "avx512_bf16": ("avx512_bf16", "bfloat16 instructions (AVX512-BF16) and no matrix unit"),
}


class Kind(NamedTuple):
    """name: part of a file's name. text: a phrase that follows "CPU with 2 cores and"."""

    name: str
    text: str | None = None


def kind() -> Kind:
    """The kind of JAX's first device: of a CPU its bfloat16 instructions, else the name."""
    device = jax.devices()[0]
    return Kind(_slug(device.device_kind)) if device.platform != "cpu" else _of_cpu(_cpuinfo())


def _of_cpu(cpuinfo: str) -> Kind:
    line = re.search(r"^flags\s*:(.*)$", cpuinfo, re.M)
    flags = line.group(1).split() if line else ()
    for flag, (name, text) in _INSTRUCTIONS.items():
        if flag in flags:
            return Kind(f"cpu_{name}", text)
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.M)
    name = model.group(1) if model else platform.processor() or platform.machine()
    return Kind(f"cpu_{_slug(name)}", f"no bfloat16 instructions ({name})")


def _cpuinfo() -> str:
    return _CPUINFO.read_text() if _CPUINFO.exists() else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
