"""The image-manifold layer on MNIST: what information and entropy do to its embedded filters.

    python -m experiments.manifold_embedding --budget=cpu

The poster's figure has three panels and no numbers: by the cross-entropy alone filters have no
structure and no order; with information they have, but many coincide; with entropy too all are used
and lie evenly. Here the classifier reads the responses, so that the cross-entropy moves no
positions. Our panels are drawn side by side next to the table.
"""

import pathlib
from collections.abc import Sequence

from PIL import Image

from dim_jax.evaluate.figures import drawing
from experiments import table

DIFFERS = {
    "paper": "layer, optimizer, weights and duration ours: none is published",
    "cpu": "as paper; stride 2, a sixth of the training images, bfloat16",
    "smoke": "tiny network, 512 images, 2 epochs",
}
SEEDS = {"paper": (0, 1, 2), "cpu": (0, 1, 2), "smoke": (0,)}
PLAIN, KNOWN, ALL = "CE", "CE, I", "CE, I, H"
WORDS = {PLAIN: "ce", KNOWN: "ce_i", ALL: "ce_i_h"}
_LAYER = "layer1"


def rows(budget: str) -> list[table.Row]:
    """The three panels under one budget."""
    return [
        table.Row(
            label,
            f"configs/manifold_mnist.py:terms={terms},budget={budget}",
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
        )
        for label, terms in WORDS.items()
    ]


def directions(rows) -> list[table.Direction]:
    """What the poster says of its panels, in our numbers, and what the bound has to show."""
    del rows
    entropy, known, shuffled, positions, order = (
        ("embedding", _LAYER, metric)
        for metric in (
            *("entropy_fraction", "information", "information_shuffled", "positions", "order"),
        )
    )
    return [
        table.Direction("I orders the filters", KNOWN, PLAIN, order),
        table.Direction("I and H order the filters", ALL, PLAIN, order),
        table.Direction("ordered by training, not before", ALL, ALL, order, (*order, "untrained")),
        table.Direction("I raises the information of the embedding", KNOWN, PLAIN, known),
        table.Direction("I alone lets filters coincide", ALL, KNOWN, positions),
        table.Direction("H spreads use, against I alone", ALL, KNOWN, entropy),
        table.Direction("H spreads use, against CE", ALL, PLAIN, entropy),
        table.Direction("matched pairs above shuffled pairs", ALL, ALL, known, shuffled),
    ]


def draw(chosen: Sequence[table.Row], file: pathlib.Path) -> None:
    """The rows' pictures of the embedding side by side, of the first seed; none, no file."""
    found = {row.label: table.folder(row, row.seeds[0]) / "figures/embedding.png" for row in chosen}
    found = {label: path for label, path in found.items() if path.exists()}
    if not found:
        return
    figure = drawing.new(4.2 * len(found), 4.5)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (label, path) in zip(panels, found.items(), strict=True):
        axes.imshow(Image.open(path), interpolation="lanczos")
        axes.set_title(label, color=drawing.INK)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(drawing.LINE)
    figure.tight_layout()
    figure.savefig(file)


if __name__ == "__main__":
    content = table.main("manifold_embedding", rows, DIFFERS, directions)
    name = content["experiment"]
    draw(rows(name.rpartition("_")[2]), table.RESULTS / f"{name}.png")
