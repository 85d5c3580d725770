"""The ablations of AMDIM (Bachman et al. 2019): augmentation, scales, stabilisation of the scores.

    python -m experiments.amdim_ablations --budget=cpu

`paper` is the published setting on STL-10 and ImageNet and wants accelerators. `long` and `cpu` are
40 and two epochs of small networks on CIFAR-10, where "random crop" is the translation. `smoke`
only shows that the rows run. The row that compares an unchanged image with itself is ours.
"""

from experiments import evaluations, table

FULL, STRONG, UNCHANGED = "AMDIM", "+ strong augmentation", "- all augmentation"
ROWS = {
    FULL: "",
    STRONG: "augment=strong,",
    "- colour jitter": "augment=no_jitter,",
    "- random grey": "augment=no_grey,",
    "- random crop": "augment=no_crop,",
    "- multiscale": "terms=single,",
    "- stabilise": "stabilise=off,",
    UNCHANGED: "augment=none,",
}
DIFFERS = {
    "paper": "ImageNet's boxes cut from images of 256 pixels; probes on 30 (ImageNet: 4) random "
    "changes of each training image, published on new ones in each epoch; the published numbers "
    "are from memory",
    "long": "CIFAR-10, ndf 48, n_rkhs 512, n_depth 2, 40 epochs, rates of the long budget; probes "
    "linear-v1 and mlp-v1",
    "cpu": "CIFAR-10, 1.1 million parameters, 2 epochs in bfloat16, rates of the cpu budget; "
    "probes linear-v1 and mlp-v1",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
OWN = {
    STRONG: "; strong is RandAugment, not the policy of Fast AutoAugment",
    UNCHANGED: "; not in the paper",
}
SEEDS = {"paper": (0, 1, 2), "long": (0, 1), "cpu": (0, 1, 2), "smoke": (0,)}
# In `cpu` the rows of `directions` have three seeds, the others one.
ONE_SEED = {"- random grey", "- multiscale", "- stabilise"}
TITLES = {"cifar10": "CIFAR-10", "stl10": "STL-10", "imagenet": "ImageNet"}
# The published table has no row without crops on ImageNet.
LEFT_OUT = {"cifar10": {STRONG}, "stl10": set(), "imagenet": {"- random crop", UNCHANGED}}
_SHORT = ("--config.compute_dtype=bfloat16",)
# Controls of the first seed only.
_TRAINED = tuple(
    f"--config.evals.{probe}.representations=('trained',)" for probe in ("linear", "mlp")
)


def rows(budget: str) -> list[table.Row]:
    """The rows of STL-10 and ImageNet for the paper's budget, else of CIFAR-10."""
    return [
        table.Row(
            f"{label}, {TITLES[data]}",
            f"configs/amdim_{data}.py:{words}budget={budget}",
            _SHORT if budget == "cpu" else (),
            seeds=(0,) if budget == "cpu" and label in ONE_SEED else SEEDS[budget],
            later=_TRAINED,
            evals=evaluations.chosen(
                f"configs/amdim_{data}.py:budget={budget}", "linear", "mlp", "uniformity"
            ),
            differs=DIFFERS[budget] + OWN.get(label, ""),
        )
        for data in (("stl10", "imagenet") if budget == "paper" else ("cifar10",))
        for label, words in ROWS.items()
        if label not in LEFT_OUT[data]
    ]


def directions(rows) -> list[table.Direction]:
    """Augmentation helps, although the scores show more information without it."""
    labels = [row.label for row in rows]
    claims = {
        "- colour jitter": "colour jitter helps",
        "- random crop": "random translation helps",
        UNCHANGED: "two views are better than the same image twice",
    }
    return [
        table.Direction(
            f"{claim} on {title}",
            f"{FULL}, {title}",
            f"{label}, {title}",
            ("mlp", "y", "accuracy"),
        )
        for title in TITLES.values()
        for label, claim in claims.items()
        if f"{label}, {title}" in labels
    ]


if __name__ == "__main__":
    table.main("amdim_ablations", rows, DIFFERS, directions)
