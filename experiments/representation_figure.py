"""The figure of mutual information and representations: one panel for each of parts (a) to (c)."""

import pathlib
from collections.abc import Sequence

import numpy as np

from dim_jax.evaluate.figures import drawing
from experiments import representation_claims as claims

_NAMES = {"infonce": "InfoNCE", "nwj": "NWJ"}


def draw(content: dict, file: pathlib.Path) -> None:
    """Accuracy of the probe over training, against the bound of critics, and of encoders."""
    figure = drawing.new(15, 4)
    panels = figure.subplots(1, 4, width_ratios=(1, 0.8, 1, 1))
    rows = content["rows"]
    for axes, part, letter in zip(panels, _PARTS, "aabc", strict=True):
        part(axes, rows)
        axes.set_title(f"({letter}) {axes.get_title()}", fontsize=10.5, color=drawing.INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=drawing.LINE, linewidth=0.5)
    panels[0].set_ylabel("linear probe of the top half, %")
    figure.tight_layout()
    figure.savefig(file)


def _curve(axes, rows: Sequence[dict], colour: str, label: str) -> None:
    steps = [point["step"] for point in rows[0]["trace"]]
    values = np.array([[100 * point["accuracy"] for point in row["trace"]] for row in rows])
    axes.plot(steps, values.T, color=colour, alpha=0.35, linewidth=1)
    axes.plot(steps, values.mean(0), color=colour, marker="o", markersize=4, label=label)


def _bijections(axes, rows: Sequence[dict]) -> None:
    for name, colour in zip(_NAMES, drawing.colours(2), strict=True):
        of_bound = claims.chosen(rows, part="bijection", objective=name)
        _curve(axes, of_bound, colour, _NAMES[name])
    _pixels(axes, rows)
    axes.set(xlabel="training steps", title="bijections, a bound maximised")
    axes.legend(frameon=False, fontsize=9)


def _unreadable(axes, rows: Sequence[dict]) -> None:
    against = claims.chosen(rows, part="adversarial")
    _curve(axes, against, drawing.colours(3)[2], "against linear classifiers")
    _pixels(axes, rows)
    axes.set(xlabel="trained couplings", title="against linear classifiers")


def _pixels(axes, rows: Sequence[dict]) -> None:
    pixels = 100 * claims.chosen(rows, part="adversarial")[0]["trace"][0]["accuracy"]
    axes.axhline(pixels, color=drawing.FAINT, linewidth=1, linestyle="--", label="pixels")


def _critics(axes, rows: Sequence[dict]) -> None:
    for critic, colour in zip(claims.CRITICS, drawing.colours(3), strict=True):
        chosen = claims.chosen(rows, part="critics", critic=critic)
        bounds, accuracies = (claims.last(chosen, each) for each in ("bound", "accuracy"))
        axes.scatter(bounds, 100 * accuracies, 30, colour, label=critic)
    axes.set(xlabel="InfoNCE on held-out images, nats", title="MLP encoders, three critics")
    axes.legend(frameon=False, fontsize=9)


def _held(axes, rows: Sequence[dict]) -> None:
    for encoder, colour in zip(("ConvNet", "MLP"), drawing.colours(2), strict=True):
        chosen = claims.chosen(rows, part="held", encoder=encoder)
        bounds, accuracies = (claims.last(chosen, each) for each in ("bound", "accuracy"))
        axes.scatter(bounds, 100 * accuracies, 30, colour, label=encoder)
    for target in sorted({row["target"] for row in rows if row["part"] == "held"}):
        axes.axvline(target, color=drawing.FAINT, linewidth=1, linestyle="--")
    axes.set(xlabel="InfoNCE on held-out images, nats", title="InfoNCE held at 2 and 4 nats")
    axes.legend(frameon=False, fontsize=9)


_PARTS = (_bijections, _unreadable, _critics, _held)
