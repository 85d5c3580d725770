"""shiftMNIST (Klindt et al. 2020, Table 1): what is learned beside a pixel that tells the class.

    python -m experiments.manifold_shiftmnist --budget=cpu

Six models, and as a control of ours the manifold layers without their terms; five seeds; both ways
in which the pixel may tell the class, as which of them the published table has is not known.
Strengths of L2 and of the terms were chosen by `experiments.manifold_shiftmnist_choice`, on
training images with the pixel alone. Beside the table three claims are decided in points: a plain
CNN falls by more than 20 without the pixel; the one with both terms loses at most 3 with it, and
falls at most half as much.
"""

import json
import statistics

from experiments import table

MODELS = {
    "2-layer CNN": "cnn",
    "2-layer CNN + L2": "cnn_l2",
    "linear": "linear",
    "linear + L2": "linear_l2",
    "2-layer CNN (max I)": "max_i",
    "2-layer CNN (max I + H)": "max_i_h",
}
PIXELS = ("location", "value")
_OURS = "our sizes, optimizer and strengths, as none are published"
DIFFERS = {
    "paper": _OURS,
    "cpu": f"{_OURS}; 10,000 training images, 16 epochs, small networks, bfloat16",
    "smoke": "512 images, tiny networks, 2 epochs",
}
OVERRIDES = {"paper": (), "cpu": ("--config.compute_dtype=bfloat16",), "smoke": ()}
PLAIN, TERMS = "2-layer CNN", "2-layer CNN (max I + H)"
CONTROL = "manifold layers, no terms"
_NO_TERMS = ("--config.method.information=(0.0, 0.0)", "--config.method.entropy=(0.0, 0.0)")


def rows(budget: str) -> list[table.Row]:
    """All models by location, then all by value."""
    return [
        table.Row(
            _label(model, pixel),
            f"configs/shiftmnist.py:model={word},pixel={pixel},budget={budget}",
            (*OVERRIDES[budget], *(_NO_TERMS if model == CONTROL else ())),
            seeds=(0,) if budget == "smoke" else (0, 1, 2, 3, 4),
            differs=f"pixel by {pixel}; {DIFFERS[budget]}",
            compared=model != CONTROL,
        )
        for pixel in PIXELS
        for model, word in {**MODELS, CONTROL: "max_i"}.items()
    ]


def _label(model: str, pixel: str) -> str:
    return f"{model}, {pixel}"


def directions(rows) -> list[table.Direction]:
    """What the published table says of the images without the pixel."""
    del rows
    clean = ("classifier", "clean", "accuracy")
    pairs = [
        ("the linear model above the CNN", "linear", PLAIN),
        ("L2 helps the CNN", "2-layer CNN + L2", PLAIN),
        ("L2 helps the linear model", "linear + L2", "linear"),
        ("max I above the plain CNN", "2-layer CNN (max I)", PLAIN),
        ("H adds to I", TERMS, "2-layer CNN (max I)"),
        ("both terms above linear + L2", TERMS, "linear + L2"),
        ("max I above the same layers without it", "2-layer CNN (max I)", CONTROL),
        ("both terms above the same layers without them", TERMS, CONTROL),
    ]
    return [
        table.Direction(f"{pixel}: {claim}", _label(larger, pixel), _label(smaller, pixel), clean)
        for pixel in PIXELS
        for claim, larger, smaller in pairs
    ]


def decide(content: dict) -> list[dict]:
    """The three claims for each pixel whose two rows have results, in points, seeds averaged."""
    found = {row["label"]: row for row in content["rows"]}
    verdicts = []
    for pixel in PIXELS:
        sides = [found.get(_label(model, pixel)) for model in (PLAIN, TERMS)]
        if None in sides:
            continue
        (plain, fell), (terms, falls) = ((_mean(row, "test"), _fall(row)) for row in sides)
        claims = [
            ("the plain CNN falls by more than 20 points", fell, fell > 20),
            ("both terms lose at most 3 points with the pixel", plain - terms, plain - terms <= 3),
            ("both terms fall at most half as much", falls, falls <= fell / 2),
        ]
        verdicts += [
            {"pixel": pixel, "claim": claim, "points": round(points, 2), "verdict": _word(hit)}
            for claim, points, hit in claims
        ]
    return verdicts


def _word(hit: bool) -> str:
    return "hit" if hit else "miss"


def _mean(row: dict, split: str) -> float:
    """The accuracy of a row on a split in percent."""
    cell = next(cell for cell in row["measures"] if cell["tap"] == split)
    return 100 * statistics.mean(cell["values"])


def _fall(row: dict) -> float:
    return _mean(row, "test") - _mean(row, "clean")


def main() -> None:
    """Runs the table, decides its claims, and writes them beside its rows."""
    content = table.main("manifold_shiftmnist", rows, DIFFERS, directions)
    content["falls"] = decide(content)
    path = table.RESULTS / f"{content['experiment']}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    for verdict in content["falls"]:
        print("{pixel}: {claim}: {points} ({verdict})".format(**verdict))


if __name__ == "__main__":
    main()
