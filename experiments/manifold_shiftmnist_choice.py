"""Rates of the models of shiftMNIST, strengths of L2 and terms: chosen by images with the pixel.

    python -m experiments.manifold_shiftmnist_choice --budget=cpu

Each candidate trains on images with the pixel, by location along the border, and is tested on other
training images with the pixel. Of the rates that with the best accuracy there counts, and of equal
ones the smallest. Of the strengths, with these rates, the largest counts that is at most 2 points
below the best: the shortcut alone could be right on all of these images, so they say how much
strength costs, not what it is worth. What is chosen stands in configs/shiftmnist.py.
"""

import re

from experiments import manifold_shiftmnist, table

TOLERATED = 0.02
RATES = {  # none is chosen at an end
    "cnn": (1e-3, 3e-3, 1e-2, 3e-2),
    "linear": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "max_i_h": (1e-3, 3e-3, 1e-2, 3e-2),
}
L2 = (1e-4, 1e-3, 1e-2, 1e-1)
TERMS = (0.3, 1.0, 3.0, 10.0)
DIFFERS = manifold_shiftmnist.DIFFERS
_RATE = " rate"


def rows(budget: str) -> list[table.Row]:
    """Every rate of every kind of network, then every strength of every model that has one."""
    spread = manifold_shiftmnist.READINGS["spread"][0]
    rates = [
        _row(f"{model}{_RATE} {rate:g}", f"model={model},{spread}", budget, _rate(rate))
        for model, candidates in RATES.items()
        for rate in candidates
    ]
    weighted = {
        "cnn_l2": [(l2, _l2(l2)) for l2 in L2],
        "linear_l2": [(l2, _l2(l2)) for l2 in L2],
        "max_i": [(weight, _terms(weight, 0.0)) for weight in TERMS],
        "max_i_h": [(weight, _terms(weight, weight)) for weight in TERMS],
    }
    strengths = [
        _row(f"{model} {strength:g}", f"model={model},{spread}", budget, overrides)
        for model, each in weighted.items()
        for strength, overrides in each
    ]
    return rates + strengths


def _row(label: str, words: str, budget: str, overrides: tuple[str, ...]) -> table.Row:
    return table.Row(
        label,
        f"configs/shiftmnist.py:{words},split=validation,budget={budget}",
        overrides,
        differs=DIFFERS[budget],
        compared=False,
    )


def _rate(rate: float) -> tuple[str, ...]:
    return (f"--config.players.encoder.learning_rate={rate}",)


def _l2(strength: float) -> tuple[str, ...]:
    return (f"--config.players.encoder.l2={strength}",)


def _terms(information: float, entropy: float) -> tuple[str, ...]:
    return (
        f"--config.method.information={(information,) * 2}",
        f"--config.method.entropy={(entropy,) * 2}",
    )


def chosen(content: dict) -> dict[str, str]:
    """The label of the chosen candidate of each model that has results."""
    found: dict[str, list[tuple[float, str]]] = {}
    for row in content["rows"]:
        value = next(cell["value"] for cell in row["measures"] if cell["tap"] == "test")
        found.setdefault(re.split(r" [\d.e-]+$", row["label"])[0], []).append((value, row["label"]))
    return {model: _choose(model, each) for model, each in found.items()}


def _choose(model: str, candidates: list[tuple[float, str]]) -> str:
    """Of (accuracy, label), smallest first, the label that the rule of rates or strengths takes."""
    best = max(value for value, _ in candidates)
    if model.endswith(_RATE):
        return next(label for value, label in candidates if value == best)
    return [label for value, label in candidates if value >= best - TOLERATED][-1]


def main() -> None:
    """Runs the candidates and prints which of them are chosen."""
    content = table.main("manifold_shiftmnist_choice", rows, DIFFERS)
    manifold_shiftmnist.finish(content, rows(content["experiment"].rpartition("_")[2]))
    for model, label in chosen(content).items():
        print(f"{model}: {label}")


if __name__ == "__main__":
    main()
