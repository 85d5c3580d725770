"""The staircase of mutual information as small multiples: values, bias, variance and error."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dim_jax.evaluate.figures import drawing
from experiments import mi_staircase_data, mi_staircase_summary

_ESTIMATORS = (
    *("infonce", "nwj", "js_nwj", "interpolated_0.01", "tuba"),
    *("mine", "smile_1", "smile_5", "smile_inf", "difference_of_entropies"),
)
_COLOURS = {"separable": "#3b6fb6", "none": "#3b6fb6", "joint": "#e8853a"}
_DISTRIBUTIONS = {"gaussian": "Gaussians", "cubed": "cubes"}
_ACROSS = 5  # panels in a row
_SPAN = 200  # steps of the moving average, as in the notebook of Song and Ermon
_PARTS = 80  # of a stair, of each of which the lowest and highest value are shown


def write(loaded: Mapping[Any, Mapping], rows: Sequence[dict], path: pathlib.Path) -> None:
    """Values of seed 0 by estimator, then bias, variance and error by information."""
    figure = drawing.new(12.5, 16.5)
    upper, lower = figure.subfigures(2, 1, height_ratios=(10, 6.5))
    _values(upper, loaded)
    _measures(lower, rows)
    figure.savefig(path)


def smoothed(values: np.ndarray, span: int = _SPAN) -> np.ndarray:
    """The exponential moving average f64[n] of values f[n], unbiased from the first on."""
    decay = 1 - 2 / (span + 1)
    total = weight = 0.0
    averages = np.empty(len(values))
    for index, value in enumerate(values):
        if np.isfinite(value):
            total, weight = decay * total + value, decay * weight + 1
        averages[index] = total / weight if weight else np.nan
    return averages


def _values(figure: Any, loaded: Mapping[Any, Mapping]) -> None:
    down = len(_DISTRIBUTIONS) * math.ceil(len(_ESTIMATORS) / _ACROSS)
    axes = figure.subplots(down, _ACROSS, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.06, right=0.985, top=0.92, bottom=0.06, hspace=0.3, wspace=0.06)
    stairs = len(mi_staircase_data.NATS)
    panels = [(each, name) for each in _DISTRIBUTIONS for name in _ESTIMATORS]
    for panel, (distribution, estimator) in zip(axes.flat, panels, strict=True):
        for training, values in loaded.items():
            shown = training.distribution == distribution and training.critic in _COLOURS
            if shown and training.seed == 0 and estimator in values:
                _curve(panel, values[estimator], _COLOURS[training.critic])
        edges = np.arange(stairs + 1)
        panel.stairs(mi_staircase_data.NATS, edges, color=drawing.INK, baseline=None)
        ceiling = math.log(mi_staircase_data.BATCH)
        panel.axhline(ceiling, color=drawing.FAINT, linewidth=0.8, linestyle="--")
        name = mi_staircase_summary.title(estimator)
        panel.set_title(f"{name}\n{_DISTRIBUTIONS[distribution]}", fontsize=8.5)
        panel.set(ylim=(-1, 12), xlim=(0, stairs))
        panel.tick_params(labelsize=8)
    for panel in axes[:, 0]:
        panel.set_ylabel("nats", fontsize=8.5)
    for panel in axes[-1]:
        panel.set_xlabel("stair", fontsize=8.5)
    lines = [
        *((_COLOURS[name], "-", f"{name} critic") for name in ("separable", "joint")),
        *((drawing.INK, "-", "truth"), (drawing.FAINT, "--", "log 64")),
    ]
    for colour, style, label in lines:
        axes[0, 0].plot([], [], color=colour, linestyle=style, label=label)
    figure.legend(loc="upper center", ncols=4, frameon=False, fontsize=9)


def _curve(panel: Any, values: np.ndarray, colour: str) -> None:
    """Lowest and highest values of parts of the stairs, and the moving average."""
    flat = np.concatenate(values)
    steps = values.shape[1]
    parts = np.array_split(flat, min(_PARTS * len(values), len(flat)))
    ends = np.array([(part.min(), part.max()) for part in parts])
    places = (np.arange(len(parts)) + 0.5) * len(values) / len(parts)
    panel.fill_between(places, *ends.T, color=colour, alpha=0.25, linewidth=0)
    every = max(1, steps // 400)
    lines = smoothed(flat)[every - 1 :: every]
    panel.plot(np.arange(1, len(lines) + 1) * every / steps, lines, color=colour, linewidth=1.2)


def _measures(figure: Any, rows: Sequence[dict]) -> None:
    axes = figure.subplots(2, 3, sharex=True)
    figure.subplots_adjust(left=0.06, right=0.985, top=0.95, bottom=0.16, hspace=0.22, wspace=0.18)
    colours = dict(zip(_ESTIMATORS, drawing.colours(len(_ESTIMATORS)), strict=True))
    for panels, (distribution, data) in zip(axes, _DISTRIBUTIONS.items(), strict=True):
        chosen = {
            row["estimator"]: row
            for row in rows
            if row["distribution"] == distribution and row["critic"] in ("separable", "none")
        }
        names = {"bias": "bias, nats", "variance": "variance", "mse": "mean squared error"}
        for panel, (measure, label) in zip(panels, names.items(), strict=True):
            for name in (each for each in _ESTIMATORS if each in chosen):
                seeds = np.array(chosen[name][measure], float)
                style = dict(color=colours[name], linewidth=1.2, markersize=4)
                style["label"] = mi_staircase_summary.title(name)
                panel.plot(mi_staircase_data.NATS, seeds.mean(0), "o-", **style)
            panel.set_title(f"{label}: {data}, separable critic", fontsize=8.5)
            panel.tick_params(labelsize=8)
            if measure == "bias":
                panel.set_ylim(-11, 4)
                panel.axhline(0, color=drawing.LINE, linewidth=0.8)
            else:
                panel.set_yscale("log")
                panel.set_ylim(1e-3, 1e3)
    for panel in axes[-1]:
        panel.set_xlabel("information, nats", fontsize=8.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False, fontsize=9)
