"""Exemplar-CNN (Dosovitskiy et al. 2014), Table 1: an SVM on pooled responses of all layers.

    python -m experiments.exemplar_table1 --budget=cpu

`paper` has the three networks on patches of STL-10, judged on CIFAR-10 and on STL-10, and wants an
accelerator. `cpu` is one small network on patches of CIFAR-10, with two controls that are ours: a
patch that is never changed is told from the others without anything being learnt of what images
are; and the changes of place and of colour alone (the paper's figure of single changes has other
groups). `long` is the small network with all of its channels on 8000 patches of CIFAR-10, beside
the control of unchanged patches.
"""

from experiments import evaluations, table

SMALL, UNCHANGED = "small", "small, unchanged patches"
SIZES = {
    "small": "64c5-64c5-128f",
    "medium": "64c5-128c5-256c5-512f",
    "large": "92c5-256c5-512c5-1024f",
}
ROWS = {
    SMALL: "changes=all",
    UNCHANGED: "changes=none",
    "small, places only": "changes=geometry",
    "small, colours only": "changes=colour",
}
_PROBE = "one SVM of all classes with a chosen strength, svm-v1"
DIFFERS = {
    "paper": f"99,200 steps, copies drawn anew in each, rates of a fixed schedule; {_PROBE}; "
    "published numbers from memory and third parties",
    "long": f"14,880 steps of Adam without dropout; {_PROBE}; patches of CIFAR-10, the published "
    "ones of STL-10",
    "cpu": "1000 seed patches, half of the channels, 3000 steps of Adam in bfloat16 without "
    f"dropout; {_PROBE}, on 20,000 images; patches of CIFAR-10, the published ones of STL-10",
    "smoke": "tiny networks, 256 seed patches, 512 images, 2 epochs",
}
# Ten folds of 1000 labels; here all 5000.
OWN = {"stl10": "; 5000 labels, not ten folds of 1000"}
TITLES = {"cifar10": "CIFAR-10", "stl10": "STL-10"}
PUBLISHED = {"svm": {"pooled": 76.5}}
_SHORT = ("--config.compute_dtype=bfloat16",)
SEEDS = {"paper": (0, 1, 2), "long": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
_TRAINED = tuple(
    f"--config.evals.{probe}.representations=('trained','untrained')" for probe in ("linear", "svm")
)


def rows(budget: str) -> list[table.Row]:
    """The networks by data set for the paper's budget, else the small one and its controls."""
    if budget == "paper":
        return [
            _row(
                f"{SIZES[size]}, {title}",
                f"data=stl10,judged={data},size={size}",
                *(budget, OWN.get(data, "")),
            )
            for data, title in TITLES.items()
            for size in SIZES
        ]
    labels = (SMALL, UNCHANGED) if budget == "long" else ROWS
    return [_row(label, ROWS[label], budget) for label in labels]


def _row(label: str, words: str, budget: str, own: str = "") -> table.Row:
    one = budget == "cpu" and label not in (SMALL, UNCHANGED)
    config = f"configs/exemplar.py:{words},budget={budget}"
    return table.Row(
        label,
        config,
        _SHORT if budget == "cpu" else (),
        seeds=(0,) if one else SEEDS[budget],
        later=() if label == SMALL else _TRAINED,  # beside each seed of one row is enough
        differs=DIFFERS[budget] + own,
        evals=evaluations.chosen(config, "linear", "svm", "surrogate"),
        # Of the published setting but for what `differs` says.
        published=PUBLISHED if label == SMALL else None,
    )


def directions(rows) -> list[table.Direction]:
    """Larger networks are better; what is learnt is more than what the images and chance give."""
    labels = [row.label for row in rows]
    pooled = ("svm", "pooled", "accuracy")
    found = [
        table.Direction(
            f"the {larger} network above the {smaller} one on {title}",
            f"{SIZES[larger]}, {title}",
            f"{SIZES[smaller]}, {title}",
            pooled,
        )
        for title in TITLES.values()
        for smaller, larger in (("small", "medium"), ("medium", "large"))
        if f"{SIZES[larger]}, {title}" in labels
    ]
    if SMALL not in labels:
        return found
    for probe in ("svm", "linear"):
        own = (probe, "pooled", "accuracy")
        found += [
            table.Direction(
                f"trained above untrained, {probe}", SMALL, SMALL, own, (*own, "untrained")
            ),
            table.Direction(
                f"above raw pixels, {probe}",
                SMALL,
                SMALL,
                own,
                (probe, "pixels", "accuracy", "pixels"),
            ),
            table.Direction(
                f"above PCA, {probe}", SMALL, SMALL, own, (probe, "pca", "accuracy", "pca")
            ),
            table.Direction(f"transformations help, {probe}", SMALL, UNCHANGED, own),
        ]
    nats = ("surrogate", "logits", "bound")
    return [
        *found,
        table.Direction("untransformed patches are easier to classify", UNCHANGED, SMALL, nats),
        *(
            table.Direction(
                f"all transformations above {kind} alone", SMALL, f"small, {kind} only", pooled
            )
            for kind in ("places", "colours")
            if f"small, {kind} only" in labels
        ),
    ]


if __name__ == "__main__":
    table.main("exemplar_table1", rows, DIFFERS, directions)
