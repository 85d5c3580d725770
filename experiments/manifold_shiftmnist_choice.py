"""How strong L2 and the manifold terms are on shiftMNIST, chosen by images with the pixel alone.

    python -m experiments.manifold_shiftmnist_choice --budget=cpu

Each candidate trains on images with the pixel (by location) and is tested on other training images
with the pixel. Of each model the strongest candidate counts that is at most 2 points below the best
one there: the shortcut alone could be right on all of these images, so they say how much strength
costs, not what it is worth. What is chosen stands in configs/shiftmnist.py.
"""

import re

from experiments import manifold_shiftmnist, table

TOLERATED = 0.02
L2 = (1e-4, 1e-3, 1e-2, 1e-1)
TERMS = (0.3, 1.0, 3.0, 10.0)
DIFFERS = manifold_shiftmnist.DIFFERS


def rows(budget: str) -> list[table.Row]:
    """Every candidate of every model that has a strength; weakest first."""
    candidates = {
        "cnn_l2": [(l2, _l2(l2)) for l2 in L2],
        "linear_l2": [(l2, _l2(l2)) for l2 in L2],
        "max_i": [(weight, _terms(weight, 0.0)) for weight in TERMS],
        "max_i_h": [(weight, _terms(weight, weight)) for weight in TERMS],
    }
    return [
        table.Row(
            f"{model} {strength:g}",
            f"configs/shiftmnist.py:model={model},split=validation,budget={budget}",
            (*overrides, *manifold_shiftmnist.OVERRIDES[budget]),
            differs=DIFFERS[budget],
            compared=False,
        )
        for model, each in candidates.items()
        for strength, overrides in each
    ]


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
    return {
        model: [label for value, label in each if value >= max(each)[0] - TOLERATED][-1]
        for model, each in found.items()
    }


if __name__ == "__main__":
    for model, label in chosen(table.main("manifold_shiftmnist_choice", rows, DIFFERS)).items():
        print(f"{model}: {label}")
