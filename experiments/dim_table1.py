"""Table 1 of Deep InfoMax, its DIM rows: accuracy of an MLP on conv, fc and y.

    python -m experiments.dim_table1 --budget=cpu

`paper` is the published setting and wants an accelerator; `cpu` is ten epochs of the config's cpu
budget for each row, `smoke` only shows that all rows run.
"""

from collections.abc import Mapping

from experiments import table

DIFFERS = {
    "paper": "one seed; the published number of seeds is not printed",
    "cpu": "10 epochs, rate and critic width of the cpu budget; probe protocol mlp-v1",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
WORDS = {
    "DIM(G)": "global,bound=jsd",
    "DIM(L) DV": "local,bound=dv",
    "DIM(L) JSD": "local,bound=jsd",
    "DIM(L) InfoNCE": "local,bound=infonce",
}


def rows(budget: str) -> list[table.Row]:
    """The DIM rows of CIFAR-10 and CIFAR-100 under one budget."""
    words = f"judge=mlp,budget={budget}"
    return dim_rows(dict(cifar10="CIFAR-10", cifar100="CIFAR-100"), words, DIFFERS[budget])


def dim_rows(data: Mapping[str, str], words: str, differs: str) -> list[table.Row]:
    """DIM(G) and DIM(L) by three bounds on each data set, {end of the config's name: title}."""
    return [
        table.Row(f"{label}, {title}", f"configs/dim_{name}.py:{own},{words}", differs=differs)
        for name, title in data.items()
        for label, own in WORDS.items()
    ]


if __name__ == "__main__":
    table.main("dim_table1", rows, DIFFERS)
