"""The result of an estimate of mutual information, in nats and bits, with the errors it has."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np


class CurvePoint(NamedTuple):
    """Values in nats after some steps of a fold's network: of batches, and on validation data."""

    fold: int
    step: int
    training: float
    validation: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mutual information I(x; y), or I(x; y | z), of samples.

    nats: the estimate. With fitted critics, the mean over folds of their value on the samples of
      the fold, which took no part in fitting or selection.
    standard_error: of `nats` over draws of the samples, in nats.
    interval: (low, high) in nats, for I(x; y), at the level `confidence`. It is wider than the
      standard error says by the estimated bias of the critics, which can only be too low.
    p_value: of independence. Of the default method, twice the smaller of two p-values by permuting
      y, which are exact: of ranks, and of the critics on the first fold. (Over all folds the test
      would not be exact, because their critics share samples.)
    null: f[permutations], the values of the same critics where y is permuted against x, in nats.
      They are mostly below zero.
    guaranteed: a lower bound of I(x; y) at the level `confidence`, one-sided, from held-out
      samples; never below 0. None where the method has no such bound.
    reliable: whether `nats` and `interval` may be reported; `why` gives the reason in one sentence.
    label: the standing of the value, such as "estimate" or "lower bound in expectation".
    method: the name of the estimator.
    samples: pairs that were used.
    dimensions: of x and y, as columns.
    critics: the mean weight of each critic in the sum that gives the value, {} without critics.
    curve: values while the networks were fitted, () where none was.
    notes: remarks on the data, such as columns that were left out.
    """

    nats: float
    standard_error: float
    interval: tuple[float, float]
    confidence: float
    p_value: float
    null: np.ndarray
    guaranteed: float | None
    reliable: bool
    why: str
    label: str
    method: str
    samples: int
    dimensions: tuple[int, int]
    critics: dict[str, float] = dataclasses.field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bits(self) -> float:
        """The estimate in bits."""
        return self.nats / math.log(2)

    def to_dict(self) -> dict[str, Any]:
        """All fields and `bits`, as types that JSON has."""
        fields = dataclasses.asdict(self) | {"bits": self.bits}
        fields["null"] = [float(value) for value in self.null]
        fields["curve"] = [point._asdict() for point in self.curve]
        return fields

    def plot(self) -> Any:
        """A matplotlib figure: the value with its interval beside the null, and its histogram."""
        from dim_jax.mi import figures  # and matplotlib

        return figures.summary(self)

    def __str__(self) -> str:
        low, high = self.interval
        standing = "reliable" if self.reliable else "not reliable"
        return (
            f"{self.nats:.3f} nats ({self.confidence:.0%} interval {low:.3f} to {high:.3f}, "
            f"p = {self.p_value:.2g}, {standing}: {self.why})"
        )
