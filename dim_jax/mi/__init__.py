"""Mutual information of two data sets, from samples, with an interval and a test.

`mi.estimate(x, y)` returns an `mi.Estimate`; `python -m dim_jax.mi x.npy y.npy` prints one.
`mi.ranking(x, y)` has an estimate for every column of x, `mi.pairwise(x)` one for every pair.
"""

from dim_jax.mi.estimation import estimate as estimate
from dim_jax.mi.many_columns import Pairwise as Pairwise
from dim_jax.mi.many_columns import Ranking as Ranking
from dim_jax.mi.many_columns import Row as Row
from dim_jax.mi.many_columns import pairwise as pairwise
from dim_jax.mi.many_columns import ranking as ranking
from dim_jax.mi.result import CurvePoint as CurvePoint
from dim_jax.mi.result import Estimate as Estimate
