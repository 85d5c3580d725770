"""The accuracy tables of the report page: numbers, and a plot of them beside."""

import html
import math
from collections.abc import Sequence

from dim_jax.report import curves, tables

_ROLES = ("trained", "untrained", "pixels", "pca")


def table(groups: Sequence[tables.Group]) -> str:
    """A table of several groups, which share columns and the scale of the plot."""
    names = tables.columns(groups)
    published = tables.has_published(groups)
    scale = _scale(groups)
    head = ["<th scope='col'>Features</th>"]
    for name in names:
        title = html.escape(tables.representation_title(name, groups))
        shape = " line" if any(name in group.controls for group in groups) else ""
        head.append(f"<th scope='col'><i class='key{shape} {_role(name)}'></i>{title}</th>")
    if published:
        head.append("<th scope='col'><i class='key diamond'></i>Published</th>")
    head.append("<th class='plot' aria-hidden='true'></th>")
    bodies = "".join(_body(group, names, published, scale) for group in groups)
    few = " few" if len(head) < 5 else ""  # the names of the groups need room
    return f"<table class='probes{few}'><thead><tr>{''.join(head)}</tr></thead>{bodies}</table>"


def _body(
    group: tables.Group, names: Sequence[str], published: bool, scale: tuple[float, float]
) -> str:
    width = 1 + len(names) + published
    labels = "".join(
        f"<span style='left:{_left(tick, scale)}'>{tick:g}</span>" for tick in _ticks(scale)
    )
    lines = [
        f"<tr class='group'><th colspan='{width}' scope='rowgroup'>{html.escape(group.title)}"
        f"<small>{html.escape(group.setting)}</small></th>"
        f"<td class='plot' aria-hidden='true'><div class='ticks'>{labels}</div></td></tr>"
    ]
    taps = group.taps or ("",)
    for index, tap in enumerate(taps):
        dim = group.dim(tap)
        size = f" <small>{dim:,}-d</small>" if dim else ""
        cells = [f"<th scope='row'>{html.escape(tap)}{size}</th>"]
        for name in names:
            if name not in group.controls:
                cells.append(_cell(group, name, group.row(name, tap), ""))
            elif index == 0:  # a single number, which spans all taps
                span = f" rowspan='{len(taps)}'" if len(taps) > 1 else ""
                cells.append(_cell(group, name, group.row(name, tap), span))
        if published:
            text = tables.published_text(group.published(tap))
            cells.append(f"<td>{text}</td>" if text else "<td class='none'>–</td>")
        plot = _plot(group, names, tap, scale)
        lines.append(
            f"<tr>{''.join(cells)}<td class='plot' aria-hidden='true'><div class='track'>"
            f"{plot}</div></td></tr>"
        )
    return f"<tbody>{''.join(lines)}</tbody>"


def _cell(group: tables.Group, name: str, row: tables.Row | None, span: str) -> str:
    if row is None or not tables.is_number(row["value"]):
        return f"<td class='none'{span}>–</td>"
    classes = [_role(name)]
    if name in group.controls and len(group.taps) > 1:
        classes.append("shared")
    if row is group.best():
        classes.append("best")
    spread = tables.spread(row)
    return (
        f"<td class='{' '.join(classes)}'{span}><b>{tables.percent(row['value'])}</b>"
        f"<small>{spread}</small></td>"
    )


def _plot(group: tables.Group, names: Sequence[str], tap: str, scale: tuple[float, float]) -> str:
    """Marks for the encoders, joined by a bar; lines for the controls; a published diamond."""
    parts = [f"<i class='tick' style='left:{_left(tick, scale)}'></i>" for tick in _ticks(scale)]
    marks, values = [], []
    for name in names:
        row = group.row(name, tap)
        if row is None or not tables.is_number(row["value"]):
            continue
        left = _left(100 * row["value"], scale)
        if name in group.controls:
            parts.append(f"<i class='line {_role(name)}' style='left:{left}'></i>")
        else:
            values.append(100 * row["value"])
            marks.append(f"<i class='mark {_role(name)}' style='left:{left}'></i>")
    if values:
        start, end = _position(min(values), scale), _position(max(values), scale)
        parts.append(f"<i class='bar' style='left:{start:.2f}%;width:{end - start:.2f}%'></i>")
    published = group.published(tap)
    if published is not None:
        parts.append(f"<i class='mark diamond' style='left:{_left(published, scale)}'></i>")
    # The trained encoder is the first column and has to be drawn on top of the others.
    return "".join(parts + marks[::-1])


def _scale(groups: Sequence[tables.Group]) -> tuple[float, float]:
    """The range in percent that contains all numbers of the groups, in steps of five."""
    values = [
        100 * row["value"] for g in groups for row in g.rows if tables.is_number(row["value"])
    ]
    values += [p for g in groups for tap in g.taps if (p := g.published(tap)) is not None]
    if not values:
        return 0.0, 100.0
    low = max(0.0, 5.0 * math.floor((min(values) - 1.5) / 5))
    high = min(100.0, 5.0 * math.ceil((max(values) + 1.5) / 5))
    return low, high


def _ticks(scale: tuple[float, float]) -> list[float]:
    return curves.ticks(*scale, count=6)


def _position(value: float, scale: tuple[float, float]) -> float:
    return 100 * (value - scale[0]) / (scale[1] - scale[0])


def _left(value: float, scale: tuple[float, float]) -> str:
    return f"{_position(value, scale):.2f}%"


def _role(name: str) -> str:
    return name if name in _ROLES else "other"
