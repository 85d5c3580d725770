"""Table 1 of Deep InfoMax, its DIM rows: accuracy of an MLP on conv, fc and y.

    python -m experiments.dim_table1 --budget=cpu

`paper` is the published setting and wants an accelerator; `cpu` is ten epochs of the config's cpu
budget for each row, `smoke` only shows that all rows run.
"""

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
    return [
        table.Row(
            f"{label}, {title}",
            f"configs/dim_{data}.py:{words},judge=mlp,budget={budget}",
            differs=DIFFERS[budget],
        )
        for data, title in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100"))
        for label, words in WORDS.items()
    ]


if __name__ == "__main__":
    table.main("dim_table1", rows, DIFFERS)
