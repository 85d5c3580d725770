"""Methods across views and their relatives on CIFAR-10: what does the method decide?

    python -m experiments.views_table --budget=cpu

SimCLR, MoCo v2, BYOL, SwAV, Barlow Twins, VICReg, SIGReg, AMDIM, DIM(L), CPC and CMC under one
encoder, data, budget and augmentation (configs/views.py), so that rows differ in the method alone.
Three more columns of SimCLR test a claim of the notes on AMDIM: the augmentation matters most
and the encoder little if it is wide. BYOL without its predictor is the control that collapses.

Every row has linear and k-NN probes of y, the effective rank of y, alignment and uniformity of
views, and images per second of the training.
"""

from experiments import evaluations, table

LABELS = {
    "simclr": "SimCLR",
    "byol": "BYOL",
    "barlow": "Barlow Twins",
    "vicreg": "VICReg",
    "sigreg": "SIGReg",
    "swav": "SwAV",
    "moco": "MoCo v2",
    "amdim": "AMDIM",
    "dim": "DIM(L)",
    "cpc": "CPC",
    "cmc": "CMC",
}
RELATIVES = ("amdim", "dim", "cpc", "cmc")
VARIED = ("simclr",)
COLLAPSED = "BYOL, no predictor"
COLUMNS = {
    ", boxes and flips alone": "augment=crop,",
    ", no augmentation": "augment=none,",
    ", twice as wide": "encoder=wide,",
}
DIFFERS = {
    "paper": "one encoder, Adam and SimCLR's views of CIFAR for all; 300 epochs",
    "cpu": "one small encoder, Adam and SimCLR's views of CIFAR for all; 4 epochs of 20,000 images "
    "in bfloat16",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
OVERRIDES = {"cpu": ("--config.compute_dtype=bfloat16",)}
LINEAR = ("linear", "y", "accuracy")
POINTS = 0.10


def rows(budget: str) -> list[table.Row]:
    """All rows under one budget.

    Three seeds of the methods across views, one of their relatives and of the variations.
    """
    main = [
        _row(label, f"method={method},", budget, _seeds(method, budget))
        for method, label in LABELS.items()
    ]
    main.append(_row(COLLAPSED, "method=byol,predictor=off,", budget, (0,)))
    varied = [
        _row(f"{LABELS[method]}{label}", f"method={method},{words}", budget, (0,))
        for method in VARIED
        for label, words in COLUMNS.items()
    ]
    return main + varied


def _seeds(method: str, budget: str) -> tuple[int, ...]:
    if budget == "smoke":
        return (0,)
    return (0,) if method in RELATIVES else (0, 1, 2)


def _row(label: str, words: str, budget: str, seeds: tuple[int, ...]) -> table.Row:
    config = f"configs/views.py:{words}budget={budget}"
    evals = evaluations.chosen(config, "linear", "knn", "rank", "alignment")
    for key, names in (
        ("linear", ("trained", "untrained", "pca")),
        ("knn", ("trained", "untrained", "pca")),
        ("rank", ("trained", "untrained")),
        ("alignment", ("trained", "untrained")),
    ):
        evals[key]["representations"] = names
    overrides = OVERRIDES.get(budget, ())
    speed = ("images_per_second",)
    return table.Row(label, config, overrides, seeds, DIFFERS[budget], evals=evals, logged=speed)


def directions(rows) -> list[table.Direction]:
    """Margins of the methods over controls, and claims on augmentation and width."""
    labels = {row.label for row in rows}
    claims = []
    for label in (label for label in LABELS.values() if label in labels):
        pair = dict(larger=label, smaller=label, measure=LINEAR)
        claims += [
            table.Direction(
                f"a linear probe of {label} is 10 points above the untrained encoder",
                **pair,
                other=(*LINEAR, "untrained"),
                margin=POINTS,
            ),
            table.Direction(
                f"a linear probe of {label} is above PCA",
                **pair,
                other=("linear", "pca", "accuracy", "pca"),
            ),
        ]
    claims.append(
        table.Direction(
            "BYOL needs its predictor",
            larger=LABELS["byol"],
            smaller=COLLAPSED,
            measure=LINEAR,
        )
    )
    for method in VARIED:
        plain = LABELS[method]
        crop, none, wide = (f"{plain}{label}" for label in COLUMNS)
        claims += [
            table.Direction(f"{plain}: colours teach more than boxes alone", plain, crop, LINEAR),
            table.Direction(f"{plain}: boxes and flips teach", crop, none, LINEAR),
            table.Direction(f"{plain}: a wide encoder is better", wide, plain, LINEAR),
        ]
    return claims


if __name__ == "__main__":
    table.main("views_table", rows, DIFFERS, directions)
