"""A self-contained HTML page of an estimate, in the look of the report of a run."""

import html
import math
import os
import pathlib
import re

from dim_jax.mi import figures, statements
from dim_jax.mi.columns import Columns
from dim_jax.mi.result import Estimate
from dim_jax.report import formats, parts
from dim_jax.rundir import writing

GENERATOR = "dim_jax.mi"
_DISTRIBUTION = (
    "Normal scores: every column has the ranks of its values and a normal distribution, which "
    "leaves the mutual information as it is. Classes lie side by side. At most three columns of "
    "each, and 2,000 samples."
)


def write_html(
    estimate: Estimate,
    path: str | os.PathLike,
    *,
    x: Columns | None = None,
    y: Columns | None = None,
    given: bool = False,
    title: str = "Mutual information",
    command: str = "",
    seconds: float | None = None,
) -> pathlib.Path:
    """Writes the page of an estimate and returns its path; needs no other file and no network.

    Args:
      x, y: the samples, for the scatter.
      given: whether the information is conditional.
      command: that repeats the estimate.
      seconds: that the estimate took.
    """
    path = pathlib.Path(path)
    content = [
        _header(estimate, title, given, seconds),
        parts.section("Value, interval and null", _null_lead(estimate), _summary(estimate)),
        parts.section(
            "Statements that these numbers support",
            "",
            parts.notes(statements.supported(estimate, given)),
        ),
        parts.section(
            "Statements that they do not support",
            "",
            parts.notes(statements.unsupported(estimate, given)),
        ),
        parts.section("Fitting", "", _curves(estimate)),
        parts.section("The samples", "", _scatter(x, y)),
        parts.section("Remarks on the data", "", parts.notes(estimate.notes)),
        parts.section("All numbers", "", _numbers(estimate, given)),
        parts.section("The same estimate again", "", _command(command)),
    ]
    writing.replace_text(path, parts.document(title, content, GENERATOR))
    return path


def _header(estimate: Estimate, title: str, given: bool, seconds: float | None) -> str:
    sentence = html.escape(statements.summary(estimate, given))
    numbers = re.sub(r"(-?\d+\.\d+ nats)", r"<strong>\1</strong>", sentence, count=1)
    guaranteed = estimate.guaranteed
    tiles = {
        "Bits": f"{estimate.bits:.3f}",
        "Guaranteed, nats": "none" if guaranteed is None else f"≥ {guaranteed:.3f}",
        "p-value": f"{estimate.p_value:.2g}" if math.isfinite(estimate.p_value) else "none",
        "Reliable": "yes" if estimate.reliable else "no",
        "Samples": f"{estimate.samples:,}",
        "Dimensions": "{} and {}".format(*estimate.dimensions),
    }
    if seconds is not None:
        tiles["Time"] = formats.duration(seconds)
    return (
        f"<header><p class='eyebrow'><code>{html.escape(estimate.method)}</code></p>"
        f"<h1>{html.escape(title)}</h1><p class='verdict'>{numbers}</p>"
        f"<p class='source'>{html.escape(_reliability(estimate))}</p>"
        f"{parts.facts_in_tiles(tiles)}</header>"
    )


def _reliability(estimate: Estimate) -> str:
    return f"{'Reliable' if estimate.reliable else 'Not reliable'}: {estimate.why}"


def _null_lead(estimate: Estimate) -> str:
    if not len(estimate.null):
        return "No permutations were made, so there is no null to compare with."
    return (
        f"The null has the values of the same critics on {len(estimate.null):,} permutations of y "
        "against x, which make them independent."
    )


def _summary(estimate: Estimate) -> str:
    picture = parts.picture(figures.png(figures.summary(estimate)), "Value beside the null")
    return f"<div class='pictures'>{picture}</div>"


def _curves(estimate: Estimate) -> str:
    figure = figures.curves(estimate)
    if figure is None:
        return ""
    caption = (
        "One line for each fold. The value is that of further samples, which neither line saw."
    )
    picture = parts.picture(figures.png(figure), "Training and held-out values", caption)
    return f"<div class='pictures'>{picture}</div>"


def _scatter(x: Columns | None, y: Columns | None) -> str:
    figure = None if x is None or y is None else figures.scatter(x, y)
    if figure is None:
        return ""
    picture = parts.picture(figures.png(figure), "y against x", _DISTRIBUTION)
    return f"<div class='pictures'>{picture}</div>"


def _numbers(estimate: Estimate, given: bool) -> str:
    lines = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>"
        for name, text in statements.fields(estimate, given).items()
    )
    return f"<div class='config numbers'><table>{lines}</table></div>"


def _command(command: str) -> str:
    return f"<p><code>{html.escape(command)}</code></p>" if command else ""
