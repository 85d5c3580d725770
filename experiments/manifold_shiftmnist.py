"""shiftMNIST (Klindt et al. 2020, Table 1): what is learned beside a pixel that tells the class.

    python -m experiments.manifold_shiftmnist --budget=cpu

Six models, and as a control of ours the manifold layers without their terms; five seeds; the ways
in which the pixel may tell the class, as which of them the published table has is not known: by
location, along the border ("spread") or in a column ("location"), and by value; four of the models
with a grey pixel too. Rates and strengths were chosen by `experiments.manifold_shiftmnist_choice`,
on training images with the pixel. Beside the table three claims are decided in points: a plain CNN
falls by more than 20 without the pixel; the one with both terms loses at most 3 with it, and falls
at most half as much.
"""

import json
import statistics
from collections.abc import Sequence

from experiments import table

MODELS = {
    "2-layer CNN": "cnn",
    "2-layer CNN + L2": "cnn_l2",
    "linear": "linear",
    "linear + L2": "linear_l2",
    "2-layer CNN (max I)": "max_i",
    "2-layer CNN (max I + H)": "max_i_h",
}
PLAIN, TERMS = "2-layer CNN", "2-layer CNN (max I + H)"
CONTROL = "manifold layers, no terms"
READINGS = {  # the words of the config, and how the table says them
    "spread": ("pixel=location,place=spread", "location, along the border"),
    "location": ("pixel=location", "location, in a column"),
    "value": ("pixel=value", "value"),
}
GREY = "grey"
_GREY = ("--config.data.shortcut_strength=0.5",)
_OURS = "our sizes, optimizer and strengths, as none are published"
DIFFERS = {
    "paper": _OURS,
    "cpu": f"{_OURS}; 10,000 training images, 16 epochs, small networks; minutes on one of two "
    "cores, the other busy",
    "smoke": "512 images, tiny networks, 2 epochs",
}
_NO_TERMS = ("--config.method.information=(0.0, 0.0)", "--config.method.entropy=(0.0, 0.0)")


def rows(budget: str) -> list[table.Row]:
    """All models under each reading of the pixel, then four models with a grey pixel."""
    models = {**MODELS, CONTROL: "max_i"}
    grey = {model: models[model] for model in (PLAIN, "linear", TERMS, CONTROL)}
    return [
        *(_row(budget, reading, *each) for reading in READINGS for each in models.items()),
        *(_row(budget, reading, *each, True) for reading in READINGS for each in grey.items()),
    ]


def _row(budget: str, reading: str, model: str, word: str, grey: bool = False) -> table.Row:
    words, told = READINGS[reading]
    return table.Row(
        _label(model, f"{reading}, {GREY}" if grey else reading),
        f"configs/shiftmnist.py:model={word},{words},budget={budget}",
        (*(_GREY if grey else ()), *(_NO_TERMS if model == CONTROL else ())),
        seeds=(0,) if budget == "smoke" else (0, 1, 2, 3, 4),
        differs=f"pixel by {told}{', half of white' if grey else ''}; {DIFFERS[budget]}",
        compared=model != CONTROL,
    )


def _label(model: str, reading: str) -> str:
    return f"{model}, {reading}"


def directions(rows: Sequence[table.Row]) -> list[table.Direction]:
    """The claims of the published table on images without the pixel, and those of misled ones."""
    clean = ("classifier", "clean", "accuracy")
    follows = ("classifier", "misled", "follows_pixel")
    claims = [
        ("the linear model above the CNN", "linear", PLAIN, clean),
        ("L2 helps the CNN", "2-layer CNN + L2", PLAIN, clean),
        ("L2 helps the linear model", "linear + L2", "linear", clean),
        ("max I above the plain CNN", "2-layer CNN (max I)", PLAIN, clean),
        ("both terms above the plain CNN", TERMS, PLAIN, clean),
        ("H adds to I", TERMS, "2-layer CNN (max I)", clean),
        ("both terms above linear + L2", TERMS, "linear + L2", clean),
        ("max I above the same layers without it", "2-layer CNN (max I)", CONTROL, clean),
        ("both terms above the same layers without them", TERMS, CONTROL, clean),
        ("the plain CNN follows another class's pixel more than both terms", PLAIN, TERMS, follows),
        ("the layers without terms follow it more than with both", CONTROL, TERMS, follows),
    ]
    labels = {row.label for row in rows}
    return [
        table.Direction(f"{reading}: {claim}", *sides, measure)
        for reading in _readings()
        for claim, larger, smaller, measure in claims
        for sides in [(_label(larger, reading), _label(smaller, reading))]
        if labels.issuperset(sides)
    ]


def _readings() -> list[str]:
    return [*READINGS, *(f"{reading}, {GREY}" for reading in READINGS)]


def decide(content: dict) -> list[dict]:
    """The three claims for each reading whose rows have results, in points, seeds averaged."""
    found = {row["label"]: row for row in content["rows"]}
    verdicts = []
    for reading in _readings():
        plain, terms = (found.get(_label(model, reading)) for model in (PLAIN, TERMS))
        if plain is None:
            continue
        fell = _fall(plain)
        claims = [("the plain CNN falls by more than 20 points", fell, fell > 20)]
        if terms is not None:
            lost, falls = _mean(plain, "test") - _mean(terms, "test"), _fall(terms)
            claims += [
                ("both terms lose at most 3 points with the pixel", lost, lost <= 3),
                ("both terms fall at most half as much", falls, falls <= fell / 2),
            ]
        verdicts += [
            {"pixel": reading, "claim": claim, "points": round(points, 2), "verdict": _word(hit)}
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


def missing(content: dict, rows: Sequence[table.Row]) -> list[str]:
    """The labels of rows without results, and of those without all seeds with the missing ones."""
    seeds = {row["label"]: row["seeds"] for row in content["rows"]}
    left = {
        row.label: [seed for seed in row.seeds if seed not in seeds.get(row.label, ())]
        for row in rows
    }
    return [
        f"{label} (seeds {', '.join(map(str, each))})" if label in seeds else label
        for label, each in left.items()
        if each
    ]


def finish(content: dict, rows: Sequence[table.Row], **more) -> dict:
    """Writes what has not been run, and more, beside the rows of a result file."""
    content |= {**more, "missing": missing(content, rows)}
    path = table.RESULTS / f"{content['experiment']}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return content


def main() -> None:
    """Runs the table, decides its claims, and writes them beside its rows."""
    content = table.main("manifold_shiftmnist", rows, DIFFERS, directions)
    budget = content["experiment"].rpartition("_")[2]
    for verdict in finish(content, rows(budget), falls=decide(content))["falls"]:
        print("{pixel}: {claim}: {points} ({verdict})".format(**verdict))


if __name__ == "__main__":
    main()
