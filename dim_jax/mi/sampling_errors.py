"""Errors, p-values and standing of estimates of mutual information, from the samples' shares."""

import numpy as np

_WIDE, _WIDE_SHARE = 0.1, 0.25  # nats and share of the value, beyond which an error is too large
_ROOM = 3.0  # nats below the log of the number of pairs, which are 20 that decide the normaliser
_MOST_LIMITED = 0.02  # of the drawn pairs, with the largest scores that the samples can show
_LARGEST_SHARE = 0.05  # of one sample in the normaliser


def standard_error(influence: np.ndarray, blocks: np.ndarray | None) -> float:
    """Of the mean of influences f64[n], whose sums over `blocks` i[n] are independent."""
    centred = influence - influence.mean()
    if blocks is not None:
        centred = np.bincount(blocks, centred)
    return float(np.sqrt(np.sum(centred**2)) / len(influence))


def p_value(value: float, null: np.ndarray) -> float:
    """The share of values at least as large, the value itself among them; NaN without."""
    if not len(null) or not np.isfinite(value):
        return float("nan")
    return float((1 + np.sum(null >= value)) / (1 + len(null)))


def flipped_means(influence, blocks, count: int, random: np.random.Generator) -> np.ndarray:
    """f64[count]: means of centred influences whose signs are drawn, equal ones in a block."""
    centred = influence - influence.mean()
    sums = centred if blocks is None else np.bincount(blocks, centred)
    return np.array(
        [sums @ random.choice((-1.0, 1.0), len(sums)) / len(influence) for _ in range(count)]
    )


def interval(value: float, below: float, above: float) -> tuple[float, float]:
    """(low, high) around a value. Information is not negative, estimates can be."""
    return max(0.0, float(value - below)), max(0.0, float(value + above))


def judge(
    value: float,
    reach: float,
    missed: float,
    largest: float,
    room: float = np.inf,
    limited: float = 0.0,
) -> tuple[bool, str]:
    """Whether a value with this error is reliable, and the reason.

    Args:
      reach: half the width of the interval.
      missed: nats that more samples might add.
      largest: share of one sample in the normaliser.
      room: nats from the value to the largest that the pairs of the normaliser can show.
      limited: share of the drawn pairs that have as large scores as these can show.
    """
    most = max(_WIDE, _WIDE_SHARE * value)
    if not np.isfinite(value + reach):
        return False, "the value is not finite: single scores decide it"
    if value + reach < 0:
        return False, (
            "the value is below zero by more than its error: the critics miss at least as much"
        )
    if room < _ROOM:
        return False, (
            f"the value is near {value + room:.1f} nats, the log of the number of pairs that are "
            "compared: the information can be larger"
        )
    if limited > _MOST_LIMITED:
        return False, (
            f"{limited:.0%} of the samples are as closely dependent as the number of pairs can "
            "show: the information can be larger"
        )
    if largest > _LARGEST_SHARE:
        return False, (
            f"one sample makes {largest:.0%} of the normaliser of its fold: these samples are too "
            "few for the information that they seem to have"
        )
    if missed > most:
        return False, (
            f"the critics still learn from more samples and miss about {missed:.2f} nats: these "
            "samples are too few for this dependence"
        )
    if reach > most:
        return False, f"the error of {reach:.2f} nats is large beside the value"
    return True, f"the sampling error is ± {reach:.3f} nats, and about {missed:.3f} may be missed"
