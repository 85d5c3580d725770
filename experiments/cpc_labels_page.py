"""The picture, the table and the claims of the data-efficiency curve of CPC v2."""

import pathlib
import statistics
from collections.abc import Mapping
from typing import Any

from dim_jax.evaluate.figures import drawing
from experiments.fragments import markdown

NAMES = {  # in the order of the table
    "fine-tuned": "CPC v2, fine-tuned",
    "linear": "CPC v2, linear on fc",
    "mlp": "CPC v2, MLP on conv",
    "supervised": "supervised from scratch",
    "untrained": "untrained encoder, linear on fc",
    "pixels": "pixels, linear",
}
_STYLES = {
    "fine-tuned": ("C0", "o-"),
    "linear": ("C1", "o-"),
    "mlp": ("C2", "o-"),
    "supervised": ("C3", "s-"),
    "untrained": ("0.5", "^--"),
    "pixels": ("0.7", "v--"),
}


def draw(content: Mapping[str, Any], path: pathlib.Path) -> None:
    """Mean test accuracy over the number of labels, with the range over the seeds."""
    canvas = drawing.new(6.4, 4.2)
    axes = canvas.add_subplot()
    for kind, points in _by_kind(content).items():
        colour, style = _STYLES[kind]
        labels = sorted(points)
        means = [100 * statistics.mean(points[count]) for count in labels]
        axes.plot(labels, means, style, color=colour, label=NAMES[kind], markersize=4)
        lows, highs = ([100 * end(points[count]) for count in labels] for end in (min, max))
        axes.fill_between(labels, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    ticks = sorted({curve["labels"] for curve in content["curves"]})
    axes.set_xticks(ticks, [f"{n:,}\n{100 * n / content['images']:g} %" for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel(f"labels, of {content['images']:,} images")
    axes.set_ylabel("test accuracy, %")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.tight_layout()
    canvas.savefig(path)


def accuracies(content: Mapping[str, Any], kind: str, labels: int) -> dict[int, float]:
    """The test accuracies of a kind with this number of labels, by seed."""
    for curve in content["curves"]:
        if (curve["kind"], curve["labels"]) == (kind, labels):
            pairs = zip(curve["seeds"], curve["values"], strict=True)
            return {seed: value["test"] for seed, value in pairs}
    return {}


def _by_kind(content: Mapping[str, Any]) -> dict[str, dict[int, list[float]]]:
    points = {}
    for kind in NAMES:
        for curve in content["curves"]:
            if curve["kind"] == kind:
                tests = [value["test"] for value in curve["values"]]
                points.setdefault(kind, {})[curve["labels"]] = tests
    return points


def fragment(name: str, content: Mapping[str, Any]) -> str:
    """The page's part that follows from the result file: facts, tables and the picture."""
    seeds = sorted({seed for curve in content["curves"] for seed in curve["seeds"]})
    minutes = sum(v["cpu_seconds"] for c in content["curves"] for v in c["values"]) / 60
    facts = (
        f"CIFAR-10, {content['images']:,} training, {content['validation']:,} validation and "
        f"{content['test']:,} test images; seeds {', '.join(map(str, seeds))}; pretrained for "
        f"{content['epochs']:g} epochs; {', '.join(f'{n:,}' for n in content['steps'])} steps of "
        f"labelled training with {', '.join(_labels(content))} labels; {minutes:.0f} CPU minutes "
        f"on two shared cores for all but the pretraining; commit `{content['commit'][:10]}`. "
        "Mean ± standard deviation over seeds."
    )
    picture = f"![Test accuracy over the number of labels](/_generated/figures/{name}.png)"
    return f"{facts}\n\n{text(content)}\n{picture}\n"


def _labels(content: Mapping[str, Any]) -> list[str]:
    return [f"{count:,}" for count in sorted({curve["labels"] for curve in content["curves"]})]


def text(content: Mapping[str, Any]) -> str:
    """The accuracies and the claims, as Markdown."""
    points = _by_kind(content)
    labels = sorted({curve["labels"] for curve in content["curves"]})
    head = ["test accuracy, %", *(f"{n:,} ({100 * n / content['images']:g} %)" for n in labels)]
    rows = [
        [NAMES[kind], *(_cell(of.get(count)) for count in labels)] for kind, of in points.items()
    ]
    verdicts = [(c["claim"], c["difference"], c["verdict"]) for c in claims(content)]
    heads = ("claim", "points, by seed", "verdict")
    return f"{markdown(head, rows)}\n\n{markdown(heads, verdicts)}\n"


def _cell(values: list[float] | None) -> str:
    if not values:
        return ""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def claims(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """The claims of the paper on these curves, as differences in points of each seed."""
    labels = sorted({curve["labels"] for curve in content["curves"]})
    few, everything = labels[0], labels[-1]
    share = {count: f"{100 * count / content['images']:g} % of the labels" for count in labels}
    supervised = [("linear on fc", "linear", few), ("MLP on the frozen map", "mlp", few)]
    supervised += [("fine-tuned", "fine-tuned", count) for count in labels]
    supervised += [("MLP on the frozen map", "mlp", everything)] if everything > few else []
    wanted = [
        (f"{name} above supervised, {share[count]}", kind, "supervised", count)
        for name, kind, count in supervised
    ]
    wanted += [
        (f"linear on fc above the untrained encoder, {share[count]}", "linear", "untrained", count)
        for count in (few, everything)
    ]
    wanted += [(f"MLP on the frozen map above linear on fc, {share[few]}", "mlp", "linear", few)]
    made = []
    for claim, larger, smaller, count in wanted:
        sides = [accuracies(content, kind, count) for kind in (larger, smaller)]
        seeds = sorted(sides[0].keys() & sides[1].keys())
        gaps = [100 * (sides[0][seed] - sides[1][seed]) for seed in seeds]
        if gaps:
            values = ", ".join(f"{gap:+.1f}" for gap in gaps)
            made.append(dict(claim=claim, difference=values, verdict=_verdict(gaps)))
    return made


def _verdict(gaps: list[float]) -> str:
    if min(gaps) > 0:
        return "hit"
    return "miss" if max(gaps) <= 0 else "undecided"
