"""Table 3 of Deep InfoMax, its DIM rows: strided-crop encoders with one or several globals.

    python -m experiments.dim_table3 --budget=paper

`paper` is the published setting and wants an accelerator; `cpu` is ten epochs of a narrower network
on CIFAR-10, `smoke` only shows that the rows run. STL-10 has 100,000 images to learn from, so its
rows are in `paper` only.
"""

from experiments import table

DIFFERS = {
    "paper": "which layer is published is not printed; one seed",
    "cpu": "ResNet-19 of a quarter of the width, 10 epochs, rate and critic width of the cpu "
    "budget; probe protocol mlp-v1; which layer is published is not printed",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
# What the published settings of a row do not say, or say otherwise.
OWN = {
    ("cifar10", "multiple"): "; layers of the globals are those of the AlexNet-like network",
}
TITLES = {"cifar10": "CIFAR-10", "stl10": "STL-10"}


def rows(budget: str) -> list[table.Row]:
    """The rows of CIFAR-10 and, for the paper's budget, STL-10."""
    return [
        table.Row(
            f"DIM(L) {kind} global{'s' if kind == 'multiple' else ''}, {TITLES[data]}",
            f"configs/dim_strided.py:data={data},globals={kind},budget={budget}",
            differs=DIFFERS[budget] + OWN.get((data, kind), ""),
        )
        for data in (TITLES if budget == "paper" else ("cifar10",))
        for kind in ("single", "multiple")
    ]


def directions(rows) -> list[table.Direction]:
    """What Table 3 says of DIM: one global is better on CIFAR-10, several are on STL-10."""
    labels = [row.label for row in rows]
    single, multiple = (f"DIM(L) {words}, " for words in ("single global", "multiple globals"))
    conv = ("mlp", "conv", "accuracy")
    claims = [
        table.Direction(
            "a single global is better on CIFAR-10",
            f"{single}CIFAR-10",
            f"{multiple}CIFAR-10",
            conv,
        ),
        table.Direction(
            "multiple globals are better on STL-10", f"{multiple}STL-10", f"{single}STL-10", conv
        ),
    ]
    return [claim for claim in claims if claim.larger in labels]


if __name__ == "__main__":
    table.main("dim_table3", rows, DIFFERS, directions)
