"""Which checkpoint of a run is the best, by one metric of metrics.jsonl.

Every checkpoint carries the metrics of its step, so nothing has to be remembered between them: a
killed run, a damaged checkpoint or another metric change nothing but which ones are compared.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

METRICS = "metrics.json"  # in a checkpoint
BEST = "best.json"  # beside the checkpoints
_SMALLER = "loss/"


class Best(NamedTuple):
    """The step of the best checkpoint, and the metric's name and value there."""

    step: int
    metric: str
    value: float


def find(checkpoints: Iterable[Path], metric: str) -> Best | None:
    """The best of these checkpoints `<step>/`, the earliest of equal ones.

    Losses ("loss/...") are better when smaller, all other metrics when larger. Checkpoints without
    a finite value of the metric are passed over; None when that is all of them.
    """
    sign = -1 if metric.startswith(_SMALLER) else 1
    found = [
        Best(int(path.name), metric, value)
        for path in checkpoints
        if (value := _metrics(path).get(metric)) is not None
    ]
    return max(found, key=lambda one: (sign * one.value, -one.step), default=None)


def finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are finite numbers, as JSON has no others."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _metrics(checkpoint: Path) -> dict[str, float]:
    try:
        found = json.loads((checkpoint / METRICS).read_text())
    except (OSError, ValueError):  # an older checkpoint, or one that is damaged
        return {}
    return found if isinstance(found, dict) else {}
