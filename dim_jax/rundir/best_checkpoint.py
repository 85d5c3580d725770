"""The best checkpoint of a run by one metric of metrics.jsonl.

Every checkpoint holds the metrics of its step, so the search has no state of its own: a killed run,
a damaged checkpoint or another metric only change which checkpoints are compared.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

METRICS = "metrics.json"  # in a checkpoint
BEST = "best.json"  # beside the checkpoints
# The beginnings and ends of the names of metrics that are better when smaller.
_SMALLER, _SMALLER_AT_END = ("loss/", "grad_norm/"), ("/loss", "/uniformity", "/alignment")


class Best(NamedTuple):
    """The step of the best checkpoint, and the metric's name and value there."""

    step: int
    metric: str
    value: float


def find(checkpoints: Iterable[Path], metric: str) -> Best | None:
    """The best of these checkpoints `<step>/`; of equal ones, the earliest.

    Losses ("loss/...", ".../loss"), gradient norms ("grad_norm/..."), uniformity and alignment are
    better when smaller, all other metrics when larger. Checkpoints without a finite value of the
    metric are skipped; None when none is left.
    """
    smaller = metric.startswith(_SMALLER) or metric.endswith(_SMALLER_AT_END)
    sign = -1 if smaller else 1
    candidates = [
        Best(int(path.name), metric, value)
        for path in checkpoints
        if (value := read_metrics(path).get(metric)) is not None
    ]
    return max(candidates, key=lambda best: (sign * best.value, -best.step), default=None)


def finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are finite numbers; JSON has no others."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def read_metrics(checkpoint: Path) -> dict[str, float]:
    """The metrics of the step of a checkpoint, {} where there are none."""
    try:
        metrics = json.loads((checkpoint / METRICS).read_text())
    except (OSError, ValueError):  # an older checkpoint, or one that is damaged
        return {}
    return finite(metrics) if isinstance(metrics, dict) else {}
