"""How far the marginals of a representation are from a prior's, coordinate by coordinate.

Source: Hjelm et al. 2019, section 3.3 (the prior, matched after a sigmoid where it is uniform).
"""

from collections.abc import Iterable, Mapping

import jax
import numpy as np
from scipy import special, stats

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import features

NEEDS_LABELS = False
REPRESENTATIONS = "encoders"
TAPS = ("y",)

# The prior's distribution function of one coordinate, applied to the features.
_CUMULATIVE = {"uniform": special.expit, "gaussian": special.ndtr}


def evaluate(
    frozen: contracts.Frozen,
    splits: Mapping[str, dataset.Split],
    rng: jax.Array,
    *,
    prior: str = "uniform",
    taps: Iterable[str] = TAPS,
) -> dict[str, float]:
    """Kolmogorov distance of the test marginals to the prior, the mean over coordinates, in [0, 1].

    max over t of |fraction of images with value <= t - F(t)|; smaller is nearer to the prior.

    Args:
      prior: "uniform" compares sigmoid(y) with the uniform distribution on [0, 1], "gaussian" y
        with the standard normal one.

    Returns:
      {"<tap>/kolmogorov_<prior>"}

    Raises:
      UserError: an unknown prior or tap.
    """
    del rng
    if prior not in _CUMULATIVE:
        raise contracts.unknown("prior", prior, _CUMULATIVE)
    encoded = features.extract(frozen, splits["test"], taps)
    return {
        f"{tap}/kolmogorov_{prior}": float(np.mean(distances(rows, prior)))
        for tap, rows in encoded.items()
    }


def distances(rows: np.ndarray, prior: str) -> np.ndarray:
    """The Kolmogorov distance f64[d] of each column of rows f[n,d] to the prior."""
    heights = _CUMULATIVE[prior](rows.astype(np.float64))
    # If F is the distribution of x then F(x) is uniform: one test for every continuous prior.
    return np.array(
        [
            stats.ks_1samp(column, stats.uniform.cdf, method="asymp").statistic
            for column in heights.T
        ]
    )
