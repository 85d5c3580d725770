"""Memory usage of this process and its devices, and their peaks."""

import contextlib
import resource
import sys
from pathlib import Path

import jax

_STATUS = Path("/proc/self/status")
_largest = 0  # peak so far: Linux counts pages on each core, and its peak can fall by a few of them


def peaks() -> dict[str, float | None]:
    """{"host", "device"}: the peak memory so far, in MiB.

    "device" is the largest peak of this process's devices, None if the backend does not report it:
    on a CPU the arrays are part of "host".
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    used = [values["peak_bytes_in_use"] for values in stats if "peak_bytes_in_use" in values]
    return {"host": _mib(_host_peak()), "device": _mib(max(used)) if used else None}


def host() -> float:
    """The current resident memory, in MiB (Linux)."""
    return _mib(_status("VmRSS"))


def host_peak() -> float:
    """The peak resident memory, in MiB."""
    return _mib(_host_peak())


def _host_peak() -> int:
    global _largest
    _largest = max(_largest, _read_host_peak())
    return _largest


def _read_host_peak() -> int:
    # Preferred to ru_maxrss, which starts at the size of the parent process.
    with contextlib.suppress(OSError, StopIteration):
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1024


def _mib(size: int) -> float:
    return round(size / 2**20, 1)
