"""Figure 9 of Deep InfoMax on CIFAR-10: accuracy at y and conv against the negatives per positive.

    python -m experiments.dim_figure9 --budget=cpu

The published axis is log2 of the number of negatives; JSD is flat, InfoNCE falls as they shrink,
DV falls and becomes unstable. The published grid is not printed; ours is in powers of 8. Negatives
are drawn anew at each step from the other images of the batch (4,032 of them with batches of 64).
"""

import pathlib

from dim_jax.evaluate.figures import drawing
from experiments import evaluations, table, table_text

DIFFERS = {
    "paper": "one seed instead of three; our grid",
    "cpu": "2 epochs, rate and critic width of the cpu budget, evaluated with mlp-v1; our grid",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "cpu": (0,), "smoke": (0,)}
BOUNDS = {"paper": ("infonce", "jsd", "dv"), "cpu": ("infonce", "jsd"), "smoke": ("infonce",)}
SHORT = {"cpu": ("--config.train.epochs=2",)}
NAMES = {"infonce": "InfoNCE", "jsd": "JSD", "dv": "DV"}
ALL = 4032  # 63 other images of 64 locations
COUNTS = {"paper": (ALL, 512, 64, 8, 1), "cpu": (ALL, 64, 1), "smoke": (ALL, 1)}
TAPS = ("y", "conv")


def rows(budget: str) -> list[table.Row]:
    """One row for each bound and number of negatives."""
    return [
        table.Row(
            _label(bound, count),
            config,
            (
                *SHORT.get(budget, ()),
                *((f"--config.method.method.negatives={count}",) if count < ALL else ()),
            ),
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
            compared=count == ALL,  # with Table 1; the figure prints no numbers
            evals=evaluations.y(config, "conv"),
        )
        for bound in BOUNDS[budget]
        for config in [f"configs/dim_cifar10.py:local,bound={bound},budget={budget},tasks=plain"]
        for count in COUNTS[budget]
    ]


def _label(bound: str, count: int) -> str:
    return f"{NAMES[bound]}, {count:,} negative{'s' if count > 1 else ''}"


def directions(rows) -> list[table.Direction]:
    """The claims of the figure at both taps: InfoNCE needs many negatives, JSD does not."""
    judge = evaluations.judge(rows[0].config)
    many, one = _label("infonce", ALL), _label("infonce", 1)
    flat, flat_one = _label("jsd", ALL), _label("jsd", 1)
    claims = (
        ("InfoNCE falls from all negatives to one", many, one),
        ("JSD does not fall from all negatives to one", flat_one, flat),
        ("with one negative JSD is above InfoNCE", flat_one, one),
    )
    return [
        table.Direction(f"{claim}, at {tap}", larger, smaller, (judge, tap, "accuracy"))
        for tap in TAPS
        for claim, larger, smaller in claims
    ]


def draw(content: dict, file: pathlib.Path) -> None:
    """The figure: accuracy in percent over log2 of the number of negatives, a panel for each tap.

    A row that was not measured at a tap has no point there, a tap without rows no panel.

    Raises: ValueError: nothing was measured at any tap.
    """
    panels = {tap: curves for tap in TAPS if (curves := _curves(content["rows"], tap))}
    if not panels:
        raise ValueError(f"no row has an accuracy at {' or '.join(TAPS)}")
    figure = drawing.new(5.2 * len(panels), 3.6)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (tap, curves) in zip(grid, panels.items(), strict=True):
        for name, points in curves.items():
            counts, values, spreads = zip(*points, strict=True)
            axes.errorbar(counts, values, yerr=spreads, marker="o", capsize=3, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("negatives per positive")
        axes.set_ylabel(f"test accuracy at {tap}, %")
        axes.legend(frameon=False)
    figure.savefig(file, dpi=120, bbox_inches="tight")


def _curves(rows: list[dict], tap: str) -> dict[str, list[tuple[int, float, float]]]:
    """By bound: numbers of negatives, accuracies in percent, and their deviations over seeds."""
    cells = {row["label"]: _cell(row, tap) for row in rows}
    curves = {
        name: [
            (count, 100 * cell["value"], 100 * (cell["std_over_seeds"] or 0.0))
            for count in COUNTS["paper"]
            if (cell := cells.get(_label(bound, count)))
        ]
        for bound, name in NAMES.items()
    }
    return {name: points for name, points in curves.items() if points}


def _cell(row: dict, tap: str) -> dict | None:
    """The trained encoder's accuracy at a tap, by the published classifier where it was run."""
    cells = (table_text.accuracy([row], each, "trained", tap) for each in ("mlp_paper", "mlp"))
    return next(filter(None, cells), None)


if __name__ == "__main__":
    content = table.main("dim_figure9", rows, DIFFERS, directions)
    draw(content, table.RESULTS / f"{content['experiment']}.png")
