"""The signs in the rows of metrics that an encoder has collapsed, and sentences on them.

The thresholds were chosen between what collapsed encoders reach and what healthy and untrained ones
show; the page *Is it learning?* has the measurements.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

READINGS = 3  # consecutive ones with the same sign
JUDGED_FROM = 15  # largest possible rank: fewer images or features have too few directions
FEW_DIRECTIONS = 2.0  # effective rank
NO_DEVIATION = 0.02
# A small deviation and a small share of the largest rank together; the smaller one, the larger the
# other may be.
SMALL = ((0.1, 0.5), (0.2, 0.25))
_MENDS = (
    "what usually mends it: a lower learning rate; with positive pairs alone, a predictor and a "
    "stop-gradient, or terms for variance and covariance; with negatives, more of them or another "
    "temperature; with a prior, a larger weight of it; batch norm in the encoder or its head"
)


class Sign(NamedTuple):
    """A tap that has collapsed in one row: `cause` is "rank" or "deviation"."""

    tap: str
    cause: str
    rank: float
    largest: float
    deviation: float


class Watch:
    """Says once for each cause that the last `READINGS` rows in a row show a collapse."""

    def __init__(self):
        self._counts: dict[tuple[str, str], int] = {}
        self._said: set[str] = set()

    def update(self, row: Mapping[str, Any]) -> list[str]:
        """The sentences that are new with this row of metrics; rows without signs do not count."""
        taps = _taps(row)
        if not taps:
            return []
        signs = [sign for tap in taps if (sign := _judge(row, tap))]
        counted = {(sign.tap, sign.cause): sign for sign in signs}
        self._counts = {key: 1 + self._counts.get(key, 0) for key in counted}
        lasting = [counted[key] for key, count in self._counts.items() if count >= READINGS]
        new = {sign.cause: sign for sign in reversed(lasting) if sign.cause not in self._said}
        self._said |= new.keys()
        return [_sentence(sign, row) for sign in new.values()]


def at_end(rows: Sequence[Mapping[str, Any]]) -> str:
    """The sentence on an encoder that has collapsed at the end of training; "" if it has not."""
    watch = Watch()
    measured = [row for row in rows if _taps(row)]
    sentences = [each for row in measured[-READINGS:] for each in watch.update(row)]
    return f"{sentences[0][0].upper()}{sentences[0][1:]}." if sentences else ""


def _taps(row: Mapping[str, Any]) -> list[str]:
    parts = [name.split("/") for name in row if name.startswith("features/")]
    return [tap for _, tap, sign in parts if sign == "deviation"]


def _judge(row: Mapping[str, Any], tap: str) -> Sign | None:
    rank, share, deviation = (
        row.get(f"features/{tap}/{name}") for name in ("rank", "rank_share", "deviation")
    )
    if None in (rank, share, deviation):
        return None
    largest = rank / share if share else JUDGED_FROM
    if round(largest) < JUDGED_FROM:
        return None
    small = any(deviation < least and share < most for least, most in SMALL)
    if deviation < NO_DEVIATION or small:
        return Sign(tap, "deviation", rank, largest, deviation)
    if rank < FEW_DIRECTIONS:
        return Sign(tap, "rank", rank, largest, deviation)
    return None


def _sentence(sign: Sign, row: Mapping[str, Any]) -> str:
    what = {
        "deviation": "the features of different images have nearly one direction",
        "rank": "the features of all images lie on nearly one line",
    }
    return (
        f"the encoder has collapsed: at {sign.tap} {what[sign.cause]} (deviation "
        f"{sign.deviation:.3f} of 1, effective rank {sign.rank:.1f} of {sign.largest:.0f}) in "
        f"{READINGS} readings up to step {row['step']:,}; {_MENDS}"
    )
