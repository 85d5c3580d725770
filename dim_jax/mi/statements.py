"""The statements that an estimate supports and those that it does not, and its fields as text."""

import math
from typing import Any

import numpy as np

Estimate = Any  # `mi.Estimate`, whose plot imports this module
_LN2 = math.log(2)


def symbol(estimate_given: bool) -> str:
    """The quantity that is estimated."""
    return "I(x; y | z)" if estimate_given else "I(x; y)"


def level(confidence: float) -> str:
    """A level of confidence, such as "95 %"."""
    return f"{100 * confidence:.4g} %"


def summary(estimate: Estimate, given: bool = False) -> str:
    """The estimate, its interval and its standing as one sentence."""
    how = "estimated at" if estimate.reliable else "not reliably estimated, the value is"
    spread = f"{level(estimate.confidence)} interval {interval(estimate)}"
    return f"{symbol(given)} is {how} {value(estimate.nats)}, {spread}{_dependence(estimate)}."


def value(nats: float) -> str:
    """Such as "0.523 nats (0.755 bits)"."""
    return f"{nats:.3f} nats ({nats / _LN2:.3f} bits)"


def interval(estimate: Estimate) -> str:
    """Such as "0.480 to 0.560 nats"."""
    low, high = estimate.interval
    return f"{low:.3f} to {high:.3f} nats"


def null_range(estimate: Estimate) -> tuple[float, float] | None:
    """The central part of the permuted values at the level of the estimate; None without them."""
    null = np.asarray(estimate.null, np.float64)
    null = null[np.isfinite(null)]
    if not len(null):
        return None
    tail = (1 - estimate.confidence) / 2
    low, high = np.quantile(null, (tail, 1 - tail))
    return float(low), float(high)


def fields(estimate: Estimate, given: bool = False) -> dict[str, str]:
    """The fields of an estimate by their titles, as text."""
    low, high = estimate.interval
    percent, null = level(estimate.confidence), null_range(estimate)
    pairs = f"{estimate.samples:,} pairs of {estimate.dimensions[0]} and {estimate.dimensions[1]}"
    rows = {
        symbol(given): f"{estimate.nats:.3f} nats = {estimate.bits:.3f} bits",
        f"{percent} interval": f"{interval(estimate)} ({low / _LN2:.3f} to {high / _LN2:.3f} bits)",
        "Permuted pairs": "not computed"
        if null is None
        else f"{null[0]:.3f} to {null[1]:.3f} nats (central {percent} of {len(estimate.null):,} "
        "permutations)",
        "p-value": _p_value(estimate),
        "Guaranteed": "no bound by this method"
        if estimate.guaranteed is None
        else f"at least {estimate.guaranteed:.3f} nats ({percent}, one-sided)",
        "Reliable": f"{'yes' if estimate.reliable else 'no'}: {estimate.why}",
        "The value is": _with_article(estimate.label),
        "Method": estimate.method,
        "Samples": f"{pairs} dimensions",
    }
    if estimate.critics:
        rows["Critics"] = ", ".join(f"{name} {part:.2f}" for name, part in estimate.critics.items())
    return rows


def supported(estimate: Estimate, given: bool = False) -> list[str]:
    """The statements that may be made, as sentences."""
    percent, what = level(estimate.confidence), symbol(given)
    sentences = []
    if estimate.reliable:
        sentences.append(
            f"{what} is estimated at {value(estimate.nats)}, with the {percent} interval "
            f"{interval(estimate)}."
        )
    if estimate.guaranteed is not None and estimate.guaranteed > 0:
        sentences.append(
            f"{what} is at least {value(estimate.guaranteed)}, at the level {percent}: a one-sided "
            "bound from samples that took no part in fitting."
        )
    if is_dependent(estimate):
        sentences.append(f"x and y are dependent{' given z' if given else ''} ({_p(estimate)}).")
    if _is_bound(estimate):
        sentences.append(f"The value is {_with_article(estimate.label)}.")
    return sentences or ["None: the value is not reliable, and no test rejects independence."]


def unsupported(estimate: Estimate, given: bool = False) -> list[str]:
    """The statements that may not be made, as sentences with their reason."""
    what, sentences = symbol(given), []
    if not estimate.reliable:
        sentences.append(f"That {what} is {estimate.nats:.3f} nats: {estimate.why}.")
    if not _is_bound(estimate):
        sentences.append(
            f"That {estimate.nats:.3f} nats is a lower or an upper bound: it is an estimate, which "
            "may lie on either side."
        )
    if estimate.nats < 0:
        sentences.append(
            "That the information is negative: it never is. A value below zero is an error of the "
            "estimate, of the size that independent data have too."
        )
    if not is_dependent(estimate) and math.isfinite(estimate.p_value):
        sentences.append(
            f"That x and y are independent ({_p(estimate)}): a dependence smaller than these "
            "samples can show is not ruled out."
        )
    most = math.log(estimate.samples)
    if estimate.interval[1] > most - 1:
        sentences.append(
            f"That {what} is above ln n = {most:.1f} nats for certain: no lower bound that holds "
            "for every distribution exceeds about ln n, from n samples."
        )
    sentences.append("That x causes y: the information of y about x is the same number.")
    return sentences


def is_dependent(estimate: Estimate) -> bool:
    """Whether independence is rejected at the level of the estimate."""
    return estimate.p_value <= 1 - estimate.confidence


def _dependence(estimate: Estimate) -> str:
    if not math.isfinite(estimate.p_value):
        return ""
    dependent = is_dependent(estimate)
    return f"; independence is {'' if dependent else 'not '}rejected ({_p(estimate)})"


def _is_bound(estimate: Estimate) -> bool:
    return "bound" in estimate.label


def _with_article(label: str) -> str:
    return f"{'an' if label[:1].lower() in 'aeiou' else 'a'} {label}"


def _p(estimate: Estimate) -> str:
    return f"p = {estimate.p_value:.2g}"


def _p_value(estimate: Estimate) -> str:
    count = len(estimate.null)
    if not math.isfinite(estimate.p_value):
        return "not computed"
    is_least = count and estimate.p_value <= 2.001 / (count + 1)
    least = f", the smallest that {count:,} permutations can give" if is_least else ""
    return f"{estimate.p_value:.2g} against independence{least}"
