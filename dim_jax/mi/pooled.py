"""The folds of a cross-fitted estimate taken together."""

from typing import NamedTuple, Self

import numpy as np

from dim_jax.mi import cross_fit, sampling_errors

_GROWTH = 1.5  # times the value that half of the samples add; by 1 / n it would be 1


class Pooled(NamedTuple):
    """All folds: means over them, and the influence f64[n] of each sample, in their order.

    value, influence: of the estimate, in nats; `bound` likewise of a lower bound in expectation.
    missed: nats that more samples might add, by the critics' value on training samples or by what
      doubling them has added.
    null, tested: f64[permutations] and the value that is compared with them.
    first_p_value: of the test on the first fold alone, whose critics have not seen it.
    largest: share of one sample in the normaliser of its fold.
    ceiling: the smallest of the folds' in nats, above which no value has support.
    limited: share of the drawn pairs with the largest scores that the samples can show.
    noise: error in nats that the influences do not show.
    """

    value: float
    influence: np.ndarray
    bound: float
    bound_influence: np.ndarray
    missed: float
    null: np.ndarray
    tested: float
    first_p_value: float
    largest: float
    critics: dict[str, float] = {}  # noqa: RUF012
    curve: tuple = ()
    noise: float = 0.0
    ceiling: float = np.inf
    limited: float = 0.0

    @classmethod
    def without_folds(cls, influence: np.ndarray, null: np.ndarray, noise: float = 0.0) -> Self:
        """Of an estimate without folds, the mean of the influences f64[n]."""
        value = float(np.mean(influence))
        nothing = dict(
            first_p_value=np.nan, bound=np.nan, bound_influence=influence, missed=0.0, largest=0.0
        )
        return cls(value, influence, **nothing, null=null, tested=value, noise=noise)

    @classmethod
    def of(cls, folds: list[cross_fit.Fold]) -> "Pooled":
        count = sum(len(fold.samples) for fold in folds)
        influences = np.empty((2, count))
        for fold in folds:
            influences[0, fold.samples] = fold.held.influence
            influences[1, fold.samples] = fold.held.bound_influence
        shares = np.array([len(fold.samples) / count for fold in folds])

        def mean(values):
            return float(shares @ np.array([*values]))

        names = dict.fromkeys(name for fold in folds for name in fold.weights)
        return cls(
            value=mean(fold.held.value for fold in folds),
            influence=influences[0],
            bound=mean(fold.held.bound for fold in folds),
            bound_influence=influences[1],
            missed=max(
                0.0,
                -mean(fold.held.value for fold in folds),  # information is not negative
                mean(fold.training - fold.held.value for fold in folds) / 2,
                _GROWTH * mean(fold.growth for fold in folds),
            ),
            null=shares @ np.stack([fold.permuted for fold in folds]),
            tested=mean(fold.tested for fold in folds),
            first_p_value=sampling_errors.p_value(folds[0].tested, folds[0].permuted),
            largest=max(fold.held.largest for fold in folds),
            ceiling=min(fold.held.ceiling for fold in folds),
            limited=mean(fold.held.limited for fold in folds),
            critics={name: mean(fold.weights.get(name, 0.0) for fold in folds) for name in names},
            curve=tuple(point for fold in folds for point in fold.curve),
        )
