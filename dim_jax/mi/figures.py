"""The figures of an estimate. matplotlib is imported where one is drawn; no pyplot."""

import io
from typing import Any

import numpy as np

from dim_jax.mi import statements
from dim_jax.mi.columns import Columns

Estimate = statements.Estimate
_INK, _FAINT, _LINE = "#11181f", "#57626d", "#d7dbe2"
_VALUE, _NULL, _TRAINING = "#0b66d0", "#7d8894", "#cf7a00"
_DPI = 160
_SHOWN = 3  # columns of each argument in the scatter
_POINTS = 2_000
_NAMED = 12  # classes with a name at the axis


def summary(estimate: Estimate) -> Any:
    """A matplotlib figure: the value, its interval and bound beside the null, and its histogram."""
    figure = _new(10.6, 3.0)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1.15, 1]})
    _draw_value(left, estimate)
    _draw_null(right, estimate)
    return figure


def curves(estimate: Estimate) -> Any | None:
    """Values of batches and of held-out samples while the networks are fitted; None without any."""
    if not estimate.curve:
        return None
    figure = _new(10.6, 3.2)
    axes = figure.subplots()
    for kind, colour, title in (
        ("training", _TRAINING, "training batches"),
        ("validation", _VALUE, "held-out samples"),
    ):
        folds = sorted({point.fold for point in estimate.curve})
        for fold in folds:
            points = sorted((p.step, getattr(p, kind)) for p in estimate.curve if p.fold == fold)
            steps, values = np.array(points, np.float64).T
            label = title if fold == folds[0] else None
            axes.plot(steps, values, color=colour, lw=1.4, alpha=0.8, label=label)
            if len(steps) == 1:
                axes.plot(steps, values, "o", color=colour, ms=4)
    axes.axhline(estimate.nats, color=_INK, lw=1, ls=(0, (4, 3)), label="estimate")
    _finish(axes, "step", "nats")
    axes.legend(frameon=False, fontsize=9, labelcolor=_INK)
    return figure


def scatter(x: Columns, y: Columns) -> Any | None:
    """The first columns of y against those of x, as normal scores; None for images.

    Normal scores have the ranks of the values and the distribution N(0, 1): the mutual information
    depends on nothing else of a column. Classes stand side by side.
    """
    if x.images or y.images:
        return None
    across, down = (min(_SHOWN, each.values.shape[1]) for each in (x, y))
    single = across == down == 1
    figure = _new(5.2 if single else 10.6, 4.2 if single else min(5.5, 0.6 + 2.7 * down))
    grid = figure.subplots(down, across, squeeze=False, sharex="col", sharey="row")
    rows = np.random.default_rng(0).permutation(len(x.values))[:_POINTS]
    for j in range(down):
        for i in range(across):
            axes = grid[j, i]
            axes.scatter(
                *(_scores(each, k, seed)[rows] for each, k, seed in ((x, i, 1), (y, j, 2))),
                **dict(s=5, color=_VALUE, alpha=0.35, linewidths=0, rasterized=True),
            )
            _name_classes(axes.xaxis, x)
            _name_classes(axes.yaxis, y)
            _finish(
                axes,
                _plain(x.names[i]) if j == down - 1 else "",
                _plain(y.names[j]) if i == 0 else "",
            )
    return figure


def png(figure: Any) -> bytes:
    """A matplotlib figure as a PNG file."""
    from matplotlib.backends import backend_agg

    backend_agg.FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()


def _draw_value(axes: Any, estimate: Estimate) -> None:
    low, high = estimate.interval
    axes.axvline(0, color=_LINE, lw=1)
    axes.plot([low, high], [1, 1], color=_VALUE, lw=5, alpha=0.35, solid_capstyle="butt")
    axes.plot(estimate.nats, 1, "o", color=_VALUE, ms=9, zorder=3)
    axes.annotate(
        f"{estimate.nats:.3f}",
        *((estimate.nats, 1), (0, 10)),
        **dict(textcoords="offset points", ha="center", color=_VALUE, fontsize=11, weight="bold"),
    )
    rows = {1: f"value, {statements.level(estimate.confidence)}"}
    null = statements.null_range(estimate)
    if null is not None:
        axes.plot(null, [0, 0], color=_NULL, lw=5, alpha=0.5, solid_capstyle="butt")
        axes.plot(np.mean(null), 0, "o", color=_NULL, ms=6)
        rows[0] = "permuted pairs"
    if estimate.guaranteed is not None:
        axes.plot([estimate.guaranteed] * 2, [1.8, 2.2], color=_INK, lw=2)
        axes.annotate(
            "",
            *((1, 2), (estimate.guaranteed, 2)),
            **dict(xycoords=("axes fraction", "data"), textcoords="data"),
            arrowprops=dict(arrowstyle="->", color=_FAINT, lw=1, shrinkA=0),
        )
        rows[2] = "guaranteed, at least"
    axes.set_yticks([*rows], [*rows.values()])
    axes.set_ylim(-0.6, 2.6 if 2 in rows else 1.7)
    axes.margins(x=0.12)
    _finish(axes, "nats", "")


def _draw_null(axes: Any, estimate: Estimate) -> None:
    null = np.asarray(estimate.null, np.float64)
    null = null[np.isfinite(null)]
    if not len(null):
        axes.set_axis_off()
        return
    axes.hist(null, bins=min(40, max(8, len(null) // 20)), color=_NULL, alpha=0.65)
    low, high = float(null.min()), float(null.max())
    room = (high - low) or abs(low) or 1.0
    if low - room <= estimate.nats <= high + room:
        axes.axvline(estimate.nats, color=_VALUE, lw=2)
        place, text, side = estimate.nats, f" value {estimate.nats:.3f}", "left"
        transform = axes.get_xaxis_transform()
    else:
        side = "right" if estimate.nats > high else "left"
        arrow = (
            f"value {estimate.nats:.3f} →" if side == "right" else f"← value {estimate.nats:.3f}"
        )
        place, text, transform = (1.0 if side == "right" else 0.0), arrow, axes.transAxes
    axes.text(place, 0.93, text, transform=transform, color=_VALUE, ha=side, fontsize=10)
    _finish(axes, "nats of permuted data", "permutations")


def _scores(columns: Columns, index: int, seed: int) -> np.ndarray:
    """The normal scores of a column, or its classes from 0 with some width."""
    column = columns.values[:, index]
    codes, counts = np.unique(column, return_inverse=True, return_counts=True)[1:]
    if columns.discrete:
        return codes + np.random.default_rng(seed).uniform(-0.3, 0.3, len(codes))
    from scipy import special

    middle = np.cumsum(counts) - counts / 2  # ties share the middle of their ranks
    return special.ndtri(middle / len(column))[codes]


def _name_classes(axis: Any, columns: Columns) -> None:
    if columns.discrete and columns.values.shape[1] == 1:
        classes = np.unique(columns.values)
        if len(classes) <= _NAMED:
            axis.set_ticks(range(len(classes)), [f"{value:g}" for value in classes])


def _new(width: float, height: float) -> Any:
    from matplotlib import figure as figures

    return figures.Figure((width, height), dpi=_DPI, facecolor="white", layout="constrained")


def _finish(axes: Any, across: str, up: str) -> None:
    axes.set_xlabel(across, color=_FAINT, fontsize=10)
    axes.set_ylabel(up, color=_FAINT, fontsize=10)
    axes.tick_params(colors=_FAINT, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_LINE)


def _plain(name: str) -> str:
    """A name without formulas, cut where it is long."""
    name = name if len(name) <= 30 else f"{name[:29]}…"
    return name.replace("$", r"\$")
