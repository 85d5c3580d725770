"""DIM(L) with each bound and DIM(G) on CIFAR-10 within a laptop's budget.

    python -m experiments.dim_cifar10_cpu

The published numbers beside ours come from 1000 epochs; these rows see a hundredth of that.
"""

from experiments import table

DIFFERS = "epochs, learning rate and critic width of the cpu budget; probe protocol mlp-v1"

ROWS = [
    *(
        table.Row(
            f"DIM(L) {title}",
            f"configs/dim_cifar10.py:local,bound={bound},budget=cpu",
            (),
            (0,),
            DIFFERS,
        )
        for title, bound in (("InfoNCE", "infonce"), ("JSD", "jsd"), ("DV", "dv"))
    ),
    table.Row(
        "DIM(G) JSD", "configs/dim_cifar10.py:global,bound=jsd,budget=cpu", (), (0,), DIFFERS
    ),
]

if __name__ == "__main__":
    table.run("dim_cifar10_cpu", ROWS)
