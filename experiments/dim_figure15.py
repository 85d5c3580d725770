"""Figure 15 of Deep InfoMax: scores of real and generated images under four objectives.

    python -m experiments.dim_figure15 --budget=cpu

The proxy loss and least squares do not keep the two apart by a fixed distance; two Gaussians do,
and if their targets hardly overlap, the generator is left without a gradient. The figure is that
of the runs' reports, one panel for each row. Two rows are runs of Table 11.
"""

import pathlib

import numpy as np
from PIL import Image

from dim_jax.evaluate.figures import drawing
from experiments import dim_table11, table

CONFIGS = {
    "proxy loss": "configs/gan.py:proxy,data={data},budget={budget}",
    "least squares": "configs/gan.py:ls_gan,data={data},budget={budget}",
    "two Gaussians": dim_table11.CONFIGS[dim_table11.METHOD],
    "two Gaussians, 5 apart": (
        "configs/implicit_generator.py:targets=apart,data={data},budget={budget}"
    ),
}
SEEDS = (0,)


def rows(budget: str) -> list[table.Row]:
    return [dim_table11.row(budget, label, config, SEEDS) for label, config in CONFIGS.items()]


def directions(rows) -> list[table.Direction]:
    overlap = ("scores", "y", "score_overlap")
    judge = "inception" if "tiny_imagenet" in rows[0].config else "supervised"
    near, apart = "two Gaussians", "two Gaussians, 5 apart"
    return [
        table.Direction("scores overlap more with overlapping targets", near, apart, overlap),
        table.Direction(
            "samples are nearer to the data with overlapping targets",
            *(apart, near, ("fid", "samples", f"fid[{judge}]")),
        ),
    ]


def draw(rows: list[table.Row], file: pathlib.Path) -> None:
    """The histograms of the rows that have been run, one below the other."""
    panels = {}
    for row in rows:
        picture = table.folder(row, SEEDS[0]) / "figures" / "scores.png"
        if picture.exists():
            panels[row.label] = np.asarray(Image.open(picture).convert("RGB"))
    figure = drawing.new(9.0, 2.9 * -(-len(panels) // 2))
    for index, (label, picture) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, index)
        axes.imshow(picture)
        axes.set_title(label, fontsize=10, color=drawing.INK)
        axes.set_axis_off()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    arguments = (rows, dim_table11.SEEDS, directions, dim_table11.train_judge)
    content = table.main("dim_figure15", *arguments)
    budget = content["experiment"].rpartition("_")[2]
    draw(rows(budget), table.RESULTS / f"{content['experiment']}.png")
