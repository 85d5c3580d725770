"""The measurements of one fold of a cross-fitted estimate."""

from typing import NamedTuple

import numpy as np

from dim_jax.mi import held_out
from dim_jax.mi.result import CurvePoint


class Fold(NamedTuple):
    """Of one fold: its samples i[m] in the order of `held`, and what they give.

    training: the value of the same critics on training samples, in nats.
    growth: as of `Committee`.
    permuted: f64[permutations], mean scores of permuted pairs less the log normaliser.
    tested: the same of the drawn pairs. Both are of the critics' sum with weights that are not all
      zero, so that a test is possible where validation shows no information.
    """

    samples: np.ndarray
    held: held_out.Held
    training: float
    growth: float
    permuted: np.ndarray
    tested: float
    weights: dict[str, float]
    curve: tuple[CurvePoint, ...]
