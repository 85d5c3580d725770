"""A study of DIM's three weights: rows over a grid of them, and a map for each measure."""

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from dim_jax.evaluate.figures import drawing
from experiments import table

# The published grid is in no stored source; ours.
GRIDS = {"paper": (0.0, 0.1, 0.5, 1.0), "cpu": (0.0, 0.1, 1.0), "smoke": (0.0, 1.0)}
GAMMA = 0.1  # that of DIM(L), while alpha and beta change
GAMMAS = {"paper": (0.0, 0.01, 0.1, 1.0), "cpu": (0.0, 0.1, 1.0), "smoke": (0.0, 1.0)}
CENTRE = (0.5, 0.1)  # alpha and beta of Table 4's DIM(L+G), while gamma changes

Measure = tuple[str, str, str]


def rows(
    config: str,
    budget: str,
    differs: str,
    overrides: tuple[str, ...] = (),
    method: str = "method",
    evals: dict | None = None,
) -> list[table.Row]:
    """A row for each pair of alpha and beta (but not both 0), then for each other gamma.

    method: where the config has the DIM block, "method" or, under an online probe, "method.method".
    """
    grid = itertools.product(GRIDS[budget], repeat=2)
    points = [(alpha, beta, GAMMA) for alpha, beta in grid if alpha or beta]
    points += [(*CENTRE, gamma) for gamma in GAMMAS[budget]]
    return [
        table.Row(
            label(*point),
            config,
            (
                *(
                    f"--config.{method}.{name}={value}"
                    for name, value in zip(("alpha", "beta", "gamma"), point, strict=True)
                ),
                *overrides,
            ),
            differs=differs,
            evals=evals,
        )
        for point in dict.fromkeys(points)
    ]


def label(alpha: float, beta: float, gamma: float) -> str:
    """The name of the row of these weights."""
    return f"alpha {alpha:g}, beta {beta:g}, gamma {gamma:g}"


def draw(
    content: dict, budget: str, measures: Sequence[tuple[str, Measure]], file: pathlib.Path
) -> None:
    """One panel for each measure: a map over alpha and beta above, a curve over gamma below.

    measures: (title, (evaluation, tap, metric)); accuracies are drawn in percent.
    """
    figure = drawing.new(2.6 * len(measures), 5.2)
    panels = figure.subplots(2, len(measures), squeeze=False, height_ratios=(3, 2))
    found = {row["label"]: row for row in content["rows"]}
    for column, (title, measure) in enumerate(measures):
        _map(panels[0, column], found, GRIDS[budget], measure)
        panels[0, column].set_title(title)
        _curve(panels[1, column], found, GAMMAS[budget], measure)
    figure.tight_layout()
    figure.savefig(file)


def _map(axes, found: dict, grid: Sequence[float], measure: Measure) -> None:
    values = np.array(
        [[_value(found, label(alpha, beta, GAMMA), measure) for beta in grid] for alpha in grid]
    )
    axes.imshow(values, origin="lower", cmap="Blues", alpha=0.7)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=8)
    ticks, names = range(len(grid)), [f"{weight:g}" for weight in grid]
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.set_xlabel("beta (local)")
    axes.set_ylabel("alpha (global)")


def _curve(axes, found: dict, gammas: Sequence[float], measure: Measure) -> None:
    values = [_value(found, label(*CENTRE, gamma), measure) for gamma in gammas]
    axes.plot(range(len(gammas)), values, marker="o", color=drawing.INK)
    axes.set_xticks(range(len(gammas)), [f"{gamma:g}" for gamma in gammas])
    axes.set_xlabel(f"gamma (prior)\nalpha {CENTRE[0]:g}, beta {CENTRE[1]:g}")


def _value(found: dict, name: str, measure: Measure) -> float:
    """The trained encoder's measure in one row, NaN where it was not run."""
    for cell in found.get(name, {}).get("measures", ()):
        if cell["representation"] == "trained" and (
            (cell["eval"], cell["tap"], cell["metric"]) == measure
        ):
            return cell["value"] * (100 if cell["metric"].endswith("accuracy") else 1)
    return float("nan")
