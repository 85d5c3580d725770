"""Mutual information of two data sets, from samples, with an interval and a test.

    from dim_jax import mi

    mi.estimate(x, y)        -> mi.Estimate: nats, interval, p_value, reliable, ...
"""

from dim_jax.mi.result import CurvePoint as CurvePoint
from dim_jax.mi.result import Estimate as Estimate
