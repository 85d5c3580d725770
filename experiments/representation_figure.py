"""The figure of mutual information and representations: one panel for each of parts (a) to (c)."""

import pathlib
from collections.abc import Sequence

import numpy as np

from dim_jax.evaluate.figures import drawing
from experiments import representation_claims as claims

_NAMES = {"infonce": "InfoNCE", "nwj": "NWJ"}


def draw(content: dict, file: pathlib.Path) -> None:
    """Accuracy of the probe over steps, against the bound of critics, and of encoders."""
    figure = drawing.new(13, 4.3)
    panels = figure.subplots(1, 3)
    rows = content["rows"]
    _bijections(panels[0], rows)
    _critics(panels[1], rows)
    _held(panels[2], rows)
    for axes, letter in zip(panels, "abc", strict=True):
        axes.set_title(f"({letter}) {axes.get_title()}", fontsize=10.5, color=drawing.INK)
        axes.set_ylabel("linear probe of the top half, %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=drawing.LINE, linewidth=0.5)
    figure.tight_layout()
    figure.savefig(file)


def _curve(axes, rows: Sequence[dict], colour: str, label: str) -> None:
    steps = [point["step"] for point in rows[0]["trace"]]
    values = np.array([[100 * point["accuracy"] for point in row["trace"]] for row in rows])
    axes.plot(steps, values.T, color=colour, alpha=0.35, linewidth=1)
    axes.plot(steps, values.mean(0), color=colour, marker="o", markersize=4, label=label)


def _bijections(axes, rows: Sequence[dict]) -> None:
    colours = drawing.colours(3)
    for name, colour in zip(_NAMES, colours, strict=False):
        of_bound = claims.chosen(rows, part="bijection", objective=name)
        _curve(axes, of_bound, colour, f"{_NAMES[name]} maximised")
    against = claims.chosen(rows, part="adversarial")
    _curve(axes, against, colours[2], "against linear classifiers")
    pixels = 100 * against[0]["trace"][0]["accuracy"]
    axes.axhline(pixels, color=drawing.FAINT, linewidth=1, linestyle="--", label="pixels")
    axes.set(xlabel="training steps", title="information constant: bijections")
    axes.legend(frameon=False, fontsize=9)


def _critics(axes, rows: Sequence[dict]) -> None:
    for critic, colour in zip(claims.CRITICS, drawing.colours(3), strict=True):
        found = claims.chosen(rows, part="critics", critic=critic)
        bounds, accuracies = (claims.last(found, each) for each in ("bound", "accuracy"))
        axes.scatter(bounds, 100 * accuracies, 30, colour, label=critic)
    axes.set(xlabel="InfoNCE on held-out images, nats", title="MLP encoders under three critics")
    axes.legend(frameon=False, fontsize=9)


def _held(axes, rows: Sequence[dict]) -> None:
    for encoder, colour in zip(("ConvNet", "MLP"), drawing.colours(2), strict=True):
        found = claims.chosen(rows, part="held", encoder=encoder)
        bounds, accuracies = (claims.last(found, each) for each in ("bound", "accuracy"))
        axes.scatter(bounds, 100 * accuracies, 30, colour, label=encoder)
    for target in sorted({row["target"] for row in rows if row["part"] == "held"}):
        axes.axvline(target, color=drawing.FAINT, linewidth=1, linestyle="--")
    axes.set(xlabel="InfoNCE on held-out images, nats", title="InfoNCE held at 2 and 4 nats")
    axes.legend(frameon=False, fontsize=9)
