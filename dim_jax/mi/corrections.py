"""Corrections of p-values for the number of tests."""

from collections.abc import Callable

import numpy as np

from dim_jax import contracts


def holm(p_values: np.ndarray) -> np.ndarray:
    """f64[n]: the level of all tests together at which each is rejected.

    Source: Holm 1979.
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    return _placed(np.maximum.accumulate(scaled), order)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """f64[n]: the expected share of false ones among all rejected, if each is rejected.

    Source: Benjamini and Hochberg 1995, for independent or positively dependent tests.
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    return _placed(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _placed(scaled: np.ndarray, order: np.ndarray) -> np.ndarray:
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(scaled, 1.0)
    return corrected


CORRECTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    function.__name__: function for function in (holm, benjamini_hochberg)
}


def check(correction: str) -> None:
    """Raises UserError for the name of no correction."""
    if correction not in CORRECTIONS:
        raise contracts.unknown("correction", correction, CORRECTIONS)


def corrected(p_values: np.ndarray, correction: str) -> np.ndarray:
    """f64[n], NaN where a p-value is: those are no tests, and are not counted."""
    result = np.full(len(p_values), np.nan)
    tests = np.isfinite(p_values)
    result[tests] = CORRECTIONS[correction](p_values[tests])
    return result
