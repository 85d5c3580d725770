"""DIM(L) on CIFAR-10 within a laptop's budget, and the others within a fifth of it.

    python -m experiments.dim_cifar10_cpu

The published numbers beside ours come from 1000 epochs; these rows see a hundredth of that or
less.
"""

from experiments import evaluations, table

DIFFERS = (
    "epochs, learning rate and critic width of the cpu budget; probe protocol mlp-v1; "
    "minutes on a shared machine"
)
SHORT = ("--config.train.epochs=2",)


def row(label: str, words: str, overrides: tuple[str, ...] = (), alone: bool = True) -> table.Row:
    """One row with seed 0; `alone`: of the evaluations only those that Table 1 has."""
    config = f"configs/dim_cifar10.py:{words},budget=cpu"
    evals = evaluations.mlp(config) if alone else None
    return table.Row(label, config, overrides, (0,), DIFFERS, evals=evals)


ROWS = [
    row("DIM(L) InfoNCE", "local,bound=infonce", alone=False),
    row("+ occlude", "local,bound=infonce,tasks=occlude"),
    row("DIM(L) InfoNCE, 2 epochs", "local,bound=infonce", SHORT),
    row("DIM(L) JSD, 2 epochs", "local,bound=jsd", SHORT),
    row("DIM(L) DV, 2 epochs", "local,bound=dv", SHORT),
    row("DIM(G) JSD, 2 epochs", "global,bound=jsd", SHORT),
]

if __name__ == "__main__":
    table.run("dim_cifar10_cpu", ROWS)
