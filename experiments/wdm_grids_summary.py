"""The claims about grids of digits, with intervals over seeds, and their figure."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from scipy import stats

from dim_jax.evaluate.figures import drawing
from experiments import digit_grids

_COLOURS = dict(zip(("cpc", "wpc", "untrained", "pixels"), drawing.colours(4), strict=True))
_NAMES = {"cpc": "CPC", "wpc": "WPC", "untrained": "untrained encoder", "pixels": "raw pixels"}
By = dict[int, dict[int, float]]  # {number of digits or batch size: {seed: value}}


def values(content: dict, part: str, method: str, measure: str, by: str = "n") -> By:
    """The values of a method's rows, of part "batches" with those of the usual batch size."""
    plan, chosen = content["plan"], {}
    for row in content["rows"]:
        usual = part == "batches" and (row["part"], row["n"]) == ("numbers", plan["numbers"][-1])
        if (row["part"] == part or usual) and row["method"] == method and measure in row:
            chosen.setdefault(row[by], {})[row["seed"]] = row[measure]
    return dict(sorted(chosen.items()))


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and the ends of its interval of 95 % by Student's t over seeds."""
    mean = float(np.mean(differences))
    if len(differences) < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences))
    return mean, mean - half, mean + half


def claims(content: dict) -> list[dict]:
    """Each claim with its differences by seed; those whose rows are missing are left out."""
    return [_verdict(text, unit, by_seed) for text, unit, by_seed in _claims(content) if by_seed]


def _claims(content: dict):
    numbers, batches = (
        content["plan"]["numbers"],
        sorted({content["plan"]["batch"], *content["plan"]["batches"]}),
    )
    first, last = numbers[0], numbers[-1]

    def of(method, measure="accuracy", part="numbers", by="n"):
        return values(content, part, method, measure, by)

    cpc, wpc = of("cpc"), of("wpc")
    yield (
        f"from {first} digit to {last}, CPC loses more accuracy than WPC",
        *("points", _less(_less(cpc, cpc, first, last), _less(wpc, wpc, first, last))),
    )
    yield (
        f"CPC falls faster: the line through its accuracies over n = {first} to {last} is steeper",
        *("points a digit", _less(_line(wpc), _line(cpc))),
    )
    yield (
        f"with {last} digits WPC is more accurate than CPC",
        *("points", _less(wpc.get(last, {}), cpc.get(last, {}))),
    )
    sides = [of(method, part="batches", by="batch") for method in ("cpc", "wpc")]
    gains = [_less(side, side, batches[-1], batches[0]) for side in sides]
    yield (
        f"with {last} digits, CPC gains more than WPC from batches of {batches[-1]} instead of "
        f"{batches[0]}",
        *("points", _less(*gains)),
    )
    slopes = [of(method, "held_out_slope_max").get(last, {}) for method in ("cpc", "wpc")]
    yield (
        f"with {last} digits, the steepest slope of CPC's critic is more than twice that of WPC's",
        *("", {seed: slopes[0][seed] - 2 * slopes[1][seed] for seed in _shared(*slopes)}),
    )
    nats = of("cpc", "nats_in_training").get(last, {})
    ceiling = math.log(content["plan"]["batch"])
    truth = digit_grids.information(last)
    yield (
        f"with {last} digits, CPC's bound stays below log {content['plan']['batch']} = "
        f"{ceiling:.2f} of {truth:.1f} nats",
        *("nats", {seed: ceiling - value for seed, value in nats.items()}),
    )


def _shared(*sides: dict[int, float]) -> list[int]:
    return sorted(set.intersection(*map(set, sides)))


def _less(larger: dict, smaller: dict, *at: int) -> dict[int, float]:
    """larger - smaller by seed; with `at`, of two of their entries."""
    sides = (
        [side.get(key, {}) for side, key in zip((larger, smaller), at, strict=True)]
        if at
        else (
            larger,
            smaller,
        )
    )
    return {seed: sides[0][seed] - sides[1][seed] for seed in _shared(*sides)}


def _line(by_number: By) -> dict[int, float]:
    """The slope of the least-squares line through a seed's accuracies, of complete seeds."""
    if len(by_number) < 2:
        return {}
    seeds = _shared(*by_number.values())
    numbers = list(by_number)
    return {
        seed: float(np.polyfit(numbers, [each[seed] for each in by_number.values()], 1)[0])
        for seed in seeds
    }


def _verdict(text: str, unit: str, by_seed: dict[int, float]) -> dict:
    scale = 100 if unit.startswith("points") else 1
    differences = [round(scale * each, 3) for each in by_seed.values()]
    mean, low, high = interval(differences)
    return {
        "claim": text,
        "unit": unit,
        "seeds": list(by_seed),
        "differences": differences,
        "mean": round(mean, 3),
        "interval": [round(low, 3), round(high, 3)] if len(differences) > 1 else None,
        "verdict": "hit" if min(differences) > 0 else "miss",
    }


def draw(content: dict, path: pathlib.Path) -> None:
    """Accuracy over digits and over batch sizes, nats beside their ceiling, slopes."""
    figure = drawing.new(9, 6.6)
    accuracy, batch, nats, slopes = figure.subplots(2, 2).ravel()
    plan, last = content["plan"], content["plan"]["numbers"][-1]
    for method in ("cpc", "wpc"):
        of = {"part": "numbers", "method": method}
        _curve(accuracy, values(content, measure="accuracy", **of), method, 100)
        sizes = values(content, "batches", method, "accuracy", "batch")
        _curve(batch, sizes, method, 100)
        _curve(nats, values(content, measure="nats_in_training", **of), method)
        _curve(slopes, values(content, measure="held_out_slope_max", **of), method, name="largest")
        mean = values(content, measure="held_out_slope_mean", **of)
        _curve(slopes, mean, method, name="mean", style="--")
    for method in ("untrained", "pixels"):
        _curve(accuracy, values(content, "controls", method, "accuracy"), method, 100, style=":")
    numbers = np.array(plan["numbers"])
    nats.plot(numbers, [digit_grids.information(n) for n in numbers], color=drawing.FAINT, lw=1)
    nats.axhline(math.log(plan["batch"]), color=drawing.FAINT, lw=1, ls="--")
    nats.text(numbers[-1], math.log(plan["batch"]), f"log {plan['batch']}", ha="right", va="bottom")
    middle = numbers[len(numbers) // 2]
    nats.text(middle, 1.15 * digit_grids.information(middle), "true ", ha="right", va="bottom")
    slopes.axhline(1, color=drawing.FAINT, lw=1)
    _label(accuracy, "digits in a grid", "accuracy per position, %")
    _label(batch, f"batch size, {last} digits", "accuracy per position, %")
    _label(nats, "digits in a grid", "InfoNCE in training, nats")
    _label(slopes, "digits in a grid", "slope of the score in its pixels")
    batch.set_xscale("log", base=2)
    batch.set_xticks(sorted({plan["batch"], *plan["batches"]}))
    batch.xaxis.set_major_formatter("{x:.0f}")
    nats.set_yscale("log")
    nats.set_yticks([1, 2, 3, 5, 10, 20], labels=["1", "2", "3", "5", "10", "20"])
    nats.minorticks_off()
    slopes.set_ylim(0, 1.2 * slopes.get_ylim()[1])  # the legend lies above the curves
    if slopes.get_legend():
        slopes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    for axes in (accuracy, nats, slopes):
        axes.set_xticks(numbers)
    figure.tight_layout()
    figure.savefig(path)


def _curve(axes, by: By, method: str, scale: float = 1, name: str = "", style: str = "-") -> None:
    """The mean over seeds, and each seed as a dot."""
    if not by:
        return
    colour, label = _COLOURS[method], f"{_NAMES[method]}{', ' * bool(name)}{name}"
    means = [scale * np.mean(list(each.values())) for each in by.values()]
    axes.plot(list(by), means, style, color=colour, label=label, marker="" if len(by) > 1 else "x")
    for key, each in by.items():
        axes.plot([key] * len(each), [scale * v for v in each.values()], ".", color=colour, ms=4)


def _label(axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
