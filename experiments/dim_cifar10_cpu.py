"""DIM(L) on CIFAR-10 within a laptop's budget, and the others within a fifth of it.

    python -m experiments.dim_cifar10_cpu

The published numbers beside ours come from 1000 epochs; these rows see a hundredth of that or
less.
"""

from experiments import table

DIFFERS = (
    "epochs, learning rate and critic width of the cpu budget; probe protocol mlp-v1; "
    "minutes on a shared machine"
)
SHORT = ("--config.train.epochs=2",)


def row(label: str, words: str, overrides: tuple[str, ...] = ()) -> table.Row:
    """One row with seed 0."""
    return table.Row(label, f"configs/dim_cifar10.py:{words}", overrides, (0,), DIFFERS)


ROWS = [
    row("DIM(L) InfoNCE", "local,bound=infonce,budget=cpu"),
    row("+ occlude", "local,bound=infonce,tasks=occlude,budget=cpu,judge=mlp"),
    row("DIM(L) InfoNCE, 2 epochs", "local,bound=infonce,budget=cpu,judge=mlp", SHORT),
    row("DIM(L) JSD, 2 epochs", "local,bound=jsd,budget=cpu,judge=mlp", SHORT),
    row("DIM(L) DV, 2 epochs", "local,bound=dv,budget=cpu,judge=mlp", SHORT),
    row("DIM(G) JSD, 2 epochs", "global,bound=jsd,budget=cpu,judge=mlp", SHORT),
]

if __name__ == "__main__":
    table.run("dim_cifar10_cpu", ROWS)
