"""Line charts of metrics as inline SVG, readable without a script.

A chart shows the logged values as a thin line and, if there are many, a running mean as a thick
one. An overlay shows one line for each of several runs. The figure element has the drawn points in
`data-points`, from which the script of the page shows the value under the pointer.
"""

import html
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dim_jax.report import formats

WIDTH, HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 10, 26
_POINTS = 400  # more are not visible at this width
SMOOTH_FROM = 40  # number of values from which a running mean is drawn
FEW_LINES = 4  # number of lines up to which an overlay shows the values beside their running mean
COLOURS = 10  # of columns in the style sheet
_LOG_FROM = 20  # ratio of large to small values from which an axis may be logarithmic


class Axis(NamedTuple):
    """Maps values to pixels: `low` and `high` (after log10 if `log`) at `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        if self.log:
            values = np.log10(values)
        return self.start + (values - self.low) / (self.high - self.low) * (self.end - self.start)


class Line(NamedTuple):
    """A metric of a run in an overlay: the values at x.

    column: the index of its colour; runs of one column share it.
    """

    name: str
    column: int
    x: Sequence[float]
    values: Sequence[float | None]


def chart(name: str, steps: Sequence[float], values: Sequence[float | None]) -> str:
    """A figure element with the chart of one metric.

    None and numbers that are not finite are omitted from the lines and counted below the chart.
    """
    raw, x = _finite(values), np.asarray(steps, np.float64)
    good = ~np.isnan(raw)
    missing = len(raw) - int(good.sum())
    if not good.any():
        return _figure(name, "–", "<p class='empty'>no finite value was logged</p>", "[]", "")
    x_axis = Axis(*_widen(x.min(), x.max()), _LEFT, WIDTH - _RIGHT)
    y_axis, cut = _y_axis(raw[good])
    inner = _grid(x_axis, y_axis) + _lines(x, raw, x_axis, y_axis)
    notes = [
        "log scale" if y_axis.log else "",
        f"{cut} off the axis" if cut else "",
        f"{missing} not finite" if missing else "",
    ]
    drawn = _thin_out(raw)
    drawn = drawn[good[drawn]]
    points = [
        [round(px, 1), round(py, 1), int(step), formats.short(value)]
        for px, py, step, value in zip(
            x_axis(x[drawn]),
            np.clip(y_axis(raw[drawn]), _TOP, HEIGHT - _BOTTOM),
            x[drawn],
            raw[drawn],
            strict=True,
        )
    ]
    last = formats.short(raw[good][-1])
    note = " · ".join(note for note in notes if note)
    return _figure(name, last, _svg(name, inner), json.dumps(points, separators=(",", ":")), note)


def overlay(name: str, lines: Sequence[Line], unit: str = "step") -> str:
    """A figure element with one metric of several runs over each other.

    Lines of `SMOOTH_FROM` values or more are running means; up to `FEW_LINES` lines also have their
    values, as thin ones.

    Args:
      unit: of x, in the singular.
    """
    drawn = [(line, np.asarray(line.x, np.float64), _finite(line.values)) for line in lines]
    drawn = [(line, x, raw) for line, x, raw in drawn if np.isfinite(raw).any()]
    if not drawn:
        return _figure(name, "", "<p class='empty'>no finite value was logged</p>", "[]", "")
    all_x = np.concatenate([x for _, x, _ in drawn])
    values = np.concatenate([raw[np.isfinite(raw)] for *_, raw in drawn])
    x_axis = Axis(*_widen(all_x.min(), all_x.max()), _LEFT, WIDTH - _RIGHT)
    y_axis, cut = _y_axis(values)
    count = max(40, 2 * _POINTS // len(drawn))
    strokes, points = [], []
    for index, (line, x, raw) in enumerate(drawn):
        stroke, kept, shown = _stroke(line.column, x, raw, x_axis, y_axis, count, len(drawn))
        strokes.append(stroke)
        heights = np.clip(y_axis(shown), _TOP, HEIGHT - _BOTTOM)
        points += [
            [round(left, 1), round(top, 1), round(at, 3), formats.short(value), line.column, index]
            for left, top, at, value in zip(
                x_axis(kept), heights, kept.tolist(), shown.tolist(), strict=True
            )
            if math.isfinite(top)
        ]
    notes = ["log scale" if y_axis.log else "", f"{cut} off the axis" if cut else ""]
    names = html.escape(json.dumps([line.name for line, *_ in drawn]), quote=True)
    return _figure(
        name,
        "",
        _svg(name, _grid(x_axis, y_axis) + _clipped("".join(strokes)), unit),
        json.dumps(points, separators=(",", ":")),
        " · ".join(note for note in notes if note),
        f" data-unit='{unit}' data-names='{names}'",
    )


def _stroke(
    column: int,
    x: np.ndarray,
    raw: np.ndarray,
    x_axis: Axis,
    y_axis: Axis,
    count: int,
    lines: int,
) -> tuple[str, np.ndarray, np.ndarray]:
    """The elements of one line of an overlay of several `lines`, and its points.

    Args:
      count: the largest number of points.
    """
    smooth = len(raw) >= SMOOTH_FROM
    attributes = f"data-column='{column}' class='{{}} {colour_classes(column)}'"
    parts = []
    if smooth and lines <= FEW_LINES:
        thin = _thin_out(raw, count)
        path = _path(x_axis(x[thin]), y_axis(raw[thin]))
        parts.append(f"<path {attributes.format('raw')} d='{path}'/>")
    kept = _even(len(raw), count) if smooth else np.arange(len(raw))
    x, y = x[kept], (_running_mean(raw) if smooth else raw)[kept]
    px, py = x_axis(x), y_axis(y)
    parts.append(f"<path {attributes.format('main')} d='{_path(px, py)}'/>")
    single = np.flatnonzero(np.isfinite(py))
    if len(single) == 1:
        at = single[0]
        place = f"cx='{px[at]:.1f}' cy='{py[at]:.1f}' r='3'"
        parts.append(f"<circle {attributes.format('point')} {place}/>")
    return "".join(parts), x, y


def colour_classes(column: int) -> str:
    """The classes of the style sheet for the colour of a column; dashed after the last colour."""
    return f"k{column % COLOURS}{' dashed' * (column // COLOURS % 2)}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers in [low, high]."""
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= 0.75 * rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Exponents of powers of ten, with 2 and 5 in between if the range is short."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    factors = (1, 2, 5) if high - low < 2 else (1,)
    stride = max(1, round((high - low) / 4))
    exponents = [decade + math.log10(factor) for decade in decades[::stride] for factor in factors]
    return [exponent for exponent in exponents if low <= exponent <= high]


def _y_axis(values: np.ndarray) -> tuple[Axis, int]:
    """The axis for finite values, and the number of values outside it.

    A few large values would flatten the curve. Positive values over a wide range with a median near
    the bottom have a logarithmic axis; otherwise far outliers of the central 96 % are cut off.
    """
    low, high = float(values.min()), float(values.max())
    q_low, middle, q_high = (float(q) for q in np.quantile(values, (0.02, 0.5, 0.98)))
    if low > 0 and q_high / q_low >= _LOG_FROM and middle - q_low < 0.25 * (q_high - q_low):
        low, high = _widen(math.log10(low), math.log10(high))
        return Axis(low, high, HEIGHT - _BOTTOM, _TOP, log=True), 0
    room = 0.25 * (q_high - q_low)
    if len(values) >= SMOOTH_FROM and high - low > 4 * (q_high - q_low) > 0:
        low, high = max(low, q_low - room), min(high, q_high + room)
    low, high = _widen(low, high, 0.04)
    cut = int(((values < low) | (values > high)).sum())
    return Axis(low, high, HEIGHT - _BOTTOM, _TOP), cut


def _widen(low: float, high: float, share: float = 0.0) -> tuple[float, float]:
    """The range with a margin; a range of a single value is widened on both sides."""
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        room = abs(low) / 10 or 1.0
        return low - room, high + room
    return low - share * (high - low), high + share * (high - low)


def _grid(x_axis: Axis, y_axis: Axis) -> str:
    parts = []
    if y_axis.log:
        y_ticks = [(10.0**tick, tick) for tick in _log_ticks(y_axis.low, y_axis.high)]
    else:
        y_ticks = [(tick, tick) for tick in ticks(y_axis.low, y_axis.high)]
    for value, _ in y_ticks:
        y = float(y_axis(value))
        parts.append(f"<line class='grid' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y:.1f}' ")
        parts.append(f"y2='{y:.1f}'/><text class='y' x='{_LEFT - 7}' y='{y + 3.5:.1f}'>")
        parts.append(f"{formats.short(value)}</text>")
    x_ticks = ticks(x_axis.low, x_axis.high)
    for value in [tick for tick in x_ticks if tick == round(tick)] or x_ticks:
        x = float(x_axis(value))
        parts.append(f"<text class='x' x='{x:.1f}' y='{HEIGHT - 6}'>{_step(value)}</text>")
    return "".join(parts)


def _step(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e4 else f"{value:g}"


def _lines(x: np.ndarray, raw: np.ndarray, x_axis: Axis, y_axis: Axis) -> str:
    drawn = _thin_out(raw)
    smooth = len(raw) >= SMOOTH_FROM
    thin = _path(x_axis(x[drawn]), y_axis(raw[drawn]))
    parts = [f"<path class='{'raw' if smooth else 'main'}' d='{thin}'/>"]
    if smooth:
        even = _even(len(raw), _POINTS)
        mean = _running_mean(raw)[even]
        parts.append(f"<path class='main' d='{_path(x_axis(x[even]), y_axis(mean))}'/>")
    else:
        parts += [
            f"<circle class='point' cx='{px:.1f}' cy='{py:.1f}' r='2.2'/>"
            for px, py in zip(x_axis(x), y_axis(raw), strict=True)
            if math.isfinite(py)
        ]
    return _clipped("".join(parts))


def _clipped(lines: str) -> str:
    """The lines in an inner svg element, which clips them at the axes."""
    box = f"{_LEFT} {_TOP} {WIDTH - _LEFT - _RIGHT} {HEIGHT - _TOP - _BOTTOM}"
    x0, y0, width, height = box.split(" ")
    place = f"x='{x0}' y='{y0}' width='{width}' height='{height}'"
    return f"<svg {place} viewBox='{box}'>{lines}</svg>"


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """SVG path data with gaps where y is not finite."""
    parts, pen_down = [], False
    for px, py in zip(x, y, strict=True):
        if math.isfinite(py):
            parts.append(f"{'L' if pen_down else 'M'}{px:.1f} {py:.1f}")
        pen_down = math.isfinite(py)
    return "".join(parts)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """The mean over a window of a fifteenth of the values; NaN where a value is not finite."""
    half = max(1, len(values) // 30)
    good = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(good, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(good)])
    index = np.arange(len(values))
    # The window shrinks on both sides near the ends, so that the mean stays centred.
    width = np.clip(np.minimum(index, len(values) - 1 - index), half // 3, half)
    start, stop = np.maximum(index - width, 0), np.minimum(index + width + 1, len(values))
    means = (sums[stop] - sums[start]) / np.maximum(counts[stop] - counts[start], 1)
    return np.where(good, means, np.nan)


def _finite(values: Sequence[float | None]) -> np.ndarray:
    """The values f64[n] with NaN in the place of None and of what is not finite."""
    raw = np.array([math.nan if value is None else value for value in values], np.float64)
    raw[~np.isfinite(raw)] = math.nan
    return raw


def _even(length: int, count: int) -> np.ndarray:
    """At most `count` indices at equal distances."""
    return np.unique(np.linspace(0, length - 1, count).astype(int))


def _thin_out(values: np.ndarray, count: int = _POINTS) -> np.ndarray:
    """Indices of at most `count` values, with the smallest and largest of each segment."""
    if len(values) <= count:
        return np.arange(len(values))
    indices = {0, len(values) - 1}
    for segment in np.array_split(np.arange(len(values)), count // 2 - 1):
        part = values[segment]
        if not np.isnan(part).all():
            indices |= {segment[np.nanargmin(part)], segment[np.nanargmax(part)]}
    return np.array(sorted(indices))


def _svg(name: str, inner: str, unit: str = "step") -> str:
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' "
        f"aria-label='{html.escape(name, quote=True)} over {unit}s'>{inner}"
        f"<line class='axis' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{HEIGHT - _BOTTOM}' "
        f"y2='{HEIGHT - _BOTTOM}'/><g class='hover' visibility='hidden'>"
        f"<line y1='{_TOP}' y2='{HEIGHT - _BOTTOM}'/><circle r='3.5'/></g></svg>"
    )


def _figure(name: str, last: str, body: str, points: str, note: str, attributes: str = "") -> str:
    return (
        f"<figure class='curve' data-points='{html.escape(points, quote=True)}'{attributes}>"
        f"<figcaption><b>{html.escape(name)}</b><output>{last}</output></figcaption>"
        f"{body}<small>{html.escape(note)}</small></figure>"
    )
