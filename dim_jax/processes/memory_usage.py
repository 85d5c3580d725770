"""How much memory this process has taken at most."""

import contextlib
import resource
import sys
from pathlib import Path

import jax

_STATUS = Path("/proc/self/status")


def peaks() -> dict[str, float | None]:
    """{"host", "device"}: the most that was in use so far, in MiB.

    "device" is that of the fullest of this process's devices, None where the backend does not
    count it: on a CPU the arrays are part of "host".
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    used = [each["peak_bytes_in_use"] for each in stats if "peak_bytes_in_use" in each]
    return {"host": _mib(_host_peak()), "device": _mib(max(used)) if used else None}


def host() -> float:
    """What is resident now, in MiB (Linux)."""
    return _mib(_status("VmRSS"))


def host_peak() -> float:
    """The most that was resident, in MiB."""
    return _mib(_host_peak())


def _host_peak() -> int:
    # Not ru_maxrss where it can be helped: it starts at the size of the program that started us.
    with contextlib.suppress(OSError, StopIteration):
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) * 1024


def _mib(size: int) -> float:
    return round(size / 2**20, 1)
