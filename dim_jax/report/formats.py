"""Formatting of numbers and durations."""


def duration(seconds: float | None) -> str:
    """A time span in its two largest units, such as "31 min 20 s"; "–" for None."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    minutes = round(rounded / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(value: float | None) -> str:
    """A count with thousands separated; "–" for None."""
    return "–" if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """A number for a chart: at most four digits, with an exponent only if it saves space."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.3g}".replace("e+", "e").replace("e0", "e").replace("e-0", "e-")
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
